//! Large originals in slices: a range of a long video costs the origin that range, once for all viewers.
//!
//! An object's entry holds its head alone. Its bytes are cut at multiples of the slice size, and each
//! slice is an entry of its own, named by the object's entity tag too: slices of two versions never meet
//! in one answer. Every request toward the origin says `If-Match`.

mod reader;
mod run;

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{ETAG, RANGE};
use http::{HeaderMap, Method};
use pingora::http::RequestHeader;

use crate::cache::{Body, Entry, Joined, Key, Landing, Subject, Verdict};
use crate::headers::conditional::EntityTag;
use crate::metadata::Stamp;
use crate::proxy::Edge;
use crate::proxy::upstream;
use crate::proxy::upstream::Question;

pub(super) use reader::Reader;
pub(super) use run::{Progress, deliver};

/// Which objects are kept in slices, and how large those are.
#[derive(Debug, Clone, Copy)]
pub struct Slices {
    /// Bytes of a slice; the last one of an object is what is left.
    pub bytes: u64,
    /// Originals with more bytes than this, where a part of them is what is asked for first; else those that
    /// are too large for an entry of their own.
    pub above: u64,
}

/// One version of a large original.
#[derive(Clone)]
pub(super) struct Object {
    edge: Arc<Edge>,
    question: Arc<Question>,
    /// The key of the object's own entry.
    base: Key,
    etag: Arc<str>,
    length: u64,
    tags: Box<[Box<str>]>,
}

impl Object {
    /// The object of an entry, if that is one in slices.
    pub(super) fn of(edge: &Arc<Edge>, question: &Arc<Question>, base: Key, entry: &Entry) -> Option<Self> {
        let Body::Sliced { length } = entry.body else { return None };
        Some(Self {
            edge: Arc::clone(edge),
            question: Arc::clone(question),
            base,
            etag: strong_tag(&entry.head.headers)?.into(),
            length,
            tags: entry.tags.clone(),
        })
    }

    /// The index of the last slice.
    fn last(&self) -> u64 {
        self.length.saturating_sub(1) / self.edge.slices.bytes
    }

    /// First byte and the one behind the last.
    fn span(&self, index: u64) -> (u64, u64) {
        let first = index * self.edge.slices.bytes;
        (first, self.length.min(first + self.edge.slices.bytes))
    }

    fn key(&self, index: u64) -> Key {
        let size = self.edge.slices.bytes.to_be_bytes();
        self.base.within(&[b"slice", self.etag.as_bytes(), &size, &index.to_be_bytes()])
    }

    /// Whether a slice is stored, or on its way.
    fn has(&self, index: u64) -> bool {
        let key = self.key(index);
        self.edge.store.contains(&key) || self.edge.flights.has(&key)
    }

    async fn stored(&self, index: u64) -> Option<Arc<Entry>> {
        let slice = self.edge.store.get(&self.key(index)).await?;
        self.is_valid(slice.stamp).then_some(slice)
    }

    fn join(&self, index: u64) -> Joined {
        let newest = self.edge.generations.load().newest();
        self.edge.flights.join(self.key(index), newest, |stamp| self.is_valid(stamp))
    }

    fn is_valid(&self, stamp: Stamp) -> bool {
        let subject = Subject { key: self.question.key().as_str(), asset: None, tags: &self.tags };
        self.edge.generations.load().verdict(&subject, stamp) == Verdict::Valid
    }
}

/// Whether an original can be kept in slices: it takes a strong tag to join them by.
pub(super) fn can_be_sliced(edge: &Edge, question: &Question, base: &Key, head: &HeaderMap) -> bool {
    !question.is_for_a_picture() && strong_tag(head).is_some() && !edge.whole_only.contains_key(base)
}

/// Whether the size of an object is worth a question before it is fetched.
pub(super) fn is_asked_in_part(question: &Question, asked: &RequestHeader) -> bool {
    let is_original = !question.is_for_a_picture();
    is_original && (asked.method == Method::HEAD || asked.headers.contains_key(RANGE))
}

/// The entry of a large original that nobody has asked for yet, made of the answer to HEAD. `None` for
/// one that is to be fetched whole, or about which nothing can be learnt that way.
pub(super) async fn introduce(edge: &Edge, question: &Question, base: Key) -> Option<Arc<Entry>> {
    let newest = edge.generations.load().newest();
    let pilot = match edge.flights.join(base.within(&[b"head"]), newest, |stamp| stamp >= newest) {
        Joined::First(pilot) => pilot,
        Joined::Other(flight) => match flight.landing().await {
            Landing::Shared(entry) => return Some(entry),
            Landing::Private | Landing::Broken(_) | Landing::Lost => return None,
        },
    };
    let Some(entry) = headed(edge, question, base, pilot.stamp()).await else {
        pilot.land(Landing::Private);
        return None;
    };
    edge.store.keep(base, &entry, true);
    pilot.land(Landing::Shared(Arc::clone(&entry)));
    Some(entry)
}

async fn headed(edge: &Edge, question: &Question, base: Key, stamp: Stamp) -> Option<Arc<Entry>> {
    let head = upstream::head(edge, question).await?;
    let length = head.length()?;
    if length <= edge.slices.above || !can_be_sliced(edge, question, &base, &head.headers) {
        return None;
    }
    let freshness = edge.freshness.admit(&head, SystemTime::now())?;
    Some(Arc::new(Entry::new(head, &question.headers, freshness, stamp, Body::Sliced { length })))
}

fn strong_tag(headers: &HeaderMap) -> Option<&str> {
    let tag = headers.get(ETAG)?;
    EntityTag::parse(tag.as_bytes()).filter(|tag| !tag.is_weak())?;
    tag.to_str().ok()
}
