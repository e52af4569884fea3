//! What can happen to an asset, as webhooks name it.

use std::fmt;
use std::str::FromStr;

use crate::metadata::Error;

/// What has happened to an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Its bytes are stored.
    FileSaved,
    /// Its conversions are done.
    FileProcessed,
    /// Its data is another one.
    FileDataUpdated,
    /// It, or contents of it, were deleted.
    FileDeleted,
    /// It is back.
    FileUndeleted,
    /// Work beyond conversions is done.
    AddonProcessed,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::FileSaved,
        Self::FileProcessed,
        Self::FileDataUpdated,
        Self::FileDeleted,
        Self::FileUndeleted,
        Self::AddonProcessed,
    ];

    /// The word for it, in the catalogue and in webhooks.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileSaved => "file-saved",
            Self::FileProcessed => "file-processed",
            Self::FileDataUpdated => "file-data-updated",
            Self::FileDeleted => "file-deleted",
            Self::FileUndeleted => "file-undeleted",
            Self::AddonProcessed => "addon-processed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::Damaged(format!("unknown kind of event {text:?}")))
    }
}
