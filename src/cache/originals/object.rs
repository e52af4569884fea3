//! An original as a stored entry, and back.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderName, HeaderValue};

use crate::cache::ReadError;
use crate::cache::entry::{Entry, Head};
use crate::headers::cache_control::Directives;
use crate::origin::{Answer, Ask, Body, ByteRange, Error, ObjectInfo, ObjectKey, Origin};

/// Of what is stored, so much is read at once.
const PIECE: u64 = 256 * 1024;

/// Those facts of an object that have a field of their own.
const FACTS: [HeaderName; 4] = [CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED];

/// The head of an object's answer, without what must not be stored of it.
pub(super) fn head(info: &ObjectInfo) -> Head {
    let mut headers = info.headers.clone();
    let lines = info.headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::as_bytes);
    for name in Directives::parse(lines).restricted_fields() {
        headers.remove(name);
    }
    let changed = info.last_modified.map(httpdate::fmt_http_date);
    let length = info.length.map(|length| length.to_string());
    let facts = [length.as_ref(), info.content_type.as_ref(), info.etag.as_ref(), changed.as_ref()];
    for (name, value) in FACTS.into_iter().zip(facts) {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    Head { status: 200, headers }
}

/// The facts of a stored object. Its age counts against the life of what is made of it.
pub(super) fn info(entry: &Entry, now: SystemTime) -> ObjectInfo {
    let mut headers = entry.head.headers.clone();
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    for name in FACTS {
        headers.remove(name);
    }
    headers.remove(AGE);
    let age = entry.freshness.age(now);
    if age > 0 {
        headers.insert(AGE, age.into());
    }
    ObjectInfo {
        length: Some(entry.body.len()),
        etag: entry.head.etag().map(str::to_owned),
        last_modified: entry.head.last_modified(),
        content_type,
        headers,
    }
}

/// Asks whether a stored object is still the same.
pub(super) fn condition(entry: &Entry) -> Ask {
    Ask {
        if_none_match: entry.head.etag().map(str::to_owned),
        if_modified_since: entry.head.last_modified(),
        ..Ask::default()
    }
}

/// A stored object that is being read.
pub(super) struct Reading {
    origin: Arc<dyn Origin>,
    key: ObjectKey,
    entry: Arc<Entry>,
    position: u64,
    /// What is left of it, from the origin itself.
    rest: Option<Body>,
}

impl Reading {
    pub(super) fn new(origin: Arc<dyn Origin>, key: ObjectKey, entry: Arc<Entry>) -> Self {
        Self { origin, key, entry, position: 0, rest: None }
    }

    pub(super) fn into_body(self) -> Body {
        Box::pin(stream::try_unfold(self, |mut reading| async move {
            Ok(reading.next().await?.map(|piece| (piece, reading)))
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(rest) = &mut self.rest {
            return rest.next().await.transpose();
        }
        match self.entry.body.read(self.position, self.position + PIECE).await {
            Ok(piece) => {
                self.position += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                Ok(piece)
            }
            Err(ReadError::Origin(error)) => Err(error),
            Err(error @ (ReadError::FillFailed | ReadError::Changed | ReadError::Disk(_))) => {
                tracing::debug!(%error, key = %self.key, "the rest of an original comes from the origin");
                let rest = self.ask_for_rest().await?;
                self.rest.insert(rest).next().await.transpose()
            }
        }
    }

    /// The bytes that are left, if they are of the same state of the object.
    async fn ask_for_rest(&mut self) -> Result<Body, Error> {
        let etag = self.entry.head.etag().filter(|etag| !etag.starts_with("W/")).ok_or(Error::Changed)?;
        let range = Some(ByteRange::From(self.position));
        let ask = Ask { range, if_match: Some(etag.to_owned()), ..Ask::default() };
        match self.origin.get(&self.key, &ask).await? {
            Answer::Object(object) if object.part.is_some_and(|(first, _)| first == self.position) => {
                Ok(object.body)
            }
            _ => Err(Error::BadAnswer("not the part that was asked for".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::HeaderMap;

    use super::*;
    use crate::cache::entry::{Body as Stored, Freshness};
    use crate::cache::segments::Segments;
    use crate::cache::selection::Selection;
    use crate::metadata::Stamp;

    const NOW: SystemTime = UNIX_EPOCH;

    fn entry(info: &ObjectInfo) -> Entry {
        let mut body = Segments::default();
        body.push(Bytes::from(vec![0; 3]));
        Entry {
            head: head(info),
            freshness: Freshness::none(NOW),
            stamp: Stamp::default(),
            tags: Box::default(),
            selection: Selection::default(),
            held_until: None,
            body: Stored::Memory(body),
        }
    }

    #[test]
    fn facts_survive_and_what_is_restricted_does_not() {
        let lines = [
            ("cache-control", "max-age=9, private=\"x-mine\", no-cache=\"x-asked\""),
            ("x-mine", "1"),
            ("x-asked", "2"),
            ("x-all", "3"),
            ("age", "4"),
        ];
        let lines =
            lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let told = ObjectInfo {
            length: Some(3),
            etag: Some("\"a\"".to_owned()),
            last_modified: Some(UNIX_EPOCH + Duration::from_secs(784_111_777)),
            content_type: Some("image/jpeg".to_owned()),
            headers: lines.into_iter().collect(),
        };
        let entry = entry(&told);
        let read = info(&entry, NOW + Duration::from_secs(7));
        assert_eq!(
            (read.length, &read.etag, read.last_modified, &read.content_type),
            (told.length, &told.etag, told.last_modified, &told.content_type)
        );
        let left = ["cache-control", "x-all", "age"].map(|name| read.headers[name].clone());
        assert_eq!((left[1].to_str().ok(), left[2].to_str().ok()), (Some("3"), Some("7")), "{left:?}");
        assert_eq!(read.headers.len(), 3, "{read:?}");
        let asked = condition(&entry);
        assert_eq!((asked.if_none_match, asked.if_modified_since), (told.etag, told.last_modified));
        assert!(condition(&self::entry(&ObjectInfo::default())).headers == HeaderMap::new());
    }
}
