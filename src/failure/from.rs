//! The table from every module's error to its public failure. No `_` arm: a new error must be placed.

use std::io::ErrorKind;

use crate::cache;
use crate::failure::{Code, Failure};
use crate::headers::accept::NotAcceptable;
use crate::metadata;
use crate::origin;
use crate::render;
use crate::request;
use crate::signature;
use crate::transform;
use crate::upload;

/// How long to stay away when the queue is full: about the time of a few renders.
const QUEUE_RETRY_SECONDS: u32 = 2;

/// How long to stay away after a deadline: by then the load has changed or it will not.
const DEADLINE_RETRY_SECONDS: u32 = 10;

/// How long to stay away when the catalogue is locked or its disk is full.
const CATALOG_RETRY_SECONDS: u32 = 5;

/// How long to stay away when the bucket is full.
const STORAGE_RETRY_SECONDS: u32 = 60;

/// How long to stay away from an upload that another request works on.
const UPLOAD_RETRY_SECONDS: u32 = 5;

impl From<request::Error> for Failure {
    fn from(error: request::Error) -> Self {
        use request::Error as E;
        let code = match &error {
            E::NoRoute | E::NoSuchKey => Code::NotFound,
            E::QueryTooLong { .. } | E::TooManyParameters { .. } => Code::QueryTooLong,
            E::BadOption { .. } => Code::BadOption,
            E::RepeatedOption { .. } => Code::RepeatedOption,
            E::ConflictingOptions { .. } => Code::ConflictingOptions,
            E::UnsupportedOption { .. } => Code::UnsupportedOption,
            E::OptionNotPermitted { .. } => Code::OptionNotPermitted,
        };
        Self::new(code, error.to_string())
    }
}

impl From<signature::Error> for Failure {
    fn from(error: signature::Error) -> Self {
        use signature::{Error as E, Flaw};
        let code = match &error {
            E::Missing => Code::SignatureMissing,
            // The token is good, but not for this: its holder may know.
            E::Bad(Flaw::TokenPrefix | Flaw::TokenKind(_)) => Code::NotPermitted,
            // An unknown key is answered like a wrong signature, so that ids cannot be guessed.
            E::Bad(_) | E::UnknownKey => Code::BadSignature,
            E::Expired { .. } => Code::Expired,
        };
        Self::hidden(code, error)
    }
}

impl From<metadata::Error> for Failure {
    fn from(error: metadata::Error) -> Self {
        Self::from(&error)
    }
}

impl From<cache::Unknown> for Failure {
    fn from(error: cache::Unknown) -> Self {
        Self::from(&*error.0)
    }
}

impl From<&metadata::Error> for Failure {
    fn from(error: &metadata::Error) -> Self {
        use metadata::Error as E;
        match error {
            E::NoSuchKey(_) | E::NoSuchAsset(_) | E::NoSuch(_) => {
                Self::new(Code::NotFound, error.to_string())
            }
            E::AssetDeleted(_) => Self::new(Code::Deleted, error.to_string()),
            E::InvalidSchema(_) => Self::new(Code::InvalidSchema, error.to_string()),
            E::InvalidData(_) => Self::new(Code::InvalidData, error.to_string()),
            E::NotReady(_) => Self::new(Code::DataNotReady, error.to_string()),
            E::ReadOnly(_) => Self::new(Code::AssetReadOnly, error.to_string()),
            E::NotDeleted(_) => Self::new(Code::NotDeleted, error.to_string()),
            E::Conflict { .. } => Self::new(Code::VersionConflict, error.to_string()),
            E::UploadLost => Self::new(Code::UploadLost, error.to_string()),
            E::DuplicateId(_) | E::DuplicateSecret | E::InvalidKey { .. } | E::InvalidPurge { .. } => {
                Self::new(Code::BadRequest, error.to_string())
            }
            E::JobEnded => Self::new(Code::JobEnded, error.to_string()),
            E::TooManyHooks => Self::new(Code::TooManyHooks, error.to_string()),
            E::File { .. } | E::Database(_) => {
                Self::hidden(Code::CatalogFailed, error).retry_after(CATALOG_RETRY_SECONDS)
            }
            E::UnknownUrl | E::NewerSchema { .. } | E::Migration(_) | E::Damaged(_) | E::NoRandomness(_) => {
                Self::hidden(Code::Internal, error)
            }
        }
    }
}

impl From<NotAcceptable> for Failure {
    fn from(_: NotAcceptable) -> Self {
        Self::new(Code::NotAcceptable, "offered are image/avif, image/webp, image/png and image/jpeg")
    }
}

impl From<cache::ReadError> for Failure {
    fn from(error: cache::ReadError) -> Self {
        use cache::ReadError as E;
        match error {
            E::Origin(error) => error.into(),
            E::FillFailed | E::Changed => Self::hidden(Code::OriginFailed, error),
            E::Disk(_) => Self::hidden(Code::Internal, error),
        }
    }
}

impl From<origin::Error> for Failure {
    fn from(error: origin::Error) -> Self {
        use origin::Error as E;
        let code = match &error {
            E::NotFound(headers) => {
                return Self { freshness: headers.clone(), ..Self::hidden(Code::NotFound, error) };
            }
            E::Refused(_) => Code::OriginRefused,
            E::RangeOutside { length } => return Self::range_outside(*length),
            E::TimedOut(_) => Code::OriginTimeout,
            E::TooLarge { limit } => {
                return Self::new(Code::BodyTooLarge, format!("a file may have at most {limit} bytes"));
            }
            E::Interrupted => return Self::new(Code::BadRequest, "the body did not arrive"),
            E::Io(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Self::hidden(Code::StorageFull, error).retry_after(STORAGE_RETRY_SECONDS);
            }
            E::Changed | E::Unreachable(_) | E::BadAnswer(_) | E::Io(_) | E::Exists => Code::OriginFailed,
        };
        Self::hidden(code, error)
    }
}

impl From<transform::Error> for Failure {
    fn from(error: transform::Error) -> Self {
        use transform::Error as E;
        let code = match &error {
            E::UnsupportedFormat | E::UnsupportedFeature { .. } => Code::UnsupportedFormat,
            E::Corrupt { .. } | E::NeedMore => Code::CorruptSource,
            E::TooManyPixels { .. } => Code::TooManyPixels,
            E::RegionOutside { .. } => Code::RegionOutside,
            E::Encode { .. } => return Self::hidden(Code::Internal, error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<render::Error> for Failure {
    fn from(error: render::Error) -> Self {
        use render::{Error as E, Refused};
        match error {
            E::Origin(error) => error.into(),
            E::Picture(error) => error.into(),
            E::SourceTooLarge { .. } | E::Refused(Refused::TooMuchMemory { .. }) => {
                Self::new(Code::SourceTooLarge, error.to_string())
            }
            E::Refused(Refused::QueueFull) => {
                Self::hidden(Code::Overloaded, error).retry_after(QUEUE_RETRY_SECONDS)
            }
            E::DeadlineExceeded => {
                Self::hidden(Code::RenderTimeout, error).retry_after(DEADLINE_RETRY_SECONDS)
            }
            E::Lost(_) => Self::hidden(Code::Internal, error),
        }
    }
}

impl From<upload::Error> for Failure {
    fn from(error: upload::Error) -> Self {
        use upload::Error as E;
        let code = match error {
            E::NoBucket => Code::NoBucket,
            E::BadName(_) => Code::BadFileName,
            E::Empty => Code::EmptyFile,
            E::TooLarge { .. } => Code::FileTooLarge,
            E::TooManyFiles { .. } => Code::TooManyFiles,
            E::OtherLength { .. } => Code::OtherLength,
            E::TypeNotTaken(_) => Code::TypeNotAllowed,
            E::TypeMismatch { .. } => Code::TypeMismatch,
            E::Lost => Code::UploadLost,
            E::NoSuchUpload => Code::NotFound,
            E::Expired => Code::UploadExpired,
            E::Busy => {
                return Self::new(Code::UploadBusy, error.to_string()).retry_after(UPLOAD_RETRY_SECONDS);
            }
            E::OtherOffset { .. } => Code::OtherOffset,
            E::OtherChecksum => Code::OtherChecksum,
            E::NotWhole => Code::BadRequest,
            E::Source(error) | E::Bucket(error) => return error.into(),
            E::Picture(error) => return error.into(),
            E::Catalog(error) => return error.into(),
            E::Damaged(_) => return Self::hidden(Code::Internal, error),
        };
        Self::new(code, error.to_string())
    }
}
