//! From an admitted request to its answer: the cache first, then the upstream.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName};
use pingora::http::RequestHeader;

use crate::cache::{Body, Entry, Usability};
use crate::proxy::Edge;
use crate::proxy::admit::Admitted;
use crate::proxy::answer::{Found, How, Source};
use crate::proxy::fetch;
use crate::proxy::fetch::Slot;
use crate::proxy::slices;
use crate::proxy::slices::Reader;
use crate::proxy::upstream::Question;

/// Finds or fetches the answer to a request.
pub(super) async fn find(edge: &Arc<Edge>, admitted: &Admitted, asked: &RequestHeader) -> Found {
    let slot = Slot { base: admitted.cache_key, key: admitted.cache_key };
    let (slot, stored) = stored(edge, slot, &asked.headers).await;
    let stored = stored.and_then(|entry| left_by_purges(edge, admitted, entry));
    let now = SystemTime::now();
    if let Some(entry) = &stored
        && entry.freshness.is_fresh(now)
    {
        let found = Found::new(Source::Stored(Arc::clone(entry)), How::Hit);
        return open(edge, admitted, asked, slot, found);
    }
    let question = || Question::new(edge, &admitted.variant, &asked.headers);
    let found = match stored {
        Some(entry) if entry.held_until.is_some_and(|until| now < until) => {
            Found::new(Source::Stored(entry), How::Stale)
        }
        Some(entry) if entry.freshness.usability(now) == Usability::StaleWhileRevalidate => {
            fetch::refresh(edge, slot, question(), Arc::clone(&entry));
            Found::new(Source::Stored(entry), How::Stale)
        }
        expired => match failure(edge, admitted, slot, now) {
            Some(failure) => Found::new(Source::Stored(failure), How::Hit),
            None => bring(edge, slot, question(), expired, asked).await,
        },
    };
    open(edge, admitted, asked, slot, found)
}

async fn bring(
    edge: &Arc<Edge>,
    slot: Slot,
    question: Question,
    expired: Option<Arc<Entry>>,
    asked: &RequestHeader,
) -> Found {
    if expired.is_none()
        && !edge.flights.has(&slot.key)
        && slices::is_asked_in_part(&question, asked)
        && let Some(entry) = slices::introduce(edge, &question, slot.base).await
    {
        return Found::new(Source::Stored(entry), How::Miss { status: 200 });
    }
    fetch::bring(edge, slot, question, expired).await
}

/// Gives an answer in slices the reader that puts them together.
fn open(edge: &Arc<Edge>, admitted: &Admitted, asked: &RequestHeader, slot: Slot, mut found: Found) -> Found {
    if let Source::Stored(entry) = &found.source
        && matches!(entry.body, Body::Sliced { .. })
    {
        let question = Arc::new(Question::new(edge, &admitted.variant, &asked.headers));
        if let Some(object) = slices::Object::of(edge, &question, slot.base, entry) {
            let reader = Reader::new(object, found.progress.take());
            found.source = Source::Sliced(Arc::clone(entry), Box::new(reader));
        }
    }
    found
}

/// The failure to bring the answer, if that was a moment ago.
fn failure(edge: &Edge, admitted: &Admitted, slot: Slot, now: SystemTime) -> Option<Arc<Entry>> {
    let failure = left_by_purges(edge, admitted, edge.store.memory().get(&slot.of_failure())?)?;
    failure.freshness.is_fresh(now).then_some(failure)
}

/// The fresh answer in memory to a request with these headers: `lines` are those of one name. `None`
/// says nothing of what [`find`] may find.
pub(super) fn at_hand<'a>(
    edge: &Edge,
    admitted: &Admitted,
    now: SystemTime,
    lines: impl Fn(&HeaderName) -> Vec<&'a [u8]>,
) -> Option<Arc<Entry>> {
    let entry = edge.store.memory().get(&admitted.cache_key)?;
    let entry = left_by_purges(edge, admitted, entry)?;
    (entry.selection.matches_lines(lines) && entry.freshness.is_fresh(now)).then_some(entry)
}

/// What purges have left of a stored answer.
fn left_by_purges(edge: &Edge, admitted: &Admitted, entry: Arc<Entry>) -> Option<Arc<Entry>> {
    let asset = admitted.asset.as_ref().map(|asset| asset.id.as_str());
    edge.generations.load().left_of(entry, admitted.variant.value().key.as_str(), asset)
}

/// What is stored for a request with these headers, and where its answer belongs.
async fn stored(edge: &Edge, slot: Slot, sent: &HeaderMap) -> (Slot, Option<Arc<Entry>>) {
    let base = slot.base;
    let latest = match edge.store.memory().get(&base) {
        // Whoever fetches it has looked on the disk already.
        None if edge.flights.has(&base) => None,
        None => edge.store.get(&base).await,
        there => there,
    };
    let Some(latest) = latest else { return (slot, None) };
    // RFC 9111 section 4.1: the latest answer under this key tells by which headers they vary.
    let key = latest.selection.key_for(&base, sent).unwrap_or(base);
    let slot = Slot { base, key };
    match latest.selection.matches(sent) {
        true => (slot, Some(latest)),
        false => (slot, edge.store.get(&key).await),
    }
}
