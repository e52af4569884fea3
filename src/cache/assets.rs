//! What is known of assets, so that a request for one need not ask the catalogue.
//!
//! A change in this process is known at once, because whoever makes it calls [`Assets::forget`]; that of
//! another process when [`Assets::follow`] is called next.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use crate::metadata;
use crate::metadata::{AssetSource, Catalog};
use crate::request::AssetId;

/// Assets that are known at the same time, those included that are known not to be there.
const CAPACITY: u64 = 50_000;

/// The catalogue is asked again after this time, whatever anybody has told: an asset that is gone for good has no
/// time of change.
const LIFE: Duration = Duration::from_secs(60);

/// Clocks of the machines that share a catalogue may differ by so much, in seconds.
const CLOCKS_DIFFER: u64 = 30;

/// What the catalogue says of one asset.
type Known = Result<Option<Arc<AssetSource>>, Unknown>;

/// The catalogue could not be asked; told to all who wait for one answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(pub Arc<metadata::Error>);

/// What is known of assets. Cheap to clone.
#[derive(Clone)]
pub struct Assets {
    catalog: Catalog,
    /// Each as the one look-up that all wait for who ask for it.
    known: moka::sync::Cache<AssetId, Shared<BoxFuture<'static, Known>>>,
}

impl Assets {
    /// Those of a catalogue.
    pub fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            known: moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(LIFE).build(),
        }
    }

    /// The asset of this id; `None` if there is none.
    ///
    /// # Errors
    /// [`Unknown`]; the next one asks again.
    pub async fn find(&self, id: AssetId) -> Known {
        let looked = self.known.get_with(id, || self.look_up(id)).await;
        if looked.is_err() {
            self.forget(&id);
        }
        looked
    }

    /// The same without waiting: `None` if nothing is known.
    pub fn at_hand(&self, id: AssetId) -> Option<Arc<AssetSource>> {
        let looked = self.known.get(&id)?;
        looked.peek()?.as_ref().ok()?.clone()
    }

    /// Whoever asks from now on learns what the catalogue says now.
    pub fn forget(&self, id: &AssetId) {
        self.known.invalidate(id);
    }

    /// Forgets what anybody has changed at this second (Unix) or later, or all.
    ///
    /// # Errors
    /// That of the catalogue; nothing is forgotten then.
    pub async fn follow(&self, second: u64) -> Result<(), metadata::Error> {
        match self.catalog.assets_changed_since(second.saturating_sub(CLOCKS_DIFFER)).await? {
            Some(changed) => changed.iter().for_each(|id| self.forget(id)),
            None => self.known.invalidate_all(),
        }
        Ok(())
    }

    /// In a task of its own: a client that leaves must not leave a connection of the catalogue behind.
    fn look_up(&self, id: AssetId) -> Shared<BoxFuture<'static, Known>> {
        let (tell, told) = oneshot::channel();
        let catalog = self.catalog.clone();
        tokio::spawn(async move {
            // Those who asked may all be gone.
            let _ = tell.send(catalog.asset_source(&id).await);
        });
        let known = async {
            let lost = || metadata::Error::Damaged("a look-up ended without an answer".to_owned());
            let found = told.await.unwrap_or_else(|_| Err(lost()));
            found.map(|found| found.map(Arc::new)).map_err(|error| Unknown(Arc::new(error)))
        };
        known.boxed().shared()
    }
}
