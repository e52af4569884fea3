//! The memory tier: whole answers in moka, bounded by bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::notification::RemovalCause;
use moka::sync::Cache;

use crate::cache::entry::{Body, Entry};
use crate::cache::key::Key;
use crate::metadata::Stamp;

/// Bytes that an entry costs besides its body and header: map node, policy node, `Arc`s.
const ENTRY_OVERHEAD_BYTES: usize = 400;

/// Answers in memory.
pub struct Memory {
    entries: Cache<Key, Arc<Entry>, hashing::Identity>,
    budget_bytes: u64,
    counters: Arc<Counters>,
}

/// What the tier holds, and what became of look-ups since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryCounts {
    /// Answers.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they may have.
    pub budget_bytes: u64,
    /// Look-ups that found one.
    pub hits: u64,
    /// Look-ups that went on to the other tiers.
    pub misses: u64,
    /// Answers that had no room, or not any more.
    pub evicted: u64,
}

/// On a cache line of their own: what a hit writes must not be near what the next one reads.
#[derive(Default)]
#[repr(align(64))]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
}

impl Memory {
    /// A tier of at most `bytes`; of 0 it keeps nothing.
    pub fn new(bytes: u64) -> Self {
        let counters = Arc::new(Counters::default());
        let for_evictions = Arc::clone(&counters);
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, entry: &Arc<Entry>| weight(entry))
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    for_evictions.evicted.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build_with_hasher(hashing::Identity);
        Self { entries, budget_bytes: bytes, counters }
    }

    /// The answer of this key, fresh or not.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        let entry = self.entries.get(key)?;
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    /// Counts a look-up that goes on to the other tiers. Not all that find nothing do: some find a fetch
    /// on its way.
    pub(super) fn missed(&self) {
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there is one; this is no look-up.
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// The stamp of the one that is there; this is no look-up.
    pub(super) fn stamp(&self, key: &Key) -> Option<Stamp> {
        self.entries.get(key).map(|entry| entry.stamp)
    }

    /// Keeps an answer in place of an older one.
    pub fn insert(&self, key: Key, entry: Arc<Entry>) {
        self.entries.insert(key, entry);
    }

    /// Forgets an answer.
    pub fn remove(&self, key: &Key) {
        self.entries.invalidate(key);
    }

    /// For the metrics.
    pub fn counts(&self) -> MemoryCounts {
        // Else the numbers lag behind what has just been kept.
        self.entries.run_pending_tasks();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoryCounts {
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
            budget_bytes: self.budget_bytes,
            hits: count(&self.counters.hits),
            misses: count(&self.counters.misses),
            evicted: count(&self.counters.evicted),
        }
    }
}

fn weight(entry: &Entry) -> u32 {
    let headers = entry.head.headers.iter();
    let head: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
    let body = match &entry.body {
        Body::Memory(segments) => segments.len(),
        Body::Filling(_) | Body::Disk(_) | Body::Sliced { .. } => 0,
    };
    u32::try_from(body + head + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
}

mod hashing {
    //! A cache key is a cryptographic hash already: its first bytes are as good as any hash of it.

    use std::hash::{BuildHasher, Hasher};

    /// Builds [`FirstBytes`].
    #[derive(Clone, Copy, Default)]
    pub(super) struct Identity;

    impl BuildHasher for Identity {
        type Hasher = FirstBytes;

        fn build_hasher(&self) -> FirstBytes {
            FirstBytes(0)
        }
    }

    /// Takes the first eight bytes of the longest write.
    pub(super) struct FirstBytes(u64);

    impl Hasher for FirstBytes {
        fn write(&mut self, bytes: &[u8]) {
            if let Some(first) = bytes.first_chunk::<8>() {
                self.0 = u64::from_ne_bytes(*first);
            }
        }

        // The length of the array comes first; it says nothing.
        fn write_usize(&mut self, _: usize) {}

        fn finish(&self) -> u64 {
            self.0
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::cache::entry::{Freshness, Head};
    use crate::cache::segments::Segments;
    use crate::cache::selection::Selection;
    use crate::metadata::Stamp;

    fn entry(bytes: usize) -> Arc<Entry> {
        let mut body = Segments::default();
        body.push(Bytes::from(vec![0; bytes]));
        let head = Head { status: 200, headers: HeaderMap::new() };
        let freshness = Freshness::none(SystemTime::UNIX_EPOCH);
        let selection = Selection::default();
        Arc::new(Entry {
            head,
            freshness,
            stamp: Stamp::default(),
            tags: Box::default(),
            selection,
            held_until: None,
            body: Body::Memory(body),
        })
    }

    #[test]
    fn the_budget_holds() {
        let memory = Memory::new(100_000);
        for n in 0..100_u8 {
            memory.insert(Key([n; 16]), entry(10_000));
        }
        let counts = memory.counts();
        assert!(counts.bytes <= 100_000, "{counts:?}");
        assert!(counts.entries > 0, "and something is kept");
        assert_eq!(counts.entries + counts.evicted, 100, "{counts:?}");
    }

    #[test]
    fn only_what_had_no_room_counts_as_evicted_and_only_what_was_looked_up_as_found() {
        let memory = Memory::new(100_000);
        for n in 0..3_u8 {
            memory.insert(Key([n; 16]), entry(100));
        }
        memory.insert(Key([0; 16]), entry(200));
        memory.remove(&Key([1; 16]));
        let found = [0, 1, 2].map(|n: u8| memory.get(&Key([n; 16])).is_some());
        assert_eq!(found, [true, false, true]);
        assert!(memory.contains(&Key([0; 16])) && memory.stamp(&Key([0; 16])).is_some());
        memory.missed();
        let counts = memory.counts();
        assert_eq!((counts.entries, counts.evicted, counts.hits, counts.misses), (2, 0, 2, 1));
    }

    #[test]
    fn a_tier_without_bytes_keeps_nothing() {
        let memory = Memory::new(0);
        memory.insert(Key([1; 16]), entry(1));
        assert_eq!(memory.counts().entries, 0);
        assert!(memory.get(&Key([1; 16])).is_none());
    }
}
