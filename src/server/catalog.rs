//! What the running server knows of the catalogue, keys and purges: read at start, and again as soon as
//! it changes; and what it no longer knows of assets.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{SignalKind, signal};

use crate::cache::{Assets, Generations, follow_purges};
use crate::config::Config;
use crate::metadata;
use crate::metadata::Catalog;
use crate::server::{Error, Welcome, first_start, system, unix_now};
use crate::signature::KeyRing;

/// A purge, or a key or an asset changed, by another process counts within this time: one cheap question each.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// When keys were used is written down so often, in seconds.
const NOTE_USES_EVERY: u64 = 60;

/// What look-ups and proofs ask; each is replaced as a whole when it changes.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) ring: Arc<ArcSwap<KeyRing>>,
    pub(super) generations: Arc<ArcSwap<Generations>>,
}

/// Opens the catalogue, makes the first keys if there are none, and reads all of keys and purges:
/// nothing listens before, so nothing purged is ever given out.
pub(super) fn prepare(config: &Config) -> Result<(Known, Option<Welcome>), Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("a thread"))?;
    runtime.block_on(async {
        let catalog = Catalog::open(&config.catalog, &config.data.dir).await?;
        let welcome = first_start(config, &catalog, unix_now()).await?;
        let ring = Arc::new(ArcSwap::from_pointee(catalog.key_ring(unix_now()).await?));
        let generations = Arc::new(ArcSwap::from_pointee(Generations::default()));
        follow_purges(&catalog, &generations).await?;
        catalog.close().await;
        Ok((Known { ring, generations }, welcome))
    })
}

/// Keeps what is known up to date; SIGHUP reads it at once.
pub(super) struct Watch {
    config: metadata::Config,
    data_dir: std::path::PathBuf,
    known: Known,
    assets: Assets,
}

impl Watch {
    pub(super) fn new(config: &Config, known: Known, assets: Assets) -> Self {
        Self { config: config.catalog.clone(), data_dir: config.data.dir.clone(), known, assets }
    }

    async fn watch(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let catalog = Catalog::open(&self.config, &self.data_dir).await?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut seen = None;
        let mut since = unix_now();
        let (mut keys_end, mut uses_noted) = (None, since);
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                _ = hangup.recv() => true,
            };
            let looked_at = unix_now();
            let change = Some(catalog.change().await?);
            if uses_noted + NOTE_USES_EVERY <= looked_at {
                self.note_uses(&catalog, uses_noted).await?;
                uses_noted = looked_at;
            }
            if asked || change != seen || keys_end.is_some_and(|end| end <= looked_at) {
                self.assets.follow(since).await?;
                since = looked_at;
                follow_purges(&catalog, &self.known.generations).await?;
                let ring = catalog.key_ring(looked_at).await?;
                self.known.ring.rcu(|before| ring.clone().following(before));
                keys_end = catalog.next_expiry(looked_at).await?;
                seen = change;
                tracing::debug!("keys read");
            }
        }
    }
}

impl Watch {
    async fn note_uses(&self, catalog: &Catalog, since: u64) -> Result<(), metadata::Error> {
        let uses: Vec<_> =
            self.known.ring.load().used_since(since).map(|(id, used)| (id.to_owned(), used)).collect();
        if uses.is_empty() { Ok(()) } else { catalog.note_uses(&uses).await }
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
            // What was read last stays in force until the catalogue can be read again.
            if let Err(error) = stopped {
                tracing::error!(%error, "keys and purges cannot be read; the last ones stay");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
