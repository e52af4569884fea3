//! Files become assets: checked, stored, recorded and announced, in this order.
//!
//! Whatever is on its way into the bucket is in the catalogue before its first byte is, and stays there until
//! the transaction that makes an asset of it. So nothing is lost or half-kept, whenever the process ends: what
//! was not acknowledged is swept away by whoever comes next.

mod batch;
mod checksum;
mod config;
mod digests;
mod error;
mod facts;
mod hold;
mod kind;
mod name;
mod register;
mod resumable;
mod source;
mod sweep;
mod transfer;

use std::sync::Arc;

use crate::metadata::Catalog;
use crate::origin::{Body, Bucket, ObjectKey, Origin};
use crate::render::Renderer;
use crate::request::AssetId;

pub use batch::{About, Batch, StoredFile};
pub use checksum::{Algorithm, Checksum};
pub use config::Config;
pub use error::Error;
pub use name::check as check_name;
pub use resumable::{NewUpload, Standing};

/// What uploads work with. Cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    /// The bucket, unless the originals live where nothing can be stored.
    pub bucket: Option<Arc<dyn Bucket>>,
    /// The same bucket from its other side.
    pub origin: Arc<dyn Origin>,
    /// Looks at pictures.
    pub renderer: Arc<Renderer>,
    /// Where uploads and assets are recorded.
    pub catalog: Catalog,
    /// What may be uploaded, and where it goes.
    pub config: Arc<Config>,
}

/// A file that is handed over.
pub struct Incoming {
    /// Its name, as it came.
    pub name: String,
    /// What it is said to be.
    pub declared_type: Option<String>,
    /// How long it is said to be.
    pub length: Option<u64>,
    /// Its bytes.
    pub body: Body,
}

impl Uploads {
    /// Begins to take files that become assets together, or not at all.
    ///
    /// # Errors
    /// [`Error::NoBucket`].
    pub fn begin(&self) -> Result<Batch, Error> {
        Batch::new(self)
    }

    /// Removes an object that no asset names any more. One that was not uploaded is not ours to remove.
    pub async fn remove(&self, key: &ObjectKey) {
        let Some(bucket) = self.bucket.as_ref().filter(|_| self.is_ours(key)) else { return };
        if let Err(error) = bucket.delete(key).await {
            tracing::warn!(%error, %key, "an object that nobody needs stays in the bucket");
        }
    }

    /// Whether an object was uploaded, so that it is reached by its asset alone.
    pub fn is_ours(&self, key: &ObjectKey) -> bool {
        key.as_str().strip_prefix(&self.config.prefix).is_some_and(|rest| rest.starts_with('/'))
    }

    fn bucket(&self) -> Result<&Arc<dyn Bucket>, Error> {
        self.bucket.as_ref().ok_or(Error::NoBucket)
    }

    /// Where a file of an asset lies: never at a place where something has been before.
    fn key(&self, asset: &AssetId, place: &str, name: &str) -> Result<ObjectKey, Error> {
        let key = format!("{}/{asset}/{place}/{}", self.config.prefix, name::for_key(name));
        ObjectKey::new(key).map_err(|_| Error::BadName("a file's name makes no key"))
    }
}

/// A name for a folder of an asset that no other content of it has.
///
/// # Errors
/// If the system gives no random numbers.
pub fn new_folder(stem: &str) -> Result<String, Error> {
    let id = new_asset_id()?.to_string();
    Ok(format!("{stem}-{}", &id[..8]))
}

/// A new id for an asset.
///
/// # Errors
/// If the system gives no random numbers.
pub fn new_asset_id() -> Result<AssetId, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(crate::metadata::Error::NoRandomness)?;
    Ok(AssetId::new(random))
}
