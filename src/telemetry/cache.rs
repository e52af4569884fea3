//! The metrics of the cache: what its tiers hold, and what became of what they were asked for.
//!
//! The tiers count for themselves; the page takes their numbers over when somebody reads it.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::telemetry::metrics::{MetricRow, counter, counters, gauge, gauges};

pub(super) const ENTRIES: MetricRow = MetricRow {
    name: "kinora_cache_entries",
    labels: &["tier"],
    help: "Answers and slices in memory and disk, originals in originals_memory and originals_disk",
};
pub(super) const BYTES: MetricRow =
    MetricRow { name: "kinora_cache_bytes", labels: &["tier"], help: "Bytes of what is in a tier" };
pub(super) const BUDGET_BYTES: MetricRow = MetricRow {
    name: "kinora_cache_budget_bytes",
    labels: &["tier"],
    help: "Bytes that a tier may take; 0: it is off",
};
pub(super) const HITS: MetricRow = MetricRow {
    name: "kinora_cache_hits_total",
    labels: &["tier"],
    help: "Look-ups of what a tier had, fresh or not",
};
pub(super) const MISSES: MetricRow = MetricRow {
    name: "kinora_cache_misses_total",
    labels: &["tier"],
    help: "Look-ups that went on from a tier: from memory to the disk, from there to the origin or a fill",
};
pub(super) const EVICTIONS: MetricRow = MetricRow {
    name: "kinora_cache_evictions_total",
    labels: &["tier"],
    help: "What a tier gave up, or did not take up, for want of room",
};
pub(super) const DISK_STATE: MetricRow = MetricRow {
    name: "kinora_cache_disk_state",
    labels: &["tier"],
    help: "0: a disk tier works; 1: it reads its directory; 2: its directory cannot be used; 3: it is off",
};
pub(super) const DISK_WRITES: MetricRow = MetricRow {
    name: "kinora_cache_disk_writes_total",
    labels: &["tier", "result"],
    help: "Writes to a disk tier: done or dropped",
};
pub(super) const DISK_WAITING_BYTES: MetricRow = MetricRow {
    name: "kinora_cache_disk_waiting_bytes",
    labels: &["tier"],
    help: "Bytes that wait to be written",
};
pub(super) const DISK_FAULTS: MetricRow = MetricRow {
    name: "kinora_cache_disk_faults_total",
    labels: &["tier", "kind"],
    help: "Objects of a disk tier that were damaged (corrupt) or could not be read in time (unreadable)",
};
pub(super) const FILLS: MetricRow =
    MetricRow { name: "kinora_cache_fills", labels: &[], help: "Answers that are arriving right now" };
pub(super) const FILL_FAILURES: MetricRow = MetricRow {
    name: "kinora_cache_fill_failures_total",
    labels: &[],
    help: "Answers, slices and originals that broke off on their way into the cache",
};
pub(super) const SLICES_FETCHED: MetricRow = MetricRow {
    name: "kinora_cache_slices_fetched_total",
    labels: &[],
    help: "Slices of large originals that the origin has sent",
};

/// The tiers, in the order of [`CacheLevels::tiers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Answers in memory.
    Memory,
    /// Answers on the disk.
    Disk,
    /// Originals in memory.
    OriginalsMemory,
    /// Originals on the disk.
    OriginalsDisk,
}

impl Tier {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Disk, Self::OriginalsMemory, Self::OriginalsDisk];

    /// Its label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::OriginalsMemory => "originals_memory",
            Self::OriginalsDisk => "originals_disk",
        }
    }

    /// Whether it has a directory.
    pub fn is_on_disk(self) -> bool {
        matches!(self, Self::Disk | Self::OriginalsDisk)
    }
}

/// The state of the cache when somebody asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheLevels {
    /// Each tier.
    pub tiers: [TierLevels; 4],
    /// Answers arriving.
    pub fills: u64,
}

/// What one tier has, and what became of look-ups since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct TierLevels {
    /// Answers and slices.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they may have.
    pub budget_bytes: u64,
    /// Look-ups that found.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// What had to make room.
    pub evictions: u64,
    /// Of a tier on the disk.
    pub writing: DiskLevels,
}

/// How a disk is.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskLevels {
    /// Whether it works.
    pub state: DiskCondition,
    /// Objects written since the start.
    pub writes: u64,
    /// Objects not written.
    pub dropped: u64,
    /// Bytes that wait to be written.
    pub waiting_bytes: u64,
    /// Objects found damaged.
    pub corrupt: u64,
    /// Objects not read.
    pub unreadable: u64,
}

/// Whether the disk tier works; its numbers are those on the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskCondition {
    /// It does.
    Ready,
    /// It has just begun.
    Scanning,
    /// Its directory cannot be used.
    Degraded,
    /// There is none.
    #[default]
    Off,
}

impl DiskCondition {
    const ALL: [Self; 4] = [Self::Ready, Self::Scanning, Self::Degraded, Self::Off];

    /// The condition of a number on the page.
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| *condition as u64 == number)
    }

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Scanning => "scanning",
            Self::Degraded => "degraded",
            Self::Off => "off",
        }
    }
}

/// The counters of the cache.
pub struct CacheMetrics {
    /// Answers and slices that broke off.
    pub fill_failures: IntCounter,
    /// Slices from the origin.
    pub slices_fetched: IntCounter,
    levels: Mutex<Levels>,
}

/// What the page takes over from the tiers.
struct Levels {
    entries: IntGaugeVec,
    bytes: IntGaugeVec,
    budget_bytes: IntGaugeVec,
    hits: IntCounterVec,
    misses: IntCounterVec,
    evictions: IntCounterVec,
    disk_state: IntGaugeVec,
    disk_writes: IntCounterVec,
    disk_waiting_bytes: IntGaugeVec,
    disk_faults: IntCounterVec,
    fills: IntGauge,
}

impl CacheMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            fill_failures: counter(registry, FILL_FAILURES)?,
            slices_fetched: counter(registry, SLICES_FETCHED)?,
            levels: Mutex::new(Levels {
                entries: gauges(registry, ENTRIES)?,
                bytes: gauges(registry, BYTES)?,
                budget_bytes: gauges(registry, BUDGET_BYTES)?,
                hits: counters(registry, HITS)?,
                misses: counters(registry, MISSES)?,
                evictions: counters(registry, EVICTIONS)?,
                disk_state: gauges(registry, DISK_STATE)?,
                disk_writes: counters(registry, DISK_WRITES)?,
                disk_waiting_bytes: gauges(registry, DISK_WAITING_BYTES)?,
                disk_faults: counters(registry, DISK_FAULTS)?,
                fills: gauge(registry, FILLS)?,
            }),
        })
    }

    /// Takes the numbers over. Two readers at once must not both add what is new.
    pub(super) fn take(&self, now: &CacheLevels) {
        let page = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        for (tier, of) in Tier::ALL.into_iter().zip(&now.tiers) {
            let label = &[tier.as_str()];
            set(&page.entries.with_label_values(label), of.entries);
            set(&page.bytes.with_label_values(label), of.bytes);
            set(&page.budget_bytes.with_label_values(label), of.budget_bytes);
            raise(&page.hits.with_label_values(label), of.hits);
            raise(&page.misses.with_label_values(label), of.misses);
            raise(&page.evictions.with_label_values(label), of.evictions);
            if tier.is_on_disk() {
                page.take_disk(tier.as_str(), &of.writing);
            }
        }
        set(&page.fills, now.fills);
    }
}

impl Levels {
    fn take_disk(&self, tier: &str, of: &DiskLevels) {
        set(&self.disk_state.with_label_values(&[tier]), of.state as u64);
        set(&self.disk_waiting_bytes.with_label_values(&[tier]), of.waiting_bytes);
        for (result, total) in [("done", of.writes), ("dropped", of.dropped)] {
            raise(&self.disk_writes.with_label_values(&[tier, result]), total);
        }
        for (kind, total) in [("corrupt", of.corrupt), ("unreadable", of.unreadable)] {
            raise(&self.disk_faults.with_label_values(&[tier, kind]), total);
        }
    }
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_taken_over_twice_count_once() {
        let metrics = CacheMetrics::new(&Registry::new()).expect("names are unique");
        let mut levels = CacheLevels::default();
        for (hits, entries) in [(3, 9), (3, 9), (5, 2)] {
            levels.tiers[0] = TierLevels { hits, entries, ..TierLevels::default() };
            metrics.take(&levels);
            let page = metrics.levels.lock().expect("no panic");
            assert_eq!(page.hits.with_label_values(&["memory"]).get(), hits);
            assert_eq!(page.entries.with_label_values(&["memory"]).get(), entries as i64);
            assert_eq!(page.hits.with_label_values(&["disk"]).get(), 0);
        }
    }

    #[test]
    fn each_condition_of_the_disk_has_its_number() {
        for (number, condition) in DiskCondition::ALL.into_iter().enumerate() {
            assert_eq!(DiskCondition::of(number as u64), Some(condition));
        }
        assert_eq!(DiskCondition::of(4), None);
    }
}
