//! An asset: a file that was handed over, what is known of it, and what was made of it.

mod changes;
mod data;
mod json;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod trash;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::metadata::Error;
use crate::origin::ObjectKey;
use crate::request::AssetId;

pub(crate) use changes::Changes;
pub use data::{DataUpdate, check_data};
pub use source::{AssetObject, AssetSource};
pub use store::Page;
pub(super) use store::{change_in, insert};

/// How far an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssetStatus {
    /// Its bytes are still being stored.
    NotReady,
    /// It can be used.
    Ok,
    /// Storing or working on it failed.
    Error,
    /// It can be read only.
    Archived,
}

/// A file that was handed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    /// Names it for as long as it lives.
    pub id: AssetId,
    /// How far it is.
    pub status: AssetStatus,
    /// The name of the file as it came.
    pub name: String,
    /// Bytes of the original.
    pub size: u64,
    /// MD5 of the original, in hex.
    pub md5: Option<String>,
    /// SHA-256 of the original, in hex.
    pub sha256: Option<String>,
    /// What the original is, by its bytes.
    pub content_type: String,
    /// What it was said to be.
    pub declared_type: Option<String>,
    /// Where it came from: `local`, or the name of a cloud.
    pub provider: String,
    /// The kind of bucket.
    pub storage_type: String,
    /// The name of the bucket.
    pub bucket: String,
    /// The original in the bucket, once it is there.
    pub key: Option<ObjectKey>,
    /// Whether pictures of it need no signature.
    pub public: bool,
    /// The id of the key that it was handed over with.
    pub creator_id: Option<String>,
    /// The host that it was handed over from.
    pub upload_source: Option<String>,
    /// Unix seconds.
    pub upload_time: u64,
    /// The id of the key that changed it last.
    pub update_user_id: Option<String>,
    /// Unix seconds.
    pub update_time: u64,
    /// The schema of `data`; 0 is none.
    pub data_schema_id: i64,
    /// Facts about the file: `width`, `height`, `duration` and more.
    pub metadata: Map<String, Value>,
    /// What its owner says about it.
    pub data: Map<String, Value>,
    /// What was made of it, or added to it.
    pub conversions: Vec<Conversion>,
    /// Rises with every change; its entity tag.
    pub version: u64,
    /// Rises when the original is replaced, from 1; part of the name of its object.
    pub content: u64,
    /// Unix seconds, if it is in the trash.
    pub deleted_at: Option<u64>,
}

/// One file that was made of an asset, or added to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    /// Its name, once for each asset.
    pub name: String,
    /// The kind of bucket.
    pub storage_type: String,
    /// The name of the bucket.
    pub bucket: String,
    /// The object, once it is there.
    pub key: Option<String>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Seconds.
    pub duration: Option<f64>,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub content_type: String,
    /// Whether it needs no signature.
    pub public: bool,
    /// Whether a watermark is in it.
    pub watermarked: bool,
    /// How far it is.
    pub status: AssetStatus,
    /// Why it failed.
    pub error: Option<String>,
}

impl AssetStatus {
    /// The word for it, in the catalogue and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "NOT_READY",
            Self::Ok => "OK",
            Self::Error => "ERROR",
            Self::Archived => "ARCHIVED",
        }
    }
}

impl fmt::Display for AssetStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AssetStatus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::NotReady, Self::Ok, Self::Error, Self::Archived]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| Error::Damaged(format!("unknown status {text:?}")))
    }
}

impl Serialize for AssetStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AssetStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Asset {
    /// A new asset of this id and name, still without bytes, handed over at `now` (Unix seconds).
    pub fn new(id: AssetId, name: impl Into<String>, now: u64) -> Self {
        Self {
            id,
            status: AssetStatus::NotReady,
            name: name.into(),
            size: 0,
            md5: None,
            sha256: None,
            content_type: "application/octet-stream".to_owned(),
            declared_type: None,
            provider: "local".to_owned(),
            storage_type: String::new(),
            bucket: String::new(),
            key: None,
            public: false,
            creator_id: None,
            upload_source: None,
            upload_time: now,
            update_user_id: None,
            update_time: now,
            data_schema_id: 0,
            metadata: Map::new(),
            data: Map::new(),
            conversions: Vec::new(),
            version: 1,
            content: 1,
            deleted_at: None,
        }
    }

    /// The conversion of this name.
    pub fn conversion(&self, name: &str) -> Option<&Conversion> {
        self.conversions.iter().find(|conversion| conversion.name == name)
    }
}
