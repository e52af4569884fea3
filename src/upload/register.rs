//! Objects that lie in the bucket already become assets where they are.

use crate::metadata::{Asset, EventKind};
use crate::origin;
use crate::origin::{Answer, Ask, ObjectKey};
use crate::request::AssetId;
use crate::upload::digests::Digests;
use crate::upload::kind::{HEAD_BYTES, kind};
use crate::upload::source::Source;
use crate::upload::{About, Error, StoredFile, Uploads};

impl Uploads {
    /// Makes an asset of an object at `now` (Unix seconds), which is read once and stays as it is.
    ///
    /// # Errors
    /// [`Error`]; an object that was uploaded belongs to an asset already.
    pub async fn register(
        &self,
        asset: AssetId,
        key: &ObjectKey,
        about: &About,
        now: u64,
    ) -> Result<Asset, Error> {
        let bucket = self.bucket()?;
        if self.is_ours(key) {
            return Err(Error::BadName("the object belongs to an asset already"));
        }
        let file = self.read(asset, key).await?;
        let asset = file.asset(about, bucket.as_ref(), now);
        self.catalog.insert_assets(std::slice::from_ref(&asset), EventKind::FileSaved, now).await?;
        Ok(asset)
    }

    async fn read(&self, asset: AssetId, key: &ObjectKey) -> Result<StoredFile, Error> {
        let object = match self.origin.get(key, &Ask::default()).await.map_err(Error::Source)? {
            Answer::Object(object) => object,
            Answer::NotModified(_) => return Err(Error::Source(origin::Error::Changed)),
        };
        let name = key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let mut source = Source::new(object.body, u64::MAX);
        let head = source.head(HEAD_BYTES).await?.to_vec();
        if head.is_empty() {
            return Err(Error::Empty);
        }
        let kind = kind(&name, None, &head, source.has_ended())?;
        let (mut digests, mut size) = (Digests::default(), 0);
        while let Some(batch) = source.batch(u64::MAX).await? {
            size += batch.len() as u64;
            digests.update(&batch);
        }
        let metadata = self.look(key, kind.is_picture).await?;
        let (md5, sha256) = digests.finish();
        Ok(StoredFile {
            asset,
            name,
            size,
            md5,
            sha256,
            content_type: kind.content_type,
            declared_type: object.info.content_type,
            key: key.clone(),
            metadata,
        })
    }
}
