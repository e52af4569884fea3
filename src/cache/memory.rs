//! The memory tier: whole answers in moka, bounded by bytes.

use std::sync::Arc;

use moka::sync::Cache;

use crate::cache::entry::{Body, Entry};
use crate::cache::key::Key;

/// Bytes that an entry costs besides its body and header: map node, policy node, `Arc`s.
const ENTRY_OVERHEAD_BYTES: usize = 400;

/// Answers in memory.
pub struct Memory {
    entries: Cache<Key, Arc<Entry>, hashing::Identity>,
}

impl Memory {
    /// A tier of at most `bytes`; of 0 it keeps nothing.
    pub fn new(bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, entry: &Arc<Entry>| weight(entry))
            .build_with_hasher(hashing::Identity);
        Self { entries }
    }

    /// The answer of this key, fresh or not.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    /// Keeps an answer in place of an older one.
    pub fn insert(&self, key: Key, entry: Arc<Entry>) {
        self.entries.insert(key, entry);
    }

    /// Forgets an answer.
    pub fn remove(&self, key: &Key) {
        self.entries.invalidate(key);
    }

    /// How many answers there are, and their bytes.
    pub fn occupancy(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
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
        memory.entries.run_pending_tasks();
        let (entries, bytes) = memory.occupancy();
        assert!(bytes <= 100_000, "{bytes}");
        assert!(entries > 0, "and something is kept");
    }

    #[test]
    fn a_tier_without_bytes_keeps_nothing() {
        let memory = Memory::new(0);
        memory.insert(Key([1; 16]), entry(1));
        memory.entries.run_pending_tasks();
        assert!(memory.get(&Key([1; 16])).is_none());
    }
}
