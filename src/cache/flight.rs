//! Fetches in progress: equal misses share one.
//!
//! A flight begins when a key is missed, lands when the head of its answer is here, and ends when the
//! body is. Whoever asks for the key meanwhile joins it. It belongs to no client.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::cache::entry::Entry;
use crate::cache::key::Key;
use crate::metadata::Stamp;
use crate::origin;

/// All fetches in progress; `T` is what they bring.
pub struct Flights<T = Arc<Entry>> {
    by_key: Mutex<HashMap<Key, Arc<Flight<T>>>>,
    count: AtomicUsize,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { by_key: Mutex::default(), count: AtomicUsize::default() }
    }
}

/// One of them, as those see it who wait for it.
pub struct Flight<T = Arc<Entry>> {
    /// The newest purge that its answer knows of.
    stamp: AtomicU64,
    landed: watch::Sender<Option<Landing<T>>>,
    /// Told of each who begins to wait.
    joined: Notify,
    has_ended: watch::Sender<bool>,
}

/// What came of a flight.
#[derive(Clone)]
pub enum Landing<T = Arc<Entry>> {
    /// An answer for all who wait. Its body may still be arriving.
    Shared(T),
    /// An answer for none but the one who began the flight.
    Private,
    /// No answer, and why.
    Broken(Broken),
    /// None at all: the task that flew is gone.
    Lost,
}

/// Why a part of an object could not be brought.
#[derive(Debug, Clone)]
pub enum Broken {
    /// The origin has another version now.
    Changed,
    /// The origin does not give parts.
    NoParts,
    /// The origin failed.
    Failed(origin::Error),
}

/// Whether a request is the first to ask.
pub enum Joined<T = Arc<Entry>> {
    /// It is, and has to fly.
    First(Pilot<T>),
    /// Another one flies already.
    Other(Arc<Flight<T>>),
}

impl<T> Flights<T> {
    /// Joins the flight of this key, or begins it at `now`. One that began before a purge which makes its
    /// answer invalid (`is_valid` is asked about its stamp) is left to those who wait for it already.
    pub fn join(self: &Arc<Self>, key: Key, now: Stamp, is_valid: impl FnOnce(Stamp) -> bool) -> Joined<T> {
        let mut by_key = self.by_key();
        if let Some(flight) = by_key.get(&key).filter(|flight| is_valid(flight.stamp())) {
            return Joined::Other(Arc::clone(flight));
        }
        let flight = Arc::new(Flight {
            stamp: AtomicU64::new(now.0),
            landed: watch::Sender::new(None),
            joined: Notify::new(),
            has_ended: watch::Sender::new(false),
        });
        by_key.insert(key, Arc::clone(&flight));
        self.count.fetch_add(1, Ordering::Relaxed);
        Joined::First(Pilot { flights: Arc::clone(self), key, flight })
    }

    /// Whether there is one for this key.
    pub fn has(&self, key: &Key) -> bool {
        self.count() > 0 && self.by_key().contains_key(key)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Nothing that holds this lock can panic midway.
    fn by_key(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight<T>>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Flight<T> {
    fn stamp(&self) -> Stamp {
        Stamp(self.stamp.load(Ordering::Acquire))
    }
}

impl<T: Clone> Flight<T> {
    /// Whether the head of the answer is here already.
    pub fn has_landed(&self) -> bool {
        self.landed.borrow().is_some()
    }

    /// Waits until the body is here, too, or never will be.
    pub async fn end(&self) {
        // The sender lives in `self`, so the channel cannot close while we wait.
        let _ = self.has_ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Waits for the head of the answer.
    pub async fn landing(&self) -> Landing<T> {
        let mut landed = self.landed.subscribe();
        self.joined.notify_one();
        let landing = landed.wait_for(Option::is_some).await;
        landing.ok().and_then(|landing| landing.clone()).unwrap_or(Landing::Lost)
    }
}

/// The one who flies. Dropping it ends the flight.
pub struct Pilot<T = Arc<Entry>> {
    flights: Arc<Flights<T>>,
    key: Key,
    flight: Arc<Flight<T>>,
}

impl<T> Pilot<T> {
    /// The newest purge that the answer knows of: at first, the newest when the flight began.
    pub fn stamp(&self) -> Stamp {
        self.flight.stamp()
    }

    /// The answer is newer than this purge, too.
    pub fn outlive(&self, purge: Stamp) {
        self.flight.stamp.fetch_max(purge.0, Ordering::AcqRel);
    }

    /// The flight, for those who wait.
    pub fn flight(&self) -> Arc<Flight<T>> {
        Arc::clone(&self.flight)
    }

    /// Whether somebody waits for the head of the answer.
    pub fn is_awaited(&self) -> bool {
        self.flight.landed.receiver_count() > 0
    }

    /// Waits until nobody waits.
    pub async fn left(&self) {
        self.flight.landed.closed().await;
    }

    /// Waits until somebody begins to wait.
    pub async fn joined(&self) {
        self.flight.joined.notified().await;
    }

    /// Tells all who wait. They may join until the pilot is dropped.
    pub fn land(&self, landing: Landing<T>) {
        self.flight.landed.send_replace(Some(landing));
    }
}

impl<T> Drop for Pilot<T> {
    fn drop(&mut self) {
        self.flight.landed.send_if_modified(|landed| match landed {
            Some(_) => false,
            None => {
                *landed = Some(Landing::Lost);
                true
            }
        });
        let mut by_key = self.flights.by_key();
        if by_key.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            by_key.remove(&self.key);
        }
        drop(by_key);
        self.flight.has_ended.send_replace(true);
        self.flights.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 16]);

    fn join(flights: &Arc<Flights>) -> Joined {
        flights.join(KEY, Stamp(0), |_| true)
    }

    #[tokio::test]
    async fn the_first_flies_and_the_others_wait_for_it() {
        let flights = Arc::<Flights>::default();
        let Joined::First(pilot) = join(&flights) else { panic!("nobody flies yet") };
        let Joined::Other(flight) = join(&flights) else { panic!("one flies") };
        let mut waiting = Box::pin(flight.landing());
        assert!(futures::poll!(&mut waiting).is_pending());
        pilot.land(Landing::Private);
        assert!(matches!(waiting.await, Landing::Private));
        assert!(matches!(join(&flights), Joined::Other(_)), "until it ends");
        drop(pilot);
        assert_eq!(flights.count(), 0);
        assert!(matches!(join(&flights), Joined::First(_)));
    }

    #[tokio::test]
    async fn a_flight_that_a_purge_has_overtaken_is_joined_no_more() {
        let flights = Arc::<Flights>::default();
        let Joined::First(old) = join(&flights) else { panic!("nobody flies yet") };
        let Joined::First(new) = flights.join(KEY, Stamp(1), |stamp| stamp >= Stamp(1)) else {
            panic!("the old one does not count")
        };
        assert_eq!((old.stamp(), new.stamp()), (Stamp(0), Stamp(1)));
        drop(old);
        assert!(matches!(join(&flights), Joined::Other(_)), "the end of the old one leaves the new one");
        drop(new);
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn a_lost_pilot_keeps_nobody_waiting() {
        let flights = Arc::<Flights>::default();
        let Joined::First(pilot) = join(&flights) else { panic!("nobody flies yet") };
        let Joined::Other(flight) = join(&flights) else { panic!("one flies") };
        drop(pilot);
        assert!(matches!(flight.landing().await, Landing::Lost));
    }
}
