//! The memory tier: a Pingora `Storage` on moka, bounded by bytes.
//!
//! Complete answers live in moka, weighed by their size; answers that still arrive live beside it in
//! [`Fill`]s until they are whole. A reader of a key with a fill in progress is attached to it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::key::{CacheHashKey, HashBinary};
use pingora::cache::storage::{
    HandleHit, HandleMiss, HitHandler, MissFinishType, MissHandler, PurgeOutcome, PurgeTarget, PurgeType,
    Storage,
};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use crate::cache::body::Body;
use crate::cache::entry::{Freshness, lean};
use crate::cache::fill::Fill;

/// Bytes that an entry costs besides its body and header: map node, policy node, `Arc`s.
const ENTRY_OVERHEAD_BYTES: usize = 400;

/// Answers in memory.
pub struct Memory {
    entries: moka::sync::Cache<HashBinary, Arc<Entry>, hashing::Identity>,
    fills: Arc<Fills>,
}

struct Entry {
    freshness: Freshness,
    header: ResponseHeader,
    body: Body,
}

impl Entry {
    fn weight(&self) -> u32 {
        let header: usize =
            self.header.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        u32::try_from(self.body.len() + header + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
    }
}

/// What the memory tier holds right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Complete answers.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Answers that are arriving.
    pub fills: usize,
}

impl Memory {
    /// A tier of at most `bytes`. It lives as long as the process: Pingora asks for that.
    pub fn leak(bytes: u64) -> &'static Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, entry: &Arc<Entry>| entry.weight())
            .build_with_hasher(hashing::Identity);
        Box::leak(Box::new(Self { entries, fills: Arc::default() }))
    }

    /// Whether an answer is here, complete or arriving, fresh or not.
    pub fn contains(&self, key: &CacheKey) -> bool {
        let key = key.combined_bin();
        self.entries.contains_key(&key) || self.fills.newest(&key).is_some()
    }

    /// For the metrics.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
            fills: self.fills.count.load(Ordering::Relaxed),
        }
    }
}

/// Fills in progress. Several of one key can exist: a stale answer may be fetched anew while an
/// older fill still has readers.
#[derive(Default)]
struct Fills {
    /// So that a hit takes no lock while nothing arrives.
    count: AtomicUsize,
    next_id: AtomicU64,
    by_key: Mutex<FillsByKey>,
}

/// Each fill with its id.
type FillsByKey = HashMap<HashBinary, Vec<(u64, Arc<Fill>)>>;

impl Fills {
    /// Nothing that holds this lock can panic midway.
    fn by_key(&self) -> MutexGuard<'_, FillsByKey> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, key: HashBinary, fill: Arc<Fill>) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.by_key().entry(key).or_default().push((id, fill));
        self.count.fetch_add(1, Ordering::Release);
        id
    }

    fn newest(&self, key: &HashBinary) -> Option<Arc<Fill>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.by_key().get(key)?.last().map(|(_, fill)| Arc::clone(fill))
    }

    fn by_id(&self, key: &HashBinary, wanted: u64) -> Option<Arc<Fill>> {
        let by_key = self.by_key();
        by_key.get(key)?.iter().find(|(id, _)| *id == wanted).map(|(_, fill)| Arc::clone(fill))
    }

    fn remove(&self, key: &HashBinary, id: u64) {
        let mut by_key = self.by_key();
        let Some(fills) = by_key.get_mut(key) else { return };
        let before = fills.len();
        fills.retain(|(other, _)| *other != id);
        self.count.fetch_sub(before - fills.len(), Ordering::Release);
        if fills.is_empty() {
            by_key.remove(key);
        }
    }
}

#[async_trait]
impl Storage for Memory {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let key = key.combined_bin();
        // A fill goes first: it is newer than the entry that it replaces.
        if let Some(fill) = self.fills.newest(&key) {
            return Ok(Some(attach(fill)));
        }
        Ok(self.entries.get(&key).map(|entry| {
            let meta = entry.freshness.meta(&entry.header);
            let end = entry.body.len();
            let handler: HitHandler = Box::new(Hit { source: Source::Entry(entry), position: 0, end });
            (meta, handler)
        }))
    }

    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        tag: Option<&[u8]>,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let id = tag.and_then(|tag| tag.try_into().ok()).map(u64::from_be_bytes);
        Ok(id.and_then(|id| self.fills.by_id(&key.combined_bin(), id)).map(attach))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        let key = key.combined_bin();
        let fill = Arc::new(Fill::new(Freshness::of(meta), lean(meta.response_header())));
        let id = self.fills.insert(key, Arc::clone(&fill));
        Ok(Box::new(Miss { memory: self, key, id: id.to_be_bytes(), fill }))
    }

    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _: PurgeType,
        _: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        match self.entries.remove(&target.key().combined_bin()) {
            Some(_) => Ok(PurgeOutcome::Purged(None)),
            None => Ok(PurgeOutcome::NotFound),
        }
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let key = key.combined_bin();
        let Some(entry) = self.entries.get(&key) else { return Ok(false) };
        let renewed = Entry {
            freshness: Freshness::of(meta),
            header: lean(meta.response_header()),
            body: entry.body.clone(),
        };
        self.entries.insert(key, Arc::new(renewed));
        Ok(true)
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

fn attach(fill: Arc<Fill>) -> (CacheMeta, HitHandler) {
    let meta = fill.freshness.meta(&fill.header);
    (meta, Box::new(Hit { source: Source::Fill(fill), position: 0, end: usize::MAX }))
}

/// One reader of one answer, complete or arriving.
struct Hit {
    source: Source,
    position: usize,
    end: usize,
}

enum Source {
    Entry(Arc<Entry>),
    Fill(Arc<Fill>),
}

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let piece = match &self.source {
            Source::Entry(entry) => entry.body.piece(self.position, self.end),
            Source::Fill(fill) => fill.read(self.position, self.end).await?,
        };
        self.position += piece.as_ref().map_or(0, Bytes::len);
        Ok(piece)
    }

    async fn finish(
        self: Box<Self>,
        _: &'static (dyn Storage + Sync),
        _: &CacheKey,
        _: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let end = end.unwrap_or(usize::MAX);
        if start > end {
            return Error::e_explain(ErrorType::InternalError, "a range that ends before it starts");
        }
        self.position = start;
        self.end = end;
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// The writer of one fill. Dropped without `finish`, it fails the fill.
struct Miss {
    memory: &'static Memory,
    key: HashBinary,
    id: [u8; 8],
    fill: Arc<Fill>,
}

#[async_trait]
impl HandleMiss for Miss {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        self.fill.push(data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let body = self.fill.complete();
        let size = body.len();
        let entry = Entry { freshness: self.fill.freshness, header: self.fill.header.clone(), body };
        // Before `drop` takes the fill away, so that no reader finds neither.
        self.memory.entries.insert(self.key, Arc::new(entry));
        Ok(MissFinishType::Created(size))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(&self.id)
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        self.fill.fail();
        self.memory.fills.remove(&self.key, u64::from_be_bytes(self.id));
    }
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
    use std::time::{Duration, SystemTime};

    use super::*;

    fn meta() -> CacheMeta {
        let now = SystemTime::now();
        let header = ResponseHeader::build(200, None).expect("a valid status");
        CacheMeta::new(now + Duration::from_secs(60), now, 5, 6, header)
    }

    async fn read_all(mut handler: HitHandler) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = handler.read_body().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    fn span() -> SpanHandle {
        pingora::cache::trace::Span::inactive().handle()
    }

    #[tokio::test]
    async fn a_reader_in_mid_fill_gets_everything_and_later_ones_a_complete_hit() {
        let memory = Memory::leak(1 << 20);
        let key = CacheKey::new("a", "");
        let mut miss = memory.get_miss_handler(&key, &meta(), &span()).await.expect("a fill");
        miss.write_body(Bytes::from_static(b"hello "), false).await.expect("room");
        let (_, attached) = memory.lookup(&key, &span()).await.expect("works").expect("the fill is found");
        miss.write_body(Bytes::from_static(b"world"), true).await.expect("room");
        miss.finish().await.expect("stored");
        assert_eq!(read_all(attached).await.expect("whole"), b"hello world");
        let (stored, mut hit) = memory.lookup(&key, &span()).await.expect("works").expect("stored");
        assert_eq!(stored.stale_if_error_sec(), 6, "freshness is kept");
        hit.seek(6, Some(9)).expect("seekable");
        assert_eq!(read_all(hit).await.expect("a range"), b"wor");
        assert_eq!(memory.occupancy().fills, 0);
    }

    #[tokio::test]
    async fn a_dropped_writer_fails_its_readers_and_leaves_nothing() {
        let memory = Memory::leak(1 << 20);
        let key = CacheKey::new("b", "");
        let mut miss = memory.get_miss_handler(&key, &meta(), &span()).await.expect("a fill");
        miss.write_body(Bytes::from_static(b"hel"), false).await.expect("room");
        let (_, attached) = memory.lookup(&key, &span()).await.expect("works").expect("the fill is found");
        drop(miss);
        assert!(read_all(attached).await.is_err(), "a short body must not look whole");
        assert!(memory.lookup(&key, &span()).await.expect("works").is_none());
    }

    #[tokio::test]
    async fn the_budget_holds() {
        let memory = Memory::leak(100_000);
        for n in 0..100 {
            let key = CacheKey::new(format!("c{n}"), "");
            let mut miss = memory.get_miss_handler(&key, &meta(), &span()).await.expect("a fill");
            miss.write_body(Bytes::from(vec![0; 10_000]), true).await.expect("room");
            miss.finish().await.expect("stored or not admitted");
        }
        memory.entries.run_pending_tasks();
        let occupancy = memory.occupancy();
        assert!(occupancy.bytes <= 100_000, "{occupancy:?}");
        assert!(occupancy.entries > 0, "and something is kept");
    }
}
