//! What a kind of job is to the runner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::metadata::{Job, Progress};

/// Does the jobs of one kind.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// The word for it, in the catalogue and in the API.
    fn kind(&self) -> &'static str;

    /// A job that nobody asks for comes again after this time; there is one of it.
    fn comes_again(&self) -> Option<Duration> {
        None
    }

    /// Does a job. It is dropped in the middle when it is cancelled or the process stops, and begun anew
    /// after a crash.
    ///
    /// # Errors
    /// What went wrong, and whether it makes sense to try again.
    async fn run(&self, job: &Job, tally: &Arc<Tally>) -> Result<(), Fault>;

    /// Leaves things as they should be when a job has failed for good or was cancelled.
    ///
    /// # Errors
    /// Then it is tried again.
    async fn give_up(&self, _: &Job, _: Option<&Fault>) -> Result<(), Fault> {
        Ok(())
    }
}

/// Why a job could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A stable snake_case word.
    pub error: &'static str,
    /// For people, strangers among them.
    pub detail: String,
    /// Another try would end in the same way.
    pub is_final: bool,
}

impl Fault {
    /// It may work another time.
    pub fn passing(error: &'static str, detail: impl Into<String>) -> Self {
        Self { error, detail: detail.into(), is_final: false }
    }

    /// It will not work.
    pub fn lasting(error: &'static str, detail: impl Into<String>) -> Self {
        Self { error, detail: detail.into(), is_final: true }
    }
}

/// How far a job is: counted where the work is done, told by the runner.
#[derive(Debug)]
pub struct Tally {
    done: AtomicU64,
    total: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { done: AtomicU64::new(0), total: AtomicU64::new(u64::MAX) }
    }
}

impl Tally {
    /// So much more is done.
    pub fn add(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// So much there is to do.
    pub fn of(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        let total = self.total.load(Ordering::Relaxed);
        Progress { done: self.done.load(Ordering::Relaxed), total: (total != u64::MAX).then_some(total) }
    }
}
