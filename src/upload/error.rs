//! Why a file was not taken.

use crate::metadata;
use crate::origin;
use crate::render;

/// Why a file was not taken. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The originals live where nothing can be stored.
    #[error("the originals live on a web server, which takes no files")]
    NoBucket,
    /// A name that no file should have.
    #[error("{0}")]
    BadName(&'static str),
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// More bytes than `upload.max_bytes`, or than this upload may have.
    #[error("a file may have at most {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// More files than the configuration, or the key that was used, lets be handed over together.
    #[error("at most {limit} files may be handed over together")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// Other bytes came than were announced.
    #[error("{announced} bytes were announced, {came} came")]
    OtherLength {
        /// What was said.
        announced: u64,
        /// What it was.
        came: u64,
    },
    /// `upload.types` does not name it.
    #[error("files of the type {0} are not taken")]
    TypeNotTaken(String),
    /// It is something else than it is said to be.
    #[error("the file is said to be {claimed}, but its bytes are {found}")]
    TypeMismatch {
        /// By its declared type or its name.
        claimed: String,
        /// By its bytes.
        found: String,
    },
    /// It took so long that somebody else has taken over.
    #[error("the upload was taken over by another request")]
    Lost,
    /// There is, or was, no such upload.
    #[error("there is no such upload")]
    NoSuchUpload,
    /// Nobody went on with it in time.
    #[error("the upload has expired")]
    Expired,
    /// Another request works on it and does not end.
    #[error("another request works on the upload")]
    Busy,
    /// Its bytes end elsewhere.
    #[error("the upload has {offset} bytes")]
    OtherOffset {
        /// Where they end.
        offset: u64,
    },
    /// The bytes have another checksum than the one that came along.
    #[error("the bytes have another checksum")]
    OtherChecksum,
    /// It cannot become a piece of another.
    #[error("an upload can be joined once it is a whole piece")]
    NotWhole,
    /// The bytes stopped coming.
    #[error(transparent)]
    Source(origin::Error),
    /// The bucket.
    #[error(transparent)]
    Bucket(origin::Error),
    /// A picture that cannot be read.
    #[error(transparent)]
    Picture(#[from] render::Error),
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] metadata::Error),
    /// What was written down of an upload makes no sense.
    #[error("an upload cannot be read: {0}")]
    Damaged(String),
}

impl Error {
    /// Whether another try with the same bytes would end alike.
    pub fn is_final(&self) -> bool {
        match self {
            Self::TypeNotTaken(_) | Self::TypeMismatch { .. } => true,
            Self::Picture(error) => {
                matches!(error, render::Error::Picture(_) | render::Error::SourceTooLarge { .. })
            }
            _ => false,
        }
    }
}
