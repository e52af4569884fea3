//! The disk tier: a bounded cache of files, one an object, that nobody ever waits for.
//!
//! Lookups ask an index in memory. Reads are positional, off the I/O threads, and verified block by
//! block before a byte leaves. All changes are made by one thread out of a bounded queue. A directory
//! that cannot be used turns the tier off until it can.

mod files;
mod format;
mod index;
mod object;
mod queue;
mod scan;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

pub use format::{Flaw, ObjectHead};
pub use object::{DiskObject, ReadError};

use crate::cache::disk::files::Fault;
use crate::cache::disk::index::{Index, Place};
use crate::cache::disk::queue::{Job, Queue};
use crate::cache::disk::writer::{Pauses, Writer};
use crate::cache::key::Key;

/// Reads at the same time; others wait for them.
const READS: usize = 64;

/// How long a lookup waits for the disk before it is a miss.
const PATIENCE: Duration = Duration::from_secs(3);

const PAUSES: Pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(60));

/// How long a tier that is dropped waits for the write at hand.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// What a disk tier is made of.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Its directory, which is made if there is none. One process at a time uses it.
    pub dir: PathBuf,
    /// Space for all files together.
    pub budget: u64,
    /// Bytes that may wait to be written.
    pub write_queue: u64,
}

/// Whether the tier can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskState {
    /// It has just begun, and does not know its files yet.
    Scanning,
    /// It works.
    Ready,
    /// Its directory is full, read-only, gone or in use by another process: nothing is written, and what
    /// is known is read if it can be.
    Degraded,
}

/// What the tier holds, and what became of what it was asked for since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Objects.
    pub objects: u64,
    /// Space that their files take.
    pub bytes: u64,
    /// Space that they may take.
    pub budget_bytes: u64,
    /// Bytes that wait to be written.
    pub waiting_bytes: u64,
    /// Objects that were found and opened.
    pub hits: u64,
    /// Objects that were looked for in vain.
    pub misses: u64,
    /// Objects that were written.
    pub writes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Writes that were not done: the queue was full, the tier degraded, or the object too large.
    pub dropped: u64,
    /// Objects that had to make room.
    pub evicted: u64,
    /// Objects that were found damaged.
    pub corrupt: u64,
    /// Objects that could not be read, or not in time.
    pub read_errors: u64,
}

/// The disk tier.
pub struct Disk {
    shared: Arc<Shared>,
}

impl Disk {
    /// Opens a directory. This never fails and never waits: an unusable directory is a degraded tier.
    pub fn open(options: DiskOptions) -> Arc<Self> {
        Self::open_with(options, PATIENCE, PAUSES)
    }

    fn open_with(options: DiskOptions, patience: Duration, pauses: Pauses) -> Arc<Self> {
        let shared = Arc::new(Shared {
            root: options.dir,
            state: AtomicU8::new(DiskState::Scanning as u8),
            index: Mutex::new(Index::new(options.budget)),
            queue: Queue::new(options.write_queue),
            reads: Arc::new(Semaphore::new(READS)),
            patience,
            rewriting: Mutex::new(()),
            counters: Counters::default(),
        });
        let writer = Writer::new(Arc::clone(&shared), pauses);
        let spawned = std::thread::Builder::new().name("disk cache".to_owned()).spawn(|| writer.run());
        if let Err(source) = spawned {
            shared.degrade(&Fault::io(&shared.root)(source));
            shared.queue.end();
        }
        Arc::new(Self { shared })
    }

    /// Whether an object is here, as far as the index knows.
    pub fn contains(&self, key: &Key) -> bool {
        self.shared.index().visible(key).is_some()
    }

    /// Opens an object. One that cannot be read or is damaged is `None`, and forgotten; `None` also if
    /// the disk does not answer within seconds.
    pub async fn get(&self, key: &Key) -> Option<DiskObject> {
        let counters = &self.shared.counters;
        let place = self.shared.index().touch(key);
        let Some(place) = place else {
            counters.misses.add(1);
            return None;
        };
        match DiskObject::open(&self.shared, *key, place).await {
            Ok(object) => {
                counters.hits.add(1);
                Some(object)
            }
            Err(error) => {
                counters.misses.add(1);
                self.shared.give_up(key, place, &error);
                None
            }
        }
    }

    /// Has an object written, in the place of any older one; if that has the same body, only its metadata
    /// is written. It is found once it is on the disk; until then the older one is. If it cannot be
    /// written, neither is.
    pub fn store(&self, key: Key, meta: Bytes, body: Vec<Bytes>) {
        if !self.shared.offer(Job::Store { key, meta, body }) {
            self.remove(&key);
        }
    }

    /// Forgets an object: at once if it is on the disk, else when all that was stored before is.
    pub fn remove(&self, key: &Key) {
        let job = Job::Remove { key: *key, serial: None };
        let is_here = self.shared.index().hide(key, None);
        // Each of these belongs to an object, so their number is bounded.
        if is_here {
            self.shared.queue.insist(job);
        } else if self.state() != DiskState::Degraded {
            self.shared.queue.offer(job);
        }
    }

    /// Whether the tier can be used.
    pub fn state(&self) -> DiskState {
        self.shared.state()
    }

    /// For the metrics.
    pub fn counts(&self) -> DiskCounts {
        let counters = &self.shared.counters;
        let (objects, bytes, budget_bytes) = {
            let index = self.shared.index();
            (index.objects() as u64, index.bytes(), index.budget())
        };
        DiskCounts {
            objects,
            bytes,
            budget_bytes,
            waiting_bytes: self.shared.queue.bytes(),
            hits: counters.hits.sum(),
            misses: counters.misses.sum(),
            writes: counters.writes.sum(),
            written_bytes: counters.written_bytes.sum(),
            dropped: counters.dropped.sum(),
            evicted: counters.evicted.sum(),
            corrupt: counters.corrupt.sum(),
            read_errors: counters.read_errors.sum(),
        }
    }

    /// Waits until everything that was asked for is done, at most `limit`; whether it is. It blocks:
    /// meant for the end of a process.
    pub fn settle(&self, limit: Duration) -> bool {
        self.shared.queue.settle(limit)
    }
}

impl Drop for Disk {
    /// What waits to be written is lost. The directory is free for another process afterwards.
    fn drop(&mut self) {
        self.shared.queue.close(LAST_WRITE);
    }
}

/// What the face, the objects and the writer have in common.
struct Shared {
    root: PathBuf,
    state: AtomicU8,
    index: Mutex<Index>,
    queue: Queue,
    reads: Arc<Semaphore>,
    patience: Duration,
    /// Held while metadata is replaced in a file, so that a reader can tell that from damage.
    rewriting: Mutex<()>,
    counters: Counters,
}

impl Shared {
    /// Nothing that holds this lock waits for the disk.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rewriting(&self) -> MutexGuard<'_, ()> {
        self.rewriting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> DiskState {
        let state = self.state.load(Ordering::Relaxed);
        let all = [DiskState::Scanning, DiskState::Ready];
        all.into_iter().find(|known| *known as u8 == state).unwrap_or(DiskState::Degraded)
    }

    /// Whether a write was taken on.
    fn offer(&self, job: Job) -> bool {
        let is_taken = self.state() != DiskState::Degraded && self.queue.offer(job);
        self.counters.dropped.add(u64::from(!is_taken));
        is_taken
    }

    /// Only the writer calls this.
    fn turn(&self, state: DiskState) {
        let before = self.state();
        self.state.store(state as u8, Ordering::Relaxed);
        if (before, state) == (DiskState::Degraded, DiskState::Ready) {
            tracing::warn!(directory = %self.root.display(), "the disk cache works again");
        }
    }

    fn degrade(&self, fault: &Fault) {
        let is_news = self.state() != DiskState::Degraded;
        self.turn(DiskState::Degraded);
        let (dropped, keys) = self.queue.drop_writes();
        self.counters.dropped.add(dropped);
        for key in keys {
            self.index().hide(&key, None);
        }
        if is_news {
            let directory = self.root.display();
            tracing::warn!(%directory, error = %fault, "the disk cache cannot be used: nothing is written");
        }
    }

    /// Forgets an object that cannot be read. If it has left in the meantime, that was no fault.
    fn give_up(&self, key: &Key, place: Place, error: &ReadError) {
        if matches!(error, ReadError::Slow) {
            self.counters.read_errors.add(1);
            return;
        }
        if !self.index().hide(key, Some(place.serial)) {
            return;
        }
        let counter = match error {
            ReadError::Corrupt(_) => &self.counters.corrupt,
            ReadError::Io(_) | ReadError::Slow => &self.counters.read_errors,
        };
        counter.add(1);
        tracing::debug!(%error, "an object of the disk cache is lost");
        self.queue.insist(Job::Remove { key: *key, serial: Some(place.serial) });
    }
}

#[derive(Default)]
struct Counters {
    hits: Counter,
    misses: Counter,
    writes: Counter,
    written_bytes: Counter,
    dropped: Counter,
    evicted: Counter,
    corrupt: Counter,
    read_errors: Counter,
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod kill;
#[cfg(test)]
mod tests;
