//! What is known of assets, so that a request for one need not ask the catalogue.
//!
//! A change in this process is known when it is done, because the catalogue tells; that of another process when
//! [`Assets::follow`] is called next.

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
    /// Those of a catalogue, which tells us alone of changes.
    pub fn new(catalog: Catalog) -> Self {
        let known = moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(LIFE).build();
        let assets = Self { catalog, known };
        let known = assets.known.clone();
        assets.catalog.on_asset_change(move |id| known.invalidate(id));
        assets
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
    fn forget(&self, id: &AssetId) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Asset, Config, EventKind};
    use crate::setting::Secret;

    const ID: AssetId = AssetId::new([7; 16]);

    async fn catalog(directory: &tempfile::TempDir) -> Catalog {
        let config = Config { url: Secret::new("sqlite:kinora.sqlite") };
        Catalog::open(&config, directory.path()).await.expect("open")
    }

    async fn rename(catalog: &Catalog, name: &str, now: u64) {
        let change = |asset: &mut Asset| {
            asset.name = name.to_owned();
            Ok::<_, metadata::Error>(())
        };
        catalog.change_asset(&ID, None, None, now, change).await.expect("changed");
    }

    #[tokio::test]
    async fn a_change_is_known_here_at_once_and_elsewhere_when_it_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let here = catalog(&directory).await;
        let assets = Assets::new(here.clone());
        let name = async || assets.find(ID).await.expect("asked").map(|asset| asset.name.clone());
        assert_eq!((name().await, assets.at_hand(ID)), (None, None));
        let asset = Asset::new(ID, "a", 1000);
        here.insert_assets(&[asset], EventKind::FileSaved, 1000).await.expect("recorded");
        assert_eq!(name().await.as_deref(), Some("a"), "that there was none is forgotten as well");
        assert_eq!(assets.at_hand(ID).map(|asset| asset.name.clone()).as_deref(), Some("a"));
        rename(&here, "b", 1001).await;
        assert_eq!(assets.at_hand(ID), None);
        assert_eq!(name().await.as_deref(), Some("b"));

        let elsewhere = catalog(&directory).await;
        rename(&elsewhere, "c", 1002).await;
        assert_eq!(name().await.as_deref(), Some("b"), "nobody has told");
        assets.follow(1002 + CLOCKS_DIFFER + 1).await.expect("asked");
        assert_eq!(name().await.as_deref(), Some("b"), "that was before");
        assets.follow(1002).await.expect("asked");
        assert_eq!(name().await.as_deref(), Some("c"));
    }

    #[tokio::test]
    async fn equal_questions_are_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let assets = Assets::new(catalog(&directory).await);
        let asset = Asset::new(ID, "a", 1000);
        assets.catalog.insert_assets(&[asset], EventKind::FileSaved, 1000).await.expect("recorded");
        let found = futures::future::join_all((0..50).map(|_| assets.find(ID))).await;
        let found: Vec<_> = found.into_iter().map(|found| found.expect("asked").expect("there")).collect();
        assert!(found.iter().all(|other| Arc::ptr_eq(other, &found[0])));
    }
}
