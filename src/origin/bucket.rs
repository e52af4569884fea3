//! The write side of a bucket: an object is drafted, written, synced, and finished under its key.
//!
//! Until it is finished, nobody can see it; what lies under a key is never replaced. A [`Draft`] can be
//! written down between two calls, and whoever reads it goes on with what was synced: after a crash, or
//! in another process. One draft has one writer at a time, which its users see to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::BytesMut;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::origin::directory::Directory;
use crate::origin::s3::S3;
use crate::origin::{Body, Config, Error, Kind, ObjectKey, OpenError};

/// The bucket that `config` describes, as one that takes objects; `None` for an HTTP origin.
///
/// # Errors
/// As [`open`](crate::origin::open).
pub fn open_bucket(config: &Config, data_dir: &Path) -> Result<Option<Arc<dyn Bucket>>, OpenError> {
    Ok(match config.kind {
        Kind::Directory => Some(Arc::new(Directory::open(config, data_dir)?)),
        Kind::S3 => Some(Arc::new(S3::open(config)?)),
        Kind::Http => None,
    })
}

/// A bucket that takes objects.
#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// What kind of store it is, in the words of an asset's JSON.
    fn storage_type(&self) -> &'static str;

    /// Its name.
    fn name(&self) -> &str;

    /// Begins an object. Its length, where it is known, helps to choose the size of parts.
    ///
    /// # Errors
    /// [`Error::Refused`] for a key that could not be read again, [`Error::TooLarge`] for a length that
    /// the bucket cannot hold.
    fn begin(&self, key: &ObjectKey, content_type: Option<&str>, length: Option<u64>)
    -> Result<Draft, Error>;

    /// Takes these bytes behind those that were written before, in bounded memory. What arrived before
    /// an error has been taken.
    ///
    /// # Errors
    /// That of the body, or that of the bucket.
    async fn write(&self, draft: &mut Draft, body: Body) -> Result<(), Error>;

    /// Makes all that was written durable; [`Draft::durable`] counts it then.
    ///
    /// # Errors
    /// That of the bucket; what was durable before still is.
    async fn sync(&self, draft: &mut Draft) -> Result<(), Error>;

    /// Makes all that was written durable, and visible under its key. It may be asked again after a
    /// crash or an error, also when it had been done.
    ///
    /// # Errors
    /// [`Error::Exists`] if something else lies under the key, [`Error::NotFound`] if the draft has been
    /// abandoned, or that of the bucket.
    async fn finish(&self, draft: &mut Draft) -> Result<(), Error>;

    /// Removes what was written of an object that is not finished.
    ///
    /// # Errors
    /// That of the bucket; nothing to remove is none.
    async fn abandon(&self, draft: &Draft) -> Result<(), Error>;

    /// Removes an object.
    ///
    /// # Errors
    /// That of the bucket; nothing to remove is none.
    async fn delete(&self, key: &ObjectKey) -> Result<(), Error>;

    /// The keys of all objects that begin with this text, as a stream. A directory's links and hidden files
    /// are none, nor is what no URL could name.
    fn keys<'a>(&'a self, prefix: &'a str) -> Keys<'a>;

    /// A URL that reads an object without any key for so long; `None` where nobody but us reads.
    fn presigned_get(&self, _: &ObjectKey, _expires_in: Duration, _: &Presentation<'_>) -> Option<String> {
        None
    }

    /// A form with which a browser stores an object by itself; `None` where nobody but us writes.
    fn post_policy(&self, _: &PostWish<'_>) -> Option<PostPolicy> {
        None
    }
}

/// Keys of objects. It ends with the first error.
pub type Keys<'a> = BoxStream<'a, Result<ObjectKey, Error>>;

/// How an object presents itself to whoever has a URL from [`Bucket::presigned_get`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Presentation<'a> {
    /// Value of `Content-Disposition`.
    pub disposition: Option<&'a str>,
    /// Value of `Content-Type`.
    pub content_type: Option<&'a str>,
}

/// What a form of [`Bucket::post_policy`] allows.
#[derive(Debug, Clone, Copy)]
pub struct PostWish<'a> {
    /// The object's key.
    pub key: &'a ObjectKey,
    /// The most bytes that it may have; at least one.
    pub max_bytes: u64,
    /// The present time.
    pub now: SystemTime,
    /// How long the form may be used.
    pub expires_in: Duration,
}

/// A form that a browser sends with the object as its last field, `file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostPolicy {
    /// Where it is sent.
    pub url: String,
    /// The fields in front of the file.
    pub fields: BTreeMap<&'static str, String>,
}

/// An object that is not finished.
#[derive(Serialize, Deserialize)]
pub struct Draft {
    pub(super) key: ObjectKey,
    pub(super) content_type: Option<String>,
    /// The length that was announced.
    pub(super) length: Option<u64>,
    durable: u64,
    /// What was written since the last sync; lost with the process.
    #[serde(skip)]
    ahead: u64,
    pub(super) place: Place,
}

/// Where the bytes of a draft are.
#[derive(Serialize, Deserialize)]
pub(super) enum Place {
    /// In a file of this name.
    File(String),
    /// In parts.
    Parts(Parts),
}

/// An object in parts.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Parts {
    /// Tells our object from any other under the same key.
    pub(super) mark: String,
    /// Given by the bucket as soon as there is more than one part.
    pub(super) upload_id: Option<String>,
    /// The entity tags of the parts in their order, without their quotes.
    pub(super) etags: Vec<String>,
    /// Bytes in those parts.
    pub(super) bytes: u64,
    /// An object of its own that keeps what is too little for a part.
    pub(super) tail: Option<Tail>,
    /// The one before, which the draft as last written down may still name.
    pub(super) older_tail: Option<ObjectKey>,
    /// What is too little for a part; empty in a draft that was just read, though there may be a tail.
    #[serde(skip)]
    pub(super) rest: BytesMut,
}

/// What is too little for a part.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Tail {
    pub(super) key: ObjectKey,
    pub(super) bytes: u64,
}

impl Draft {
    pub(super) fn new(
        key: &ObjectKey,
        content_type: Option<&str>,
        length: Option<u64>,
        place: Place,
    ) -> Self {
        let (key, content_type) = (key.clone(), content_type.map(str::to_owned));
        Self { key, content_type, length, durable: 0, ahead: 0, place }
    }

    /// The key that it will have.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// How many bytes outlive the process.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.durable + self.ahead
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.ahead += bytes as u64;
    }

    pub(super) fn synced(&mut self) {
        self.durable += std::mem::take(&mut self.ahead);
    }
}

/// A name that nothing else has.
pub(super) fn draw_name() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}
