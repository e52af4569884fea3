//! The end of the process: as soon as the last connection is closed, not when the grace is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::cache::Store;

/// How often the count of connections is looked at while draining.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Answers that wait to be written to the disk have this long; more is not worth a slow end.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Waits for SIGTERM, then for the last client. Pingora itself would always wait for the whole grace.
pub(super) struct Drain {
    pub(super) connections: Arc<AtomicUsize>,
    /// Services that end by themselves once they are told to.
    pub(super) busy: Arc<AtomicUsize>,
    pub(super) stores: Vec<Arc<Store>>,
}

#[async_trait]
impl BackgroundService for Drain {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        if shutdown.wait_for(|stop| *stop).await.is_err() {
            return;
        }
        // One look later, so that a connection accepted in the same moment is counted.
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if [&self.connections, &self.busy].iter().all(|count| count.load(Ordering::Acquire) == 0) {
                break;
            }
        }
        let end = Instant::now() + LAST_WRITES;
        for disk in self.stores.iter().filter_map(|store| store.disk()) {
            // It blocks, but nothing else is left to do for this thread.
            disk.settle(end.saturating_duration_since(Instant::now()));
        }
        tracing::info!("drained");
        std::process::exit(0);
    }
}
