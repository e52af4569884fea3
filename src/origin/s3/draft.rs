//! Objects on their way into S3: one PUT where they are small, else the parts of a multipart upload.
//!
//! We keep the list of parts ourselves and never ask for it: what a bucket lists may lag behind. What is
//! too little for a part is kept as an object of its own between two syncs. All bodies carry their MD5,
//! and the finished object carries a mark, so that a request whose answer was lost is told from an
//! object of somebody else. A part is in memory while it is collected and sent; nothing more is.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::header::{CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use md5::{Digest, Md5};
use reqwest::{Response, Url};
use rusty_s3::S3Action;
use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateMultipartUpload,
    DeleteObject, GetObject, HeadObject, PutObject, UploadPart,
};

use crate::origin::bucket::{Parts, Place, Tail, draw_name};
use crate::origin::s3::{EXPIRY, S3, policy};
use crate::origin::{
    Answer, Ask, Body, Bucket, Draft, Error, Keys, ObjectKey, Origin, PostPolicy, PostWish, Presentation,
};

const MIB: u64 = 1 << 20;

/// S3 takes no more parts.
const MOST_PARTS: u64 = 10_000;

/// What a part has at least, S3's own limit being 5 MiB, and at most: it is held in memory.
const PART: u64 = 8 * MIB;
const LARGEST_PART: u64 = 64 * MIB;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const MARK: HeaderName = HeaderName::from_static("x-amz-meta-kinora-draft");

/// The longest life of a presigned URL that S3 takes.
const LONGEST_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// How large the next part of a draft is. Without a length, parts grow so that their limit is far off.
fn part_bytes(length: Option<u64>, parts: usize) -> u64 {
    match length {
        Some(length) => length.div_ceil(MOST_PARTS).next_multiple_of(MIB).clamp(PART, LARGEST_PART),
        None => (PART << (parts / 1000)).min(LARGEST_PART),
    }
}

/// The largest object that the bucket holds.
fn most_bytes(length: Option<u64>) -> u64 {
    match length {
        Some(_) => MOST_PARTS * LARGEST_PART,
        None => (0..MOST_PARTS as usize).map(|parts| part_bytes(None, parts)).sum(),
    }
}

#[async_trait]
impl Bucket for S3 {
    fn storage_type(&self) -> &'static str {
        "AMAZON_S3"
    }

    fn name(&self) -> &str {
        self.bucket.name()
    }

    fn begin(
        &self,
        key: &ObjectKey,
        content_type: Option<&str>,
        length: Option<u64>,
    ) -> Result<Draft, Error> {
        let limit = most_bytes(length);
        if length.is_some_and(|length| length > limit) {
            return Err(Error::TooLarge { limit });
        }
        let parts = Parts { mark: draw_name()?, ..Parts::default() };
        Ok(Draft::new(key, content_type, length, Place::Parts(parts)))
    }

    async fn write(&self, draft: &mut Draft, mut body: Body) -> Result<(), Error> {
        self.recall(draft).await?;
        let limit = most_bytes(draft.length);
        while let Some(piece) = body.next().await {
            let piece = piece?;
            if draft.written() + piece.len() as u64 > limit {
                return Err(Error::TooLarge { limit });
            }
            parts(draft)?.rest.extend_from_slice(&piece);
            draft.wrote(piece.len());
            self.send_full_parts(draft).await?;
        }
        Ok(())
    }

    async fn sync(&self, draft: &mut Draft) -> Result<(), Error> {
        if draft.written() > draft.durable() {
            self.keep_tail(draft).await?;
            draft.synced();
        }
        Ok(())
    }

    async fn finish(&self, draft: &mut Draft) -> Result<(), Error> {
        match self.complete(draft).await {
            Ok(()) => {}
            // Perhaps it was done, and only its answer got lost.
            Err(error) => match self.holds(draft).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(error),
            },
        }
        draft.synced();
        // Nothing needs them any more; one that stays is found by whoever looks for such names.
        let _ = self.drop_tails(parts(draft)?).await;
        Ok(())
    }

    async fn abandon(&self, draft: &Draft) -> Result<(), Error> {
        let Place::Parts(parts) = &draft.place else { return Ok(()) };
        if let Some(id) = &parts.upload_id {
            let action =
                AbortMultipartUpload::new(&self.bucket, self.credentials.as_ref(), draft.key.as_str(), id);
            gone(self.ask(action, Method::DELETE, &HeaderMap::new(), Bytes::new()).await)?;
        }
        self.drop_tails(parts).await
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> Keys<'a> {
        self.list(prefix)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        let action = DeleteObject::new(&self.bucket, self.credentials.as_ref(), key.as_str());
        gone(self.ask(action, Method::DELETE, &HeaderMap::new(), Bytes::new()).await)
    }

    fn presigned_get(&self, key: &ObjectKey, expires_in: Duration, as_: &Presentation<'_>) -> Option<String> {
        let mut action = GetObject::new(&self.bucket, self.credentials.as_ref(), key.as_str());
        for (name, value) in
            [("response-content-disposition", as_.disposition), ("response-content-type", as_.content_type)]
        {
            if let Some(value) = value {
                action.query_mut().insert(name, value.to_owned());
            }
        }
        Some(action.sign(expires_in.clamp(Duration::from_secs(1), LONGEST_EXPIRY)).into())
    }

    fn post_policy(&self, wish: &PostWish<'_>) -> Option<PostPolicy> {
        Some(policy::form(&self.bucket, self.credentials.as_ref()?, wish))
    }
}

impl S3 {
    /// Reads back what was too little for a part.
    async fn recall(&self, draft: &mut Draft) -> Result<(), Error> {
        let parts = parts(draft)?;
        let Some(tail) = parts.tail.clone().filter(|_| parts.rest.is_empty()) else { return Ok(()) };
        let Answer::Object(object) = self.get(&tail.key, &Ask::default()).await? else {
            return Err(Error::BadAnswer("304 without a condition".to_owned()));
        };
        if object.info.length != Some(tail.bytes) {
            return Err(Error::BadAnswer("the end of a draft has another length".to_owned()));
        }
        let pieces: Vec<Bytes> = object.body.try_collect().await?;
        for piece in pieces {
            parts.rest.extend_from_slice(&piece);
        }
        Ok(())
    }

    async fn send_full_parts(&self, draft: &mut Draft) -> Result<(), Error> {
        loop {
            let length = draft.length;
            let parts = parts(draft)?;
            let wanted = part_bytes(length, parts.etags.len()) as usize;
            if parts.rest.len() < wanted {
                return Ok(());
            }
            self.send_part(draft, wanted).await?;
        }
    }

    /// Sends the first bytes of the rest as the next part; they stay in the rest if that fails.
    async fn send_part(&self, draft: &mut Draft, bytes: usize) -> Result<(), Error> {
        let id = self.upload_id(draft).await?;
        let key = draft.key.clone();
        let parts = parts(draft)?;
        let number = u16::try_from(parts.etags.len() + 1).map_err(std::io::Error::other)?;
        // Only what is frozen can be sent, and only what is sent may leave the rest.
        let part = parts.rest.split_to(bytes).freeze();
        let action = UploadPart::new(&self.bucket, self.credentials.as_ref(), key.as_str(), number, &id);
        match self.store(action, HeaderMap::new(), part.clone()).await.and_then(|answer| etag(&answer)) {
            Ok(etag) => {
                parts.etags.push(etag);
                parts.bytes += bytes as u64;
                Ok(())
            }
            Err(error) => {
                let behind = std::mem::take(&mut parts.rest);
                parts.rest.extend_from_slice(&part);
                parts.rest.extend_from_slice(&behind);
                Err(error)
            }
        }
    }

    async fn upload_id(&self, draft: &mut Draft) -> Result<String, Error> {
        if let Some(id) = &parts(draft)?.upload_id {
            return Ok(id.clone());
        }
        let headers = object_headers(draft)?;
        let action = CreateMultipartUpload::new(&self.bucket, self.credentials.as_ref(), draft.key.as_str());
        let answer = self.ask(action, Method::POST, &headers, Bytes::new()).await?;
        let body = self.fetcher.error_body(answer).await;
        let id = CreateMultipartUpload::parse_response(&String::from_utf8_lossy(&body))
            .map_err(|_| Error::BadAnswer("no id for a multipart upload".to_owned()))?;
        let id = id.upload_id().to_owned();
        parts(draft)?.upload_id = Some(id.clone());
        Ok(id)
    }

    /// Stores the rest as an object of its own. The one before stays until the next time: the draft as
    /// last written down names it.
    async fn keep_tail(&self, draft: &mut Draft) -> Result<(), Error> {
        let name = format!("{}.{}", draft.key, draw_name()?);
        let parts = parts(draft)?;
        if let Some(key) = parts.older_tail.take() {
            // It stays behind if this fails, and does no harm.
            let _ = self.delete(&key).await;
        }
        parts.older_tail = parts.tail.take().map(|tail| tail.key);
        if parts.rest.is_empty() {
            return Ok(());
        }
        let key = ObjectKey::new(name).map_err(|_| Error::Refused("the key is too long".to_owned()))?;
        let body = Bytes::copy_from_slice(&parts.rest);
        let bytes = body.len() as u64;
        let action = PutObject::new(&self.bucket, self.credentials.as_ref(), key.as_str());
        self.store(action, HeaderMap::new(), body).await?;
        parts.tail = Some(Tail { key, bytes });
        Ok(())
    }

    async fn complete(&self, draft: &mut Draft) -> Result<(), Error> {
        self.recall(draft).await?;
        let credentials = self.credentials.as_ref();
        if parts(draft)?.upload_id.is_none() {
            let headers = object_headers(draft)?;
            let body = Bytes::copy_from_slice(&parts(draft)?.rest);
            let action = PutObject::new(&self.bucket, credentials, draft.key.as_str());
            return self.store(action, unless_there(headers), body).await.map(drop);
        }
        let rest = parts(draft)?.rest.len();
        if rest > 0 {
            self.send_part(draft, rest).await?;
        }
        let (id, key) = (self.upload_id(draft).await?, draft.key.clone());
        let parts = parts(draft)?;
        let etags = || parts.etags.iter().map(String::as_str);
        let list = CompleteMultipartUpload::new(&self.bucket, credentials, key.as_str(), &id, etags()).body();
        let action = CompleteMultipartUpload::new(&self.bucket, credentials, key.as_str(), &id, etags());
        let headers = unless_there(HeaderMap::new());
        let answer = self.ask(action, Method::POST, &headers, list.into()).await?;
        // The bucket answers before it knows, and says in the body how it went.
        let body = self.fetcher.error_body(answer).await;
        match CompleteMultipartUploadResponse::parse(&String::from_utf8_lossy(&body)) {
            Ok(_) => Ok(()),
            Err(_) => Err(super::failure(StatusCode::OK, &super::error_code(&body))),
        }
    }

    /// Whether this very object lies under its key already.
    async fn holds(&self, draft: &mut Draft) -> Result<bool, Error> {
        let action = HeadObject::new(&self.bucket, self.credentials.as_ref(), draft.key.as_str());
        let answer = self.ask(action, Method::HEAD, &HeaderMap::new(), Bytes::new()).await?;
        let mark = answer.headers().get(MARK).map(HeaderValue::as_bytes);
        Ok(mark == Some(parts(draft)?.mark.as_bytes()))
    }

    async fn drop_tails(&self, parts: &Parts) -> Result<(), Error> {
        let tail = parts.tail.as_ref().map(|tail| &tail.key);
        for key in tail.into_iter().chain(&parts.older_tail) {
            self.delete(key).await?;
        }
        Ok(())
    }

    /// Sends a body with its MD5, which the bucket compares.
    async fn store<'a>(
        &self,
        action: impl S3Action<'a>,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Error> {
        let hashed = body.clone();
        let md5 = tokio::task::spawn_blocking(move || Md5::digest(&hashed));
        let md5 = BASE64_STANDARD.encode(md5.await.map_err(std::io::Error::other)?);
        headers.insert(CONTENT_MD5, value(&md5)?);
        self.ask(action, Method::PUT, &headers, body).await
    }

    /// Sends a signed request; its headers are signed with it.
    async fn ask<'a>(
        &self,
        mut action: impl S3Action<'a>,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, Error> {
        for (name, value) in headers {
            let value = value.to_str().map_err(std::io::Error::other)?.to_owned();
            action.headers_mut().insert(name.as_str().to_owned(), value);
        }
        let url: Url = action.sign(EXPIRY);
        let answer = self.fetcher.send_body(&method, &url, headers, body).await?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            // A condition of ours: nothing is replaced.
            StatusCode::PRECONDITION_FAILED => Err(Error::Exists),
            _ => Err(self.refused(answer).await),
        }
    }
}

fn parts(draft: &mut Draft) -> Result<&mut Parts, Error> {
    match &mut draft.place {
        Place::Parts(parts) => Ok(parts),
        Place::File(_) => Err(Error::NotFound(Box::default())),
    }
}

/// What an object keeps beside its bytes.
fn object_headers(draft: &mut Draft) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = &draft.content_type {
        headers.insert(CONTENT_TYPE, value(content_type)?);
    }
    headers.insert(MARK, value(&parts(draft)?.mark)?);
    Ok(headers)
}

fn unless_there(mut headers: HeaderMap) -> HeaderMap {
    headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    headers
}

fn value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|error| std::io::Error::other(error).into())
}

fn etag(answer: &Response) -> Result<String, Error> {
    let etag = answer.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
    let etag = etag.ok_or_else(|| Error::BadAnswer("a part without its tag".to_owned()))?;
    Ok(etag.to_owned())
}

/// What is not there needs no removing.
fn gone(outcome: Result<Response, Error>) -> Result<(), Error> {
    match outcome {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_large_as_the_limit_of_their_number_asks() {
        const GIB: u64 = 1 << 30;
        for (length, expected) in [
            (0, PART),
            (5 * GIB, PART),
            (MOST_PARTS * PART, PART),
            (MOST_PARTS * PART + 1, 9 * MIB),
            (500 * GIB, 52 * MIB),
            (MOST_PARTS * LARGEST_PART, LARGEST_PART),
        ] {
            let part = part_bytes(Some(length), 0);
            assert_eq!(part, expected, "{length}");
            assert!(length.div_ceil(part) <= MOST_PARTS, "{length} takes too many parts of {part}");
        }
        for (parts, expected) in [(0, 8), (999, 8), (1000, 16), (2000, 32), (3000, 64), (9999, 64)] {
            assert_eq!(part_bytes(None, parts), expected * MIB, "part {parts} without a length");
        }
        assert!(most_bytes(None) > 400 * GIB, "what has no length may still be large");
    }
}
