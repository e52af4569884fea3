//! Why nothing could be made of a video.

use crate::origin;

/// Why nothing could be made of a video.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It is no MP4, or has nothing in it that we know.
    #[error("the video cannot be used: {0}")]
    Unsupported(&'static str),
    /// It is an MP4 that contradicts itself, or ends too early.
    #[error("the video is damaged: {0}")]
    Corrupt(&'static str),
    /// It is beyond a limit.
    #[error("the video is too large: {0}")]
    TooLarge(&'static str),
    /// The video has no such piece: no such track, or not so many segments.
    #[error("the video has no such piece")]
    NoPiece,
    /// Its bytes cannot be read.
    #[error(transparent)]
    Origin(#[from] origin::Error),
}
