//! Originals that variants are made of: an origin before the origin, with a store of its own.
//!
//! Variants of one original that are asked for at the same time cause one fetch; all of them read from it
//! while it arrives. It belongs to none of them. Later ones use what is stored for as long as it is fresh,
//! and then ask the origin whether it is still the same.

mod object;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::StreamExt;
use http::{HeaderMap, HeaderName};

use crate::cache::entry::{Body, Entry};
use crate::cache::fill::{FillBudget, Writer};
use crate::cache::flight::{Flight, Flights, Joined, Landing, Pilot};
use crate::cache::key::Key;
use crate::cache::originals::object::Reading;
use crate::cache::policy::Policy;
use crate::cache::purges::Purger;
use crate::cache::store::Store;
use crate::metadata::Stamp;
use crate::origin::{Answer, Ask, Error, Object, ObjectInfo, ObjectKey, Origin};
use crate::telemetry::Metrics;

/// A flight that brings nothing is begun anew so often; after that each fetches for itself.
const TRIES: usize = 2;

/// What the cache of originals is made of.
pub struct Originals {
    /// Where they come from.
    pub origin: Arc<dyn Origin>,
    /// Where they are kept.
    pub store: Arc<Store>,
    /// Purges.
    pub purger: Purger,
    /// How long one is used unasked where the origin says nothing of it.
    pub fresh: Duration,
    /// The memory of all that is arriving.
    pub fills: FillBudget,
    /// A larger one is not kept.
    pub max_bytes: u64,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Originals {
    /// The same origin; what is asked of it whole and by us alone may come from the cache.
    pub fn into_origin(self) -> Arc<dyn Origin> {
        let policy = Policy {
            max_age: Duration::ZERO,
            s_maxage: self.fresh,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            negative_ttl: Duration::ZERO,
        };
        let parts = Parts { of: self, policy, flights: Arc::default() };
        Arc::new(Cached(Arc::new(parts)))
    }
}

struct Cached(Arc<Parts>);

struct Parts {
    of: Originals,
    policy: Policy,
    flights: Arc<Flights<Arrival>>,
}

/// What a flight brings to those who wait for it.
#[derive(Clone)]
enum Arrival {
    /// The original, which may still be arriving.
    Kept(Arc<Entry>),
    /// One that is not kept: for the first who takes it, and for nobody else.
    Once(Arc<Mutex<Option<Object>>>),
    /// The origin could not give it.
    Failed(Error),
}

#[async_trait]
impl Origin for Cached {
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, Error> {
        let stored = self.0.of.store.get(&Key::of_original(key)).await;
        match stored.and_then(|entry| self.0.fresh(key, entry)) {
            Some(entry) => Ok(object::info(&entry, SystemTime::now())),
            None => self.0.of.origin.head(key).await,
        }
    }

    async fn get(&self, key: &ObjectKey, ask: &Ask) -> Result<Answer, Error> {
        if !is_plain(ask) {
            return self.0.of.origin.get(key, ask).await;
        }
        let parts = &self.0;
        let name = Key::of_original(key);
        let in_memory = parts.of.store.memory().get(&name);
        if let Some(entry) = in_memory.and_then(|entry| parts.fresh(key, entry)) {
            parts.count("hit");
            return Ok(parts.answer(key, entry));
        }
        let (arrival, is_first) = parts.bring(key, name).await;
        match &arrival {
            Arrival::Once(object) => match lock(object).take() {
                Some(object) => return Ok(Answer::Object(object)),
                None => parts.count("miss"),
            },
            _ if is_first => {}
            _ => parts.count("joined"),
        }
        match arrival {
            Arrival::Kept(entry) => Ok(parts.answer(key, entry)),
            Arrival::Failed(error) => Err(error),
            Arrival::Once(_) => parts.of.origin.get(key, ask).await,
        }
    }

    fn sees(&self, name: &HeaderName) -> bool {
        self.0.of.origin.sees(name)
    }

    async fn ready(&self) -> Result<(), Error> {
        self.0.of.origin.ready().await
    }
}

impl Parts {
    /// What the flight of this original brings, and whether it began here.
    async fn bring(self: &Arc<Self>, key: &ObjectKey, name: Key) -> (Arrival, bool) {
        for _ in 0..TRIES {
            let (flight, is_first) = self.join(key, name);
            let had_landed = !is_first && flight.has_landed();
            match flight.landing().await {
                // It began to arrive so long ago that its origin has to be asked again.
                Landing::Shared(Arrival::Kept(entry)) if had_landed && !is_fresh(&entry) => {
                    flight.end().await
                }
                Landing::Shared(arrival) => return (arrival, is_first),
                Landing::Private | Landing::Broken(_) | Landing::Lost => {}
            }
        }
        (Arrival::Once(Arc::default()), false)
    }

    /// Joins the flight, or begins it; whether it was begun.
    fn join(self: &Arc<Self>, key: &ObjectKey, name: Key) -> (Arc<Flight<Arrival>>, bool) {
        let newest = self.of.purger.generations.load().newest();
        // One that began before a purge may be covered by it: its tags are not known yet.
        match self.flights.join(name, newest, |began| began >= newest) {
            Joined::Other(flight) => (flight, false),
            Joined::First(pilot) => {
                let flight = pilot.flight();
                tokio::spawn(Arc::clone(self).fly(key.clone(), name, pilot));
                (flight, true)
            }
        }
    }

    /// Brings an original, to the end.
    async fn fly(self: Arc<Self>, key: ObjectKey, name: Key, pilot: Pilot<Arrival>) {
        let stored = self.of.store.get(&name).await.and_then(|entry| self.left(&key, entry));
        if let Some(entry) = stored.as_ref().filter(|entry| is_fresh(entry)) {
            self.count("hit");
            return pilot.land(Landing::Shared(Arrival::Kept(Arc::clone(entry))));
        }
        let ask = stored.as_deref().map(object::condition).unwrap_or_default();
        match (self.of.origin.get(&key, &ask).await, stored) {
            (Ok(Answer::Object(object)), stored) => {
                self.count("miss");
                if stored.is_some_and(|stored| stored.head.etag() != object.info.etag.as_deref())
                    && let Some(stamp) = self.of.purger.replaced(&key).await
                {
                    pilot.outlive(stamp);
                }
                self.arrive(name, &pilot, object).await;
            }
            (Ok(Answer::NotModified(told)), Some(stored)) => {
                self.count("revalidated");
                let told = object::head(&told).headers;
                let entry = self.policy.refresh(&stored, &told, pilot.stamp(), SystemTime::now());
                let entry = Arc::new(entry);
                // One that is asked for every time gains nothing by a write.
                if is_fresh(&entry) || entry.stamp != stored.stamp {
                    self.of.store.renew(name, &entry);
                }
                pilot.land(Landing::Shared(Arrival::Kept(entry)));
            }
            (Ok(Answer::NotModified(_)), None) => {
                self.fail(&pilot, Error::BadAnswer("304 without a condition".to_owned()));
            }
            (Err(error), _) => {
                if matches!(error, Error::NotFound(_)) {
                    self.forget(&name);
                }
                self.fail(&pilot, error);
            }
        }
    }

    fn fail(&self, pilot: &Pilot<Arrival>, error: Error) {
        self.count("miss");
        pilot.land(Landing::Shared(Arrival::Failed(error)));
    }

    /// Lands, fills to the end, and keeps what is whole.
    async fn arrive(&self, name: Key, pilot: &Pilot<Arrival>, mut object: Object) {
        let Some((entry, writer)) = self.admit(&object, pilot.stamp()) else {
            self.forget(&name);
            let once = Arc::new(Mutex::new(Some(object)));
            return pilot.land(Landing::Shared(Arrival::Once(once)));
        };
        pilot.land(Landing::Shared(Arrival::Kept(Arc::new(entry.clone()))));
        while let Some(piece) = object.body.next().await {
            match piece {
                Ok(bytes) => writer.push(bytes),
                Err(error) => {
                    self.of.metrics.cache.fill_failures.inc();
                    return writer.fail(error);
                }
            }
        }
        match writer.complete() {
            Some(body) => {
                self.of.store.keep(name, &Arc::new(Entry { body: Body::Memory(body), ..entry }), true);
            }
            None => self.of.metrics.cache.fill_failures.inc(),
        }
    }

    /// Whether an original may be kept, and the entry that it becomes. Without room it goes to its reader as
    /// it comes.
    fn admit(&self, object: &Object, stamp: Stamp) -> Option<(Entry, Writer)> {
        let head = object::head(&object.info);
        let freshness = self.policy.admit(&head, SystemTime::now())?;
        let length = head.length().filter(|&length| length <= self.of.max_bytes)?;
        let writer = self.of.fills.begin(length)?;
        let body = Body::Filling(writer.fill());
        Some((Entry::new(head, &HeaderMap::new(), freshness, stamp, body), writer))
    }

    fn forget(&self, name: &Key) {
        if self.of.store.contains(name) {
            self.of.store.remove(name);
        }
    }

    /// What purges have left of an entry, if it may be used unasked.
    fn fresh(&self, key: &ObjectKey, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        self.left(key, entry).filter(|entry| is_fresh(entry))
    }

    fn left(&self, key: &ObjectKey, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        self.of.purger.generations.load().left_of(entry, key.as_str(), None)
    }

    fn answer(&self, key: &ObjectKey, entry: Arc<Entry>) -> Answer {
        let info = object::info(&entry, SystemTime::now());
        let body = Reading::new(Arc::clone(&self.of.origin), key.clone(), entry).into_body();
        Answer::Object(Object { info, part: None, body })
    }

    fn count(&self, result: &str) {
        self.of.metrics.original_request(result);
    }
}

/// Whether this is the question that the cache answers: for a whole object, whoever asks.
fn is_plain(ask: &Ask) -> bool {
    let Ask { range, if_none_match, if_modified_since, if_match, headers } = ask;
    let is_conditional = if_none_match.is_some() || if_modified_since.is_some() || if_match.is_some();
    range.is_none() && !is_conditional && headers.is_empty()
}

/// Whether it may be used unasked. A stale one may not, whatever its origin allows: that is said of variants.
fn is_fresh(entry: &Entry) -> bool {
    entry.freshness.is_fresh(SystemTime::now())
}

/// Nothing that holds this lock can panic midway.
fn lock(object: &Mutex<Option<Object>>) -> MutexGuard<'_, Option<Object>> {
    object.lock().unwrap_or_else(PoisonError::into_inner)
}
