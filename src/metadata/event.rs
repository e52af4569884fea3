//! Events: what has happened to an asset, recorded with the change itself.

use std::fmt;
use std::str::FromStr;

use crate::metadata::Error;
use crate::request::AssetId;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An asset is stored.
    FileSaved,
    /// Its conversions are done.
    FileProcessed,
    /// Its data has changed.
    FileDataUpdated,
    /// It was deleted, or conversions of it.
    FileDeleted,
    /// It was restored.
    FileUndeleted,
    /// Something has been added to it.
    AddonProcessed,
    /// Nothing: somebody tries a hook. No hook has to want it.
    HookTest,
}

impl EventKind {
    /// All that a hook can want.
    pub const ALL: [Self; 6] = [
        Self::FileSaved,
        Self::FileProcessed,
        Self::FileDataUpdated,
        Self::FileDeleted,
        Self::FileUndeleted,
        Self::AddonProcessed,
    ];

    /// The word for it, in bodies, in the API and in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileSaved => "file-saved",
            Self::FileProcessed => "file-processed",
            Self::FileDataUpdated => "file-data-updated",
            Self::FileDeleted => "file-deleted",
            Self::FileUndeleted => "file-undeleted",
            Self::AddonProcessed => "addon-processed",
            Self::HookTest => "hook-test",
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
            .chain([Self::HookTest])
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::Damaged(format!("unknown kind of event {text:?}")))
    }
}

/// An event as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the order of recording; a page ends with one.
    pub seq: u64,
    /// `evt_` and 32 hex digits: the `webhook-id` of all its deliveries.
    pub id: String,
    /// What has happened.
    pub kind: EventKind,
    /// To which asset; none for a test.
    pub asset: Option<AssetId>,
    /// The version of the asset that this led to; receivers drop what is older than they have.
    pub asset_version: u64,
    /// What is posted, byte for byte.
    pub body: Vec<u8>,
    /// Unix seconds.
    pub created_at: u64,
}
