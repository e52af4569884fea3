//! The section `[jobs]`.

use std::time::Duration;

use serde::Deserialize;

use crate::setting::Problem;

/// How much is done at the same time, and how long it is remembered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Jobs of this process at the same time, 4; 0: it does none.
    pub concurrency: usize,
    /// How long jobs that have ended are remembered, 30 days.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

impl Config {
    const MOST: usize = 100;

    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let is_fine = self.concurrency <= Self::MOST;
        let problem =
            || Problem::new("jobs.concurrency", self.concurrency, format!("must be at most {}", Self::MOST));
        (!is_fine).then(problem).into_iter().collect()
    }
}
