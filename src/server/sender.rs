//! The sender of webhooks as a service: it runs as long as the server and ends with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::webhook::Sender;

/// Sends; the process does not end before what is under way is recorded.
pub(super) struct Sending {
    sender: Sender,
    /// Services that have not ended yet; see [`Drain`](crate::server::drain::Drain).
    busy: Arc<AtomicUsize>,
}

impl Sending {
    pub(super) fn new(sender: Sender, busy: &Arc<AtomicUsize>) -> Self {
        busy.fetch_add(1, Ordering::AcqRel);
        Self { sender, busy: Arc::clone(busy) }
    }
}

#[async_trait]
impl BackgroundService for Sending {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // An error means that whoever would say so is gone.
        self.sender.run(async { drop(shutdown.wait_for(|stop| *stop).await) }).await;
        self.busy.fetch_sub(1, Ordering::AcqRel);
    }
}
