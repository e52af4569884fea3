//! Work that runs beside the listeners as services of the server, and ends with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::job::Runner;
use crate::webhook::Sender;

/// What runs.
pub(super) enum Work {
    Sending(Sender),
    Jobs(Runner),
}

/// Runs it; the process does not end before what is under way is recorded.
pub(super) struct Background {
    work: Work,
    /// Services that have not ended yet; see [`Drain`](crate::server::drain::Drain).
    busy: Arc<AtomicUsize>,
}

impl Background {
    pub(super) fn new(work: Work, busy: &Arc<AtomicUsize>) -> Self {
        busy.fetch_add(1, Ordering::AcqRel);
        Self { work, busy: Arc::clone(busy) }
    }
}

#[async_trait]
impl BackgroundService for Background {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // An error means that whoever would say so is gone.
        let stop = async { drop(shutdown.wait_for(|stop| *stop).await) };
        match &self.work {
            Work::Sending(sender) => sender.run(stop).await,
            Work::Jobs(runner) => runner.run(stop).await,
        }
        self.busy.fetch_sub(1, Ordering::AcqRel);
    }
}
