//! Where originals live: one trait to read, three implementations (a directory, S3, HTTP), and one to
//! write, which the directory and S3 have.
//!
//! An origin hands out bytes as a stream and never holds a whole object. Validators (`ETag`,
//! `Last-Modified`) are passed on as the origin gave them.

mod ask;
mod bucket;
mod config;
mod counted;
mod directory;
mod fetch;
mod key;
mod media_type;
mod s3;
mod sharing;
mod web;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderName};

use crate::setting::Problem;

pub use ask::{Ask, ByteRange};
pub use bucket::{Bucket, Draft, Keys, PostPolicy, PostWish, Presentation, open_bucket};
pub use config::{Address, Config, DirectoryConfig, HttpConfig, Kind, S3Config};
pub use counted::counted;
pub use key::{InvalidKey, ObjectKey};
pub use media_type::media_type;

/// The origin that `config` describes; `data_dir` holds the bucket of a directory without a path.
///
/// Nothing is asked of the origin here: [`Origin::ready`] does that.
///
/// # Errors
/// [`OpenError`], which names what to change.
pub fn open(config: &Config, data_dir: &Path) -> Result<Arc<dyn Origin>, OpenError> {
    Ok(match config.kind {
        Kind::Directory => Arc::new(directory::Directory::open(config, data_dir)?),
        Kind::S3 => Arc::new(s3::S3::open(config)?),
        Kind::Http => Arc::new(web::Web::open(config)?),
    })
}

/// Why an origin cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting makes no sense; `check` finds it too.
    #[error("{}: {}", .0.key, .0.remedy)]
    Setting(Problem),
    /// The directory is not there, is none, or cannot be made.
    #[error("the directory {path} cannot be used: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// No HTTP client can be made; mostly because an `https` origin finds no root certificates.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// A bucket of originals.
#[async_trait]
pub trait Origin: Send + Sync + 'static {
    /// The facts of an object without its bytes.
    ///
    /// # Errors
    /// As [`Origin::get`].
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, Error>;

    /// An object or a part of it, as a stream.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of that key, the other variants by their meaning.
    async fn get(&self, key: &ObjectKey, ask: &Ask) -> Result<Answer, Error>;

    /// Whether this header of a client's passes to the origin, whose answer may then depend on it.
    fn sees(&self, _: &HeaderName) -> bool {
        false
    }

    /// Whether the bucket can be reached at all; for readiness.
    ///
    /// # Errors
    /// Any but [`Error::NotFound`].
    async fn ready(&self) -> Result<(), Error>;
}

/// What an origin answers.
pub enum Answer {
    /// The validator still holds.
    NotModified(ObjectInfo),
    /// Bytes.
    Object(Object),
}

/// An object's facts and bytes.
pub struct Object {
    /// The facts.
    pub info: ObjectInfo,
    /// First byte, last byte: set when only a part is handed out.
    pub part: Option<(u64, u64)>,
    /// The bytes, in pieces. A short or failed body ends with an error, never with a plain end.
    pub body: Body,
}

/// The bytes of an object, in pieces of at most about 256 KiB.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// The facts of an object.
#[derive(Debug, Clone, Default)]
pub struct ObjectInfo {
    /// Length of the whole object, where the origin says so.
    pub length: Option<u64>,
    /// Entity tag with its quotes, as the origin gave it. A directory makes a strong one.
    pub etag: Option<String>,
    /// When it was last changed.
    pub last_modified: Option<SystemTime>,
    /// Media type, as the origin gave it; `None` lets the server go by the key's ending.
    pub content_type: Option<String>,
    /// An HTTP origin's freshness headers (`Cache-Control`, `CDN-Cache-Control`, `Expires`, `Age`,
    /// `Date`, `Vary`) and those that its configuration forwards; empty for a bucket.
    pub headers: HeaderMap,
}

/// Why an origin could not answer. It can be told to all who wait for one answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such object (S3 and HTTP: 404, 410).
    #[error("no such object")]
    NotFound(Box<HeaderMap>),
    /// The origin refuses us (401, 403); for a client that is a fault of the origin's set-up.
    #[error("the origin refused: {0}")]
    Refused(String),
    /// The object has another entity tag than the one asked for.
    #[error("the object has changed")]
    Changed,
    /// The part lies outside the object, whose length is given.
    #[error("the range lies outside {length} bytes")]
    RangeOutside {
        /// Length of the object.
        length: u64,
    },
    /// No connection, or it broke.
    #[error("the origin cannot be reached: {0}")]
    Unreachable(String),
    /// It took longer than the configured time.
    #[error("the origin took too long: {0}")]
    TimedOut(&'static str),
    /// An answer that makes no sense: a wrong status, length or range, a redirect that may not be
    /// followed, a body cut short.
    #[error("the origin answered badly: {0}")]
    BadAnswer(String),
    /// Reading or writing the local directory failed.
    #[error("the directory cannot be used: {0}")]
    Io(Arc<std::io::Error>),
    /// An object lies under the key, and none is ever replaced.
    #[error("there already is an object of this key")]
    Exists,
    /// The bucket cannot hold an object of this size.
    #[error("the bucket holds objects of at most {limit} bytes")]
    TooLarge {
        /// The most bytes.
        limit: u64,
    },
    /// The bytes that were to be stored stopped coming.
    #[error("the body that was to be stored broke off")]
    Interrupted,
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}
