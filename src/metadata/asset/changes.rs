//! Who is told at once when this process has changed an asset.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::metadata::db::Tx;
use crate::metadata::{Catalog, Error};
use crate::request::AssetId;

type Listener = Box<dyn Fn(&AssetId) + Send + Sync>;

/// Who is told, the same for all clones of a catalogue.
#[derive(Clone, Default)]
pub(crate) struct Changes(Arc<OnceLock<Listener>>);

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changes")
    }
}

impl Catalog {
    /// Lets `told` know of every asset that is changed through this catalogue or a clone of it, before whoever
    /// changes it learns that it is done. There is one listener: a second one is never told anything.
    pub fn on_asset_change(&self, told: impl Fn(&AssetId) + Send + Sync + 'static) {
        // The first one stays.
        let _ = self.changes.0.set(Box::new(told));
    }

    /// Commits what changes these assets. They are told of even if it fails: it may have happened.
    pub(in crate::metadata) async fn commit_change<'a>(
        &self,
        tx: Tx,
        assets: impl IntoIterator<Item = &'a AssetId>,
    ) -> Result<(), Error> {
        let outcome = tx.commit().await;
        if let Some(tell) = self.changes.0.get() {
            assets.into_iter().for_each(tell);
        }
        outcome
    }
}
