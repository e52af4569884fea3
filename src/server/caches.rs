//! The two caches from their settings: of answers, and of the originals that variants are made of.

use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;

use crate::cache::{Disk, DiskOptions, FillBudget, Memory, Originals, Purger, Store};
use crate::config::Config;
use crate::origin::{Kind, Origin};
use crate::telemetry::Metrics;

/// The tiers of the cache of answers.
pub(super) fn answers(config: &Config) -> Store {
    store(config, "answers", config.cache.memory, config.cache.disk)
}

/// The tiers of the cache of originals.
pub(super) fn originals(config: &Config) -> Store {
    let cache = &config.cache;
    let is_on = cache.originals.as_u64() > 0;
    let memory = if is_on { cache.originals_memory } else { ByteSize::b(0) };
    store(config, "originals", memory, cache.originals)
}

/// The origin for making variants: behind that cache, if it is on.
pub(super) fn behind_originals(
    config: &Config,
    origin: &Arc<dyn Origin>,
    store: &Arc<Store>,
    purger: &Purger,
    fills: &FillBudget,
    metrics: &Arc<Metrics>,
) -> Arc<dyn Origin> {
    let (origin, cache) = (Arc::clone(origin), &config.cache);
    if cache.originals.as_u64() == 0 {
        return origin;
    }
    let originals = Originals {
        origin,
        store: Arc::clone(store),
        purger: purger.clone(),
        fills: fills.clone(),
        fresh: match config.origin.kind {
            // To ask it costs next to nothing.
            Kind::Directory => Duration::ZERO,
            // A variant must not be found unchanged by looking at what is older than the variant may be.
            Kind::S3 | Kind::Http => cache.originals_fresh.min(config.delivery.s_maxage),
        },
        max_bytes: config.image.max_source_bytes.as_u64(),
        metrics: Arc::clone(metrics),
    };
    originals.into_origin()
}

fn store(config: &Config, name: &str, memory: ByteSize, disk: ByteSize) -> Store {
    let budget = disk.as_u64();
    let disk = (budget > 0).then(|| {
        let dir = config.data.dir.join("cache").join(name);
        Disk::open(DiskOptions { dir, budget, write_queue: config.cache.write_queue.as_u64() })
    });
    Store::new(Memory::new(memory.as_u64()), disk)
}
