//! The section `[cache]`.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::setting::Problem;

/// How much is kept, and for how long what is no answer of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Budget of the memory tier, 256 MiB; 0 turns it off.
    pub memory: ByteSize,
    /// Budget of the disk tier, 4 GiB; 0 turns it off.
    pub disk: ByteSize,
    /// Answers that may wait to be written to the disk, 64 MiB; what comes beyond is not written.
    pub write_queue: ByteSize,
    /// Answers on their way into the cache, and those who read them meanwhile, 256 MiB.
    pub fills: ByteSize,
    /// Originals with more bytes are kept in slices, 4 MiB.
    pub slice_above: ByteSize,
    /// Bytes of a slice, 1 MiB; 64 KiB to 16 MiB.
    pub slice: ByteSize,
    /// Largest answer that is kept, 32 MiB; one that exceeds the budget is not kept either.
    pub max_object: ByteSize,
    /// Budget for originals on the disk, 2 GiB; 0 turns the cache of originals off.
    pub originals: ByteSize,
    /// Budget for originals in memory, 64 MiB; larger ones are on the disk alone.
    pub originals_memory: ByteSize,
    /// How long an original is used before the origin is asked whether it is still the same, 10 s.
    #[serde(with = "humantime_serde")]
    pub originals_fresh: Duration,
    /// How long a missing object is remembered as missing, 10 s; 0 for not at all.
    #[serde(with = "humantime_serde")]
    pub negative_ttl: Duration,
}

impl Config {
    const LEAST_SLICE: ByteSize = ByteSize::kib(64);
    const MOST_SLICE: ByteSize = ByteSize::mib(16);

    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let remedy = format!("must lie between {} and {}", Self::LEAST_SLICE, Self::MOST_SLICE);
        let is_fine = (Self::LEAST_SLICE..=Self::MOST_SLICE).contains(&self.slice);
        if is_fine { Vec::new() } else { vec![Problem::new("cache.slice", self.slice, remedy)] }
    }
}
