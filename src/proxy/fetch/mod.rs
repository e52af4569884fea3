//! The way to the upstream and into the cache: one flight for equal misses, whoever asks.
//!
//! A flight is a task of its own. The client whose miss began it reads what it brings like everybody
//! else, so that no client, by reading slowly or going away, ever holds up a fill.

mod flying;

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::cache::{Entry, Flight, Joined, Key, Landing, Subject, Verdict};
use crate::proxy::Edge;
use crate::proxy::answer::{Found, How, Source};
use crate::proxy::upstream;
use crate::proxy::upstream::{Question, Validators};

use flying::{Flying, Waiting};

/// Where an answer belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The key of the canonical request.
    pub(super) base: Key,
    /// The same, or that of one among the answers that vary by the client's headers.
    pub(super) key: Key,
}

impl Slot {
    /// Where a failure to bring the answer is remembered for a moment: beside it, because a failure never
    /// takes the place of what is stored.
    pub(super) fn of_failure(self) -> Key {
        self.key.within(&[b"failure"])
    }
}

/// A flight that was lost without a word is begun anew so often.
const TRIES: usize = 2;

/// Brings the answer of `key`, or joins whoever does. `stale` is what is stored of it.
pub(super) async fn bring(
    edge: &Arc<Edge>,
    slot: Slot,
    question: Question,
    mut stale: Option<Arc<Entry>>,
) -> Found {
    for _ in 0..TRIES {
        match join(edge, slot, &question) {
            Joined::First(pilot) => {
                let (tell, told) = oneshot::channel();
                let flight = Flying { edge: Arc::clone(edge), slot, question, stale };
                tokio::spawn(flight.fly(Waiting { pilot, first: Some(tell) }));
                return told.await.unwrap_or_else(|_| Found::lost());
            }
            Joined::Other(flight) => {
                let had_landed = flight.has_landed();
                let how = if had_landed { How::Hit } else { How::Collapsed };
                match wait(&flight, &question).await {
                    // It has come for others, and must not be used again without a question.
                    Landing::Shared(entry) if had_landed && !entry.freshness.is_fresh(SystemTime::now()) => {
                        flight.end().await;
                        stale = edge.store.memory().get(&slot.key);
                    }
                    Landing::Shared(entry) => return Found::new(Source::Stored(entry), how),
                    Landing::Private => return alone(edge, &question).await,
                    Landing::Broken(_) | Landing::Lost => {}
                }
            }
        }
    }
    alone(edge, &question).await
}

/// Fetches anew what is answered with meanwhile, unless somebody does already.
pub(super) fn refresh(edge: &Arc<Edge>, slot: Slot, question: Question, stale: Arc<Entry>) {
    if let Joined::First(pilot) = join(edge, slot, &question) {
        let flight = Flying { edge: Arc::clone(edge), slot, question, stale: Some(stale) };
        tokio::spawn(flight.fly(Waiting { pilot, first: None }));
    }
}

fn join(edge: &Edge, slot: Slot, question: &Question) -> Joined {
    let generations = edge.generations.load();
    let subject = Subject { key: question.key().as_str(), asset: None, tags: &[] };
    // What is only stale by now may be joined: its entry will be asked about at the next look-up.
    let is_valid = |stamp| generations.verdict(&subject, stamp) != Verdict::Gone;
    edge.flights.join(slot.key, generations.newest(), is_valid)
}

async fn wait(flight: &Flight, question: &Question) -> Landing {
    match flight.landing().await {
        // Another language than ours, say: RFC 9111 section 4.1.
        Landing::Shared(entry) if !entry.selection.matches(&question.headers) => Landing::Private,
        landing => landing,
    }
}

/// For one client, past the cache.
async fn alone(edge: &Edge, question: &Question) -> Found {
    let answer = upstream::ask(edge, question, &Validators::default()).await;
    let status = answer.head.status;
    Found::passing(answer, How::Passed { status })
}
