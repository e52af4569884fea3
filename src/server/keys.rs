//! The keys of the running server: read at start, read again as soon as they change.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::metadata;
use crate::metadata::Catalog;
use crate::server::{Error, Welcome, first_start, system, unix_now};
use crate::signature::KeyRing;

/// A key made or revoked by another process counts within this time: one cheap question each.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Opens the catalogue, makes the first keys if there are none, and reads them all.
pub(super) fn prepare(config: &Config) -> Result<(KeyRing, Option<Welcome>), Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("a thread"))?;
    runtime.block_on(async {
        let catalog = Catalog::open(&config.catalog, &config.data.dir).await?;
        let welcome = first_start(config, &catalog, unix_now()).await?;
        let ring = catalog.key_ring().await?;
        catalog.close().await;
        Ok((ring, welcome))
    })
}

/// Keeps the ring up to date; SIGHUP reads it at once.
pub(super) struct Watch {
    config: metadata::Config,
    data_dir: std::path::PathBuf,
    ring: Arc<ArcSwap<KeyRing>>,
}

impl Watch {
    pub(super) fn new(config: &Config, ring: Arc<ArcSwap<KeyRing>>) -> Self {
        Self { config: config.catalog.clone(), data_dir: config.data.dir.clone(), ring }
    }

    async fn watch(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let catalog = Catalog::open(&self.config, &self.data_dir).await?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut seen = None;
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                _ = hangup.recv() => true,
            };
            let change = Some(catalog.change().await?);
            if asked || change != seen {
                self.ring.store(Arc::new(catalog.key_ring().await?));
                seen = change;
                tracing::debug!("keys read");
            }
        }
    }
}

#[async_trait]
impl BackgroundService for Watch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            let stopped = tokio::select! {
                result = self.watch() => result,
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            // The keys that were read last stay in force until the catalogue can be read again.
            if let Err(error) = stopped {
                tracing::error!(%error, "keys cannot be read; the last ones stay");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
