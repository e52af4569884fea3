//! The section `[cache]`.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::setting::Problem;

/// How much is kept, and for how long what is not an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Budget of the memory tier, 256 MiB; 0 turns it off.
    pub memory: ByteSize,
    /// Largest answer that is kept, 32 MiB.
    pub max_object: ByteSize,
    /// How long a missing object is remembered as missing, 10 s; 0 for not at all.
    #[serde(with = "humantime_serde")]
    pub negative_ttl: Duration,
    /// How long a request waits for another that fetches the same, 30 s.
    #[serde(with = "humantime_serde")]
    pub lock_timeout: Duration,
}

impl Config {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.memory.as_u64() > 0 && self.max_object > self.memory {
            let remedy = format!("must not exceed cache.memory ({})", self.memory);
            problems.push(Problem::new("cache.max_object", self.max_object, remedy));
        }
        if self.lock_timeout.is_zero() {
            problems.push(Problem::new("cache.lock_timeout", "0s", "must be longer than 0s"));
        }
        problems
    }
}
