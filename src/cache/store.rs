//! The tiers as one: memory before the disk.

use std::sync::Arc;

use crate::cache::disk::Disk;
use crate::cache::entry::{Body, Entry};
use crate::cache::key::Key;
use crate::cache::memory::Memory;
use crate::cache::record;
use crate::cache::segments::Segments;

/// An answer of the disk tier with at most so many bytes moves into memory when it is asked for; whether
/// it stays there, and at whose expense, is for that tier to say.
const HOT_BYTES: u64 = 1 << 20;

/// All stored answers.
pub struct Store {
    memory: Memory,
    disk: Option<Arc<Disk>>,
}

impl Store {
    /// Puts the tiers together.
    pub fn new(memory: Memory, disk: Option<Arc<Disk>>) -> Self {
        Self { memory, disk }
    }

    /// The memory tier.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The disk tier, if there is one.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_deref()
    }

    /// Whether an answer is in a tier, as far as can be told without asking the disk.
    pub fn contains(&self, key: &Key) -> bool {
        self.memory.contains(key) || self.disk.as_ref().is_some_and(|disk| disk.contains(key))
    }

    /// The answer of this key, fresh or not.
    pub async fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        match self.memory.get(key) {
            Some(entry) => Some(entry),
            None => self.read(key).await,
        }
    }

    async fn read(&self, key: &Key) -> Option<Arc<Entry>> {
        self.memory.missed();
        let disk = self.disk.as_ref()?;
        let object = Arc::new(disk.get(key).await?);
        let meta = object.meta().clone();
        let Some(entry) = record::read(&meta, Body::Disk(object)) else {
            // Another version of this program wrote it.
            disk.remove(key);
            return None;
        };
        let entry = match &entry.body {
            Body::Disk(object) if object.len() > HOT_BYTES => return Some(Arc::new(entry)),
            Body::Disk(_) => Entry { body: Body::Memory(collect(&entry.body).await?), ..entry },
            Body::Memory(_) | Body::Filling(_) | Body::Sliced { .. } => entry,
        };
        let entry = Arc::new(entry);
        self.memory.insert(*key, Arc::clone(&entry));
        Some(entry)
    }

    /// Keeps a whole answer in place of an older one; what a purge has overtaken never replaces what it
    /// has not.
    pub fn keep(&self, key: Key, entry: &Arc<Entry>, is_durable: bool) {
        if self.memory.stamp(&key).is_some_and(|there| there > entry.stamp) {
            return;
        }
        self.memory.insert(key, Arc::clone(entry));
        let Some(disk) = self.disk.as_ref().filter(|_| is_durable) else { return };
        let Some(meta) = record::write(entry) else { return };
        match &entry.body {
            Body::Memory(segments) => disk.store(key, meta, segments.pieces().cloned().collect()),
            Body::Sliced { .. } => disk.store(key, meta, Vec::new()),
            Body::Filling(_) | Body::Disk(_) => {}
        }
    }

    /// Forgets an answer.
    pub fn remove(&self, key: &Key) {
        self.memory.remove(key);
        if let Some(disk) = &self.disk {
            disk.remove(key);
        }
    }

    /// Keeps an answer whose body is the stored one.
    pub fn renew(&self, key: Key, entry: &Arc<Entry>) {
        if matches!(entry.body, Body::Memory(_) | Body::Sliced { .. }) {
            self.memory.insert(key, Arc::clone(entry));
        }
        let (Some(disk), Some(meta)) = (&self.disk, record::write(entry)) else { return };
        match &entry.body {
            // What is on the disk under this key may be another body by now: that keeps its own head.
            Body::Disk(object) => object.refresh(meta),
            Body::Memory(segments) if disk.contains(&key) => {
                disk.store(key, meta, segments.pieces().cloned().collect());
            }
            Body::Sliced { .. } => disk.store(key, meta, Vec::new()),
            Body::Memory(_) | Body::Filling(_) => {}
        }
    }
}

/// A body of the disk in memory; `None` if it cannot be read.
async fn collect(body: &Body) -> Option<Segments> {
    let mut segments = Segments::default();
    while (segments.len() as u64) < body.len() {
        segments.push(body.read(segments.len() as u64, body.len()).await.ok()??);
    }
    Some(segments.compact())
}
