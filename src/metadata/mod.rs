//! The catalogue: facts that must outlive the process. SQLite or PostgreSQL holds them.
//!
//! [`Catalog`] is the face. Each subject has its types and its SQL side by side; `db/` alone knows that there
//! are two databases.

mod asset;
mod catalog;
mod config;
mod db;
mod delivery;
mod delivery_queue;
mod event;
mod hook;
mod idempotency;
mod job;
mod key;
mod keys;
mod limits;
#[cfg(test)]
mod on_both;
mod outbox;
mod purge;
mod purges;
mod schema;
mod search;
mod upload;

pub use asset::{Asset, AssetObject, AssetSource, AssetStatus, Conversion, DataUpdate, Page, check_data};
pub use catalog::Catalog;
pub use config::Config;
pub use db::Change;
pub use delivery::{Delivery, DeliveryState, PastAttempt};
pub use delivery_queue::{HookEffect, Lease, Leased, Next, Settled};
pub use event::{Event, EventKind};
pub use hook::{Disabled, Hook, HookChange, HookSecret, MAX_HOOKS, NewHook};
pub use idempotency::{Claim, GivenAnswer, NamedRequest};
pub use job::{Hold, Job, JobEnd, JobState, NewJob, Progress};
pub use key::{ActiveKey, IssuedKey, Key, KeyKind, NewKey, SCOPES};
pub use limits::Limits;
pub use purge::{MAX_PURGES, Purge, PurgeMode, PurgeScope, Stamp};
pub use schema::{AssetSchema, JsonSchema};
pub use search::{Criteria, Found, Pattern, Search, Sort, SortBy, Span};
pub use upload::{Fence, Taken, Upload, UploadKind, UploadState};

use crate::request::AssetId;

/// Why the catalogue could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address names no kind of catalogue that we know.
    #[error("catalog.url is neither sqlite:PATH nor postgres://USER:PASSWORD@HOST/DATABASE")]
    UnknownUrl,
    /// It is from a newer version of this program, which would misunderstand it.
    #[error("the catalogue has schema {found}, this program knows {known}: use a newer kinora")]
    NewerSchema {
        /// Number of the newest migration in it.
        found: i64,
        /// Number of the newest migration that we have.
        known: i64,
    },
    /// Bringing the schema up to date failed.
    #[error("the catalogue's schema cannot be brought up to date: {0}")]
    Migration(String),
    /// There is a key of this id, active or revoked.
    #[error("there already is a key {0}")]
    DuplicateId(String),
    /// Another key has the same secret, so that requests could not tell the two apart.
    #[error("another key has the same secret")]
    DuplicateSecret,
    /// No active key of this id.
    #[error("there is no active key {0}")]
    NoSuchKey(String),
    /// A value of a new key breaks a rule.
    #[error("{what} {rule}")]
    InvalidKey {
        /// Which value.
        what: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// A purge that could cover nothing.
    #[error("{text:?} {rule}")]
    InvalidPurge {
        /// The text, or its beginning.
        text: String,
        /// Why it covers nothing.
        rule: &'static str,
    },
    /// There is, or was, no asset of this id.
    #[error("there is no asset {0}")]
    NoSuchAsset(AssetId),
    /// The asset is in the trash.
    #[error("the asset {0} is deleted")]
    AssetDeleted(AssetId),
    /// The bytes of the asset are still being stored.
    #[error("the asset {0} is not ready")]
    NotReady(AssetId),
    /// The asset is archived.
    #[error("the asset {0} is archived")]
    ReadOnly(AssetId),
    /// The asset is not in the trash.
    #[error("the asset {0} is not deleted")]
    NotDeleted(AssetId),
    /// Somebody else was first: the asset has another version than was expected.
    #[error("the asset has version {version} now")]
    Conflict {
        /// The version that it has.
        version: u64,
    },
    /// The schema of data breaks a rule.
    #[error("{0}")]
    InvalidSchema(String),
    /// The data does not fit its schema.
    #[error("{0}")]
    InvalidData(String),
    /// There is no such thing, or none for which this could be done.
    #[error("there is no such {0}")]
    NoSuch(&'static str),
    /// It is too late for that.
    #[error("the job has ended")]
    JobEnded,
    /// One more would make every look for work slower.
    #[error("there are {MAX_HOOKS} hooks already")]
    TooManyHooks,
    /// Somebody else works on the upload now.
    #[error("the upload is not held any more")]
    UploadLost,
    /// A row does not hold what the schema promises.
    #[error("the catalogue is damaged: {0}")]
    Damaged(String),
    /// No random numbers from the system.
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(getrandom::Error),
    /// The file or its directory.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The database.
    #[error("the catalogue cannot be read or written: {0}")]
    Database(#[from] sqlx::Error),
}
