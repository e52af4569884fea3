//! A plain request for a fresh answer in memory: one look-up, and one gathered write of head and body.
//!
//! Whatever decides about the answer is the code of the full way. What is left out is the way itself:
//! the session of HTTP, its copies of heads, and a write for each piece.

use std::borrow::Cow;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::Method;
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, COOKIE, DATE, ORIGIN, TRANSFER_ENCODING};
use pingora::ErrorType;
use pingora::protocols::Stream;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::cache::{Body, Entry, Segments};
use crate::proxy::Edge;
use crate::proxy::access_log::Ended;
use crate::proxy::admit;
use crate::proxy::admit::Admitted;
use crate::proxy::answer::{Found, How, Source};
use crate::proxy::cors::Cors;
use crate::proxy::find;
use crate::proxy::front::head::Plain;
use crate::proxy::front::written;
use crate::proxy::respond;
use crate::signature::Claim;
use crate::telemetry::Outcome;

/// Enough for the head of an answer.
const HEAD_BYTES: usize = 1024;

/// An answer that is ready to go out.
pub(super) struct Hit {
    began: Instant,
    path: String,
    answer: Answer,
}

impl Hit {
    /// The answer to a plain request, if it is one that the full way would send in the same words; `stays`
    /// says whether the connection does. `None` leaves everything to the full way, refusals included.
    pub(super) fn find(edge: &Edge, asked: &Plain<'_, '_>, stays: bool) -> Option<Self> {
        let began = Instant::now();
        let depends_on_more = (asked.has(COOKIE.as_str()) && edge.origin.sees(&COOKIE))
            || (asked.has(ORIGIN.as_str()) && !matches!(edge.cors, Cors::All));
        if depends_on_more {
            return None;
        }
        let now = SystemTime::now();
        let claim = Claim { target: asked.target, api_key: None };
        let request = admit::verified(edge, &claim, now).ok()?;
        let asset = match request.value().source.asset() {
            Some(id) => Some(edge.assets.at_hand(id)?),
            None => None,
        };
        let of_asset = asset.as_ref().map_or(0, |asset| asset.version);
        let admitted = admit::chosen(edge, request, asset, asked.lines(ACCEPT.as_str())).ok()?;
        let entry = find::at_hand(edge, &admitted, now, |name| asked.lines(name.as_str()).collect())?;
        let length = segments(&entry)?.len();
        let age = (entry.freshness.age(now), entry.freshness.ttl(now), admit::unix_seconds(now));
        let situation = written::Situation { entry: &entry, target: asked.target, of_asset, age, stays };
        let head = written::head(&admitted.cache_key, &situation, || {
            write_head(edge, &admitted, &entry, now, stays)
        })?;
        let length = head.len() + length;
        Some(Self { began, path: admitted.path, answer: Answer { head, entry, length, sent: 0 } })
    }

    /// Sends it, counts it, and says whether all of it has gone out.
    pub(super) async fn send(mut self, edge: &Edge, stream: &mut Stream) -> bool {
        let outcome = self.write(edge, stream).await;
        tracing::trace!(path = self.path, "answered by the front");
        Ended {
            method: &Method::GET,
            path: Cow::Owned(self.path),
            status: 200,
            outcome: Outcome::Hit,
            sent: self.answer.sent_of_body(),
            took: self.began.elapsed(),
            timing: None,
            failure: None,
            error: outcome.as_ref().err().map(ErrorType::as_str),
        }
        .write(edge);
        outcome.is_ok()
    }

    async fn write(&mut self, edge: &Edge, stream: &mut Stream) -> Result<(), ErrorType> {
        let longest = edge.client.longest_answer(self.answer.remaining() as u64);
        let whole = async {
            while self.answer.has_remaining() {
                let some = timeout(edge.client.write_timeout, stream.write_buf(&mut self.answer));
                match some.await {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0) | Err(_)) => return Err(ErrorType::WriteError),
                    Err(_) => return Err(ErrorType::WriteTimedout),
                }
            }
            stream.flush().await.map_err(|_| ErrorType::WriteError)
        };
        timeout(longest, whole).await.unwrap_or(Err(ErrorType::WriteTimedout))
    }
}

/// The head in the words, the order and the spelling of the full way.
fn write_head(
    edge: &Edge,
    admitted: &Admitted,
    entry: &Arc<Entry>,
    now: SystemTime,
    stays: bool,
) -> Option<Bytes> {
    let found = Found::new(Source::Stored(Arc::clone(entry)), How::Hit);
    let mut answer = respond::plain_head(edge, admitted, &found, now).ok()??;
    let length = answer.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    if answer.status != 200
        || length != Some(entry.body.len())
        || answer.headers.contains_key(TRANSFER_ENCODING)
    {
        return None;
    }
    answer.insert_header(DATE, httpdate::fmt_http_date(now)).ok()?;
    answer.insert_header(CONNECTION, if stays { "keep-alive" } else { "close" }).ok()?;
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    head.put_slice(b"HTTP/1.1 200 OK\r\n");
    answer.header_to_h1_wire(&mut head);
    head.put_slice(b"\r\n");
    Some(head.freeze())
}

/// Head and body, and how much of them has gone out.
struct Answer {
    head: Bytes,
    /// Its body is in memory.
    entry: Arc<Entry>,
    length: usize,
    sent: usize,
}

impl Answer {
    fn sent_of_body(&self) -> u64 {
        self.sent.saturating_sub(self.head.len()) as u64
    }

    /// What has not gone out yet.
    fn rest(&self) -> impl Iterator<Item = &[u8]> {
        let head = &self.head[self.sent.min(self.head.len())..];
        let in_body = self.sent.saturating_sub(self.head.len());
        let body = segments(&self.entry).into_iter().flat_map(move |segments| segments.slices(in_body));
        std::iter::once(head).chain(body).filter(|slice| !slice.is_empty())
    }
}

fn segments(entry: &Entry) -> Option<&Segments> {
    match &entry.body {
        Body::Memory(segments) => Some(segments),
        Body::Filling(_) | Body::Disk(_) | Body::Sliced { .. } => None,
    }
}

impl Buf for Answer {
    fn remaining(&self) -> usize {
        self.length - self.sent
    }

    fn chunk(&self) -> &[u8] {
        self.rest().next().unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let slots = into.iter_mut().zip(self.rest());
        slots.map(|(slot, slice)| *slot = IoSlice::new(slice)).count()
    }

    fn advance(&mut self, count: usize) {
        self.sent = self.length.min(self.sent + count);
    }
}
