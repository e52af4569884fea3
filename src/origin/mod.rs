//! Where originals live: one trait, three implementations (a directory, S3, HTTP).
//!
//! An origin hands out bytes as a stream and never holds a whole object. Validators (`ETag`,
//! `Last-Modified`) are passed on as the origin gave them.

mod key;

use std::pin::Pin;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;

pub use key::{InvalidKey, ObjectKey};

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

    /// Whether the bucket can be reached at all; for readiness.
    ///
    /// # Errors
    /// Any but [`Error::NotFound`].
    async fn ready(&self) -> Result<(), Error>;
}

/// What is asked of an object besides its key.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Only this part.
    pub range: Option<ByteRange>,
    /// Answer [`Answer::NotModified`] if the object still has one of these (text of `If-None-Match`).
    pub if_none_match: Option<String>,
    /// Answer [`Answer::NotModified`] if unchanged since; ignored beside `if_none_match`.
    pub if_modified_since: Option<SystemTime>,
    /// Fail with [`Error::Changed`] unless the object still has this entity tag.
    pub if_match: Option<String>,
    /// The client's own headers; an HTTP origin forwards those that its configuration names.
    pub headers: HeaderMap,
}

/// A part of an object, RFC 9110 section 14.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first byte named to the last one named.
    Between(u64, u64),
    /// From this byte to the end.
    From(u64),
    /// The last so many bytes.
    Last(u64),
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

/// The bytes of an object, in pieces of at most about 64 KiB.
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

/// Why an origin could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object (S3 and HTTP: 404, 410).
    #[error("no such object")]
    NotFound,
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
    /// Reading the local directory failed.
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
}
