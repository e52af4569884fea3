//! One version of a file, read in parts.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};

use crate::origin;
use crate::origin::{Answer, Ask, Body, ByteRange, ObjectKey, Origin};
use crate::video::error::Error;

/// One version of a file, read in parts. A part of another version is never given: reading ends with
/// [`origin::Error::Changed`] then.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Bytes of the whole file.
    fn length(&self) -> u64;

    /// Strong entity tag of this version, with its quotes.
    fn etag(&self) -> &str;

    /// The bytes of a range that lies inside the file, in pieces and in order. A body that ends early ends with
    /// an error.
    async fn open(&self, range: Range<u64>) -> Result<Body, origin::Error>;
}

/// The bytes of a range, in one piece; for what is known to be small.
///
/// # Errors
/// [`Error::Corrupt`] if the range is not inside the file, [`Error::Origin`].
pub async fn read(source: &dyn Source, range: Range<u64>) -> Result<Bytes, Error> {
    if range.start > range.end || range.end > source.length() {
        return Err(Error::Corrupt("it points beyond its end"));
    }
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let wanted = usize::try_from(range.end - range.start).map_err(|_| Error::TooLarge("a part of it"))?;
    let mut body = source.open(range).await?;
    let Some(first) = body.try_next().await? else { return Err(cut_short()) };
    if first.len() == wanted {
        return Ok(first);
    }
    let mut all = BytesMut::from(first);
    while let Some(piece) = body.try_next().await? {
        all.extend_from_slice(&piece);
    }
    if all.len() == wanted { Ok(all.freeze()) } else { Err(cut_short()) }
}

fn cut_short() -> Error {
    origin::Error::BadAnswer("a part of another length than asked for".to_owned()).into()
}

/// A file as the origin has it, without a cache in between.
pub struct OriginSource {
    origin: Arc<dyn Origin>,
    key: ObjectKey,
    length: u64,
    etag: String,
}

impl OriginSource {
    /// The present version of an object.
    ///
    /// # Errors
    /// What the origin says; [`origin::Error::BadAnswer`] from one that tells no length or no strong tag.
    pub async fn open(origin: Arc<dyn Origin>, key: ObjectKey) -> Result<Self, origin::Error> {
        let info = origin.head(&key).await?;
        let lacking = |what: &str| origin::Error::BadAnswer(format!("an object without {what}"));
        let length = info.length.ok_or_else(|| lacking("a length"))?;
        let etag =
            info.etag.filter(|tag| tag.starts_with('"')).ok_or_else(|| lacking("a strong entity tag"))?;
        Ok(Self { origin, key, length, etag })
    }
}

#[async_trait]
impl Source for OriginSource {
    fn length(&self) -> u64 {
        self.length
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    async fn open(&self, range: Range<u64>) -> Result<Body, origin::Error> {
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let part = ByteRange::Between(range.start, range.end - 1);
        let ask = Ask { range: Some(part), if_match: Some(self.etag.clone()), ..Ask::default() };
        match self.origin.get(&self.key, &ask).await? {
            Answer::Object(object) if object.info.etag.as_deref() != Some(&self.etag) => {
                Err(origin::Error::Changed)
            }
            Answer::Object(object) if object.part == part.within(self.length) => Ok(object.body),
            Answer::Object(_) | Answer::NotModified(_) => {
                Err(origin::Error::BadAnswer("another part than the one asked for".to_owned()))
            }
        }
    }
}
