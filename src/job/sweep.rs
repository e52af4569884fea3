//! Sweeps: of what was kept long enough (events with their deliveries, jobs that have ended), and of what
//! uploads have left behind.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::job::{Fault, Tally, Work};
use crate::metadata::{Catalog, Error, Job};
use crate::upload::Uploads;

/// How often it comes.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// What a process has left in the bucket that ended in the middle does not lie there long.
const UPLOADS_EVERY: Duration = Duration::from_secs(30);

/// So many rows go at once, so that nobody waits long for the one writer of SQLite.
const BATCH: u32 = 500;

/// Forgets what is old.
pub struct Sweep {
    /// Where it is.
    pub catalog: Catalog,
    /// How long events are kept.
    pub keep_events: Duration,
    /// How long ended jobs are kept.
    pub keep_jobs: Duration,
}

impl Sweep {
    /// Forgets all that is too old at `now` (Unix seconds).
    async fn at(&self, now: u64, tally: &Tally) -> Result<(), Error> {
        let before = |keep: Duration| now.saturating_sub(keep.as_secs());
        loop {
            let events = self.catalog.forget_events(before(self.keep_events), BATCH).await?;
            let jobs = self.catalog.forget_jobs(before(self.keep_jobs), BATCH).await?;
            tally.add(events + jobs);
            if events + jobs == 0 {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Work for Sweep {
    fn kind(&self) -> &'static str {
        "sweep"
    }

    fn comes_again(&self) -> Option<Duration> {
        Some(EVERY)
    }

    async fn run(&self, job: &Job, tally: &Arc<Tally>) -> Result<(), Fault> {
        // It has just begun, so this is the time.
        let failed = |error: Error| {
            tracing::warn!(%error, "the sweep failed");
            Fault::passing("catalog_failed", "the catalogue cannot be read or written")
        };
        self.at(job.updated_at, tally).await.map_err(failed)
    }
}

/// Clears away what ended processes and given up uploads have left behind.
pub struct UploadSweep {
    /// Where it is.
    pub uploads: Uploads,
}

#[async_trait]
impl Work for UploadSweep {
    fn kind(&self) -> &'static str {
        "sweep-uploads"
    }

    fn comes_again(&self) -> Option<Duration> {
        Some(UPLOADS_EVERY)
    }

    async fn run(&self, job: &Job, tally: &Arc<Tally>) -> Result<(), Fault> {
        let swept = self.uploads.sweep(job.updated_at).await.map_err(|error| {
            tracing::warn!(%error, "nothing was swept");
            Fault::passing("storage_failed", "the catalogue or the bucket cannot be read")
        })?;
        tally.add(swept as u64);
        Ok(())
    }
}
