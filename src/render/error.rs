//! Why a variant could not be made.

use crate::origin;
use crate::render::pool::{Lost, Refused};
use crate::transform;

/// Why a variant could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source could not be had.
    #[error(transparent)]
    Origin(#[from] origin::Error),
    /// The source is no picture that can be transformed so.
    #[error(transparent)]
    Picture(#[from] transform::Error),
    /// The source has more bytes than `image.max_source_bytes`.
    #[error("the source has more than {limit} bytes")]
    SourceTooLarge {
        /// The limit.
        limit: u64,
    },
    /// Too much to do: the queue is full, or the work needs more than the whole memory budget.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It was not finished within `render.deadline`.
    #[error("the render deadline passed")]
    DeadlineExceeded,
    /// A step panicked.
    #[error(transparent)]
    Lost(#[from] Lost),
}
