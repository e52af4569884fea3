//! From an admitted request to its answer: the cache first, then the upstream.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

use crate::cache::{Entry, Freshness, Key, Subject, Usability, Verdict};
use crate::proxy::Edge;
use crate::proxy::admit::Admitted;
use crate::proxy::answer::{Found, How, Source};
use crate::proxy::fetch;
use crate::proxy::fetch::Slot;
use crate::proxy::upstream;
use crate::proxy::upstream::Question;

/// Finds or fetches the answer to a request with these headers.
pub(super) async fn find(edge: &Arc<Edge>, admitted: &Admitted, sent: &HeaderMap) -> Found {
    let question = || Question::new(edge, &admitted.variant, sent);
    if let Some(beyond) = &admitted.beyond_cache {
        let answer = upstream::ask_part(edge, &question(), beyond.range).await;
        let status = answer.head.status;
        return Found::passing(answer, How::Bypass { status });
    }
    let (slot, stored) = stored(edge, admitted.cache_key, sent).await;
    let now = SystemTime::now();
    let left = stored.and_then(|entry| left_by_purges(edge, admitted, entry));
    let Some(entry) = left else {
        return match failure(edge, admitted, slot, now) {
            Some(failure) => Found::new(Source::Stored(failure), How::Hit),
            None => fetch::bring(edge, slot, question(), None).await,
        };
    };
    let is_held = entry.held_until.is_some_and(|until| now < until);
    match entry.freshness.usability(now) {
        Usability::Fresh => Found::new(Source::Stored(entry), How::Hit),
        Usability::Expired if !is_held => match failure(edge, admitted, slot, now) {
            Some(failure) => Found::new(Source::Stored(failure), How::Hit),
            None => fetch::bring(edge, slot, question(), Some(entry)).await,
        },
        Usability::StaleWhileRevalidate | Usability::Expired => {
            if !is_held {
                fetch::refresh(edge, slot, question(), Arc::clone(&entry));
            }
            Found::new(Source::Stored(entry), How::Stale)
        }
    }
}

/// The failure to bring the answer, if that was a moment ago.
fn failure(edge: &Edge, admitted: &Admitted, slot: Slot, now: SystemTime) -> Option<Arc<Entry>> {
    let failure = left_by_purges(edge, admitted, edge.store.memory().get(&slot.of_failure())?)?;
    (failure.freshness.usability(now) == Usability::Fresh).then_some(failure)
}

/// What purges have left of a stored answer.
fn left_by_purges(edge: &Edge, admitted: &Admitted, entry: Arc<Entry>) -> Option<Arc<Entry>> {
    let key = admitted.variant.value().key.as_str();
    let subject = Subject { key, asset: None, tags: &entry.tags };
    match edge.generations.load().verdict(&subject, entry.stamp) {
        Verdict::Valid => Some(entry),
        Verdict::Stale { since } => {
            let since = UNIX_EPOCH + Duration::from_secs(since);
            let fresh_until = entry.freshness.fresh_until.min(since);
            let freshness = Freshness { fresh_until, ..entry.freshness };
            Some(Arc::new(Entry { freshness, ..Entry::clone(&entry) }))
        }
        Verdict::Gone => None,
    }
}

/// What is stored for a request with these headers, and where its answer belongs.
async fn stored(edge: &Edge, base: Key, sent: &HeaderMap) -> (Slot, Option<Arc<Entry>>) {
    let latest = match edge.store.memory().get(&base) {
        // Whoever fetches it has looked on the disk already.
        None if edge.flights.has(&base) => None,
        None => edge.store.get(&base).await,
        there => there,
    };
    let Some(latest) = latest else { return (Slot { base, key: base }, None) };
    // RFC 9111 section 4.1: the latest answer under this key tells by which headers they vary.
    let key = latest.selection.key_for(&base, sent).unwrap_or(base);
    let slot = Slot { base, key };
    match latest.selection.matches(sent) {
        true => (slot, Some(latest)),
        false => (slot, edge.store.get(&key).await),
    }
}
