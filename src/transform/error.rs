//! What can be wrong with a picture.

/// Why a picture could not be transformed. The facts are for the log; `failure` decides what a
/// client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are of no format that we read.
    #[error("not a picture format that is read here")]
    UnsupportedFormat,
    /// The format is read, but not this form of it (for example arithmetic-coded JPEG).
    #[error("{format} with {what} is not supported")]
    UnsupportedFeature {
        /// Name of the format.
        format: &'static str,
        /// What is not supported.
        what: &'static str,
    },
    /// The bytes end early or contradict themselves.
    #[error("corrupt {format}: {reason}")]
    Corrupt {
        /// Name of the format.
        format: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// More pixels than the limit.
    #[error("{pixels} pixels are more than {limit}")]
    TooManyPixels {
        /// What the header says.
        pixels: u64,
        /// `image.max_source_pixels`.
        limit: u64,
    },
    /// `region` lies outside the picture.
    #[error("the region lies outside the picture of {width} x {height}")]
    RegionOutside {
        /// Width after orientation.
        width: u32,
        /// Height after orientation.
        height: u32,
    },
    /// The header did not end within the bytes given; ask again with more.
    #[error("more bytes are needed to read the header")]
    NeedMore,
    /// An encoder failed; never the fault of the source.
    #[error("encoding {format} failed: {reason}")]
    Encode {
        /// Name of the format.
        format: &'static str,
        /// The encoder's words.
        reason: String,
    },
}
