//! Files that are handed over in one request: they become assets together, or nothing of them is left.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::metadata::{Asset, AssetStatus, Conversion, EventKind, Fence, Upload, UploadKind, UploadState};
use crate::origin::{Bucket, Draft, ObjectKey};
use crate::request::AssetId;
use crate::signature::UploadLimits;
use crate::upload::digests::Digests;
use crate::upload::hold::{Hold, now, until};
use crate::upload::kind::{HEAD_BYTES, Kind, is_taken, kind};
use crate::upload::source::Source;
use crate::upload::transfer::{Progress, transfer};
use crate::upload::{Error, Incoming, Uploads, facts, name, new_asset_id};

/// After so many bytes a bucket has said all that is needed to clean up.
const FIRST_STEP: u64 = 8 << 20;

/// Files on their way. It has to be recorded or discarded; what is neither is swept away later.
pub struct Batch {
    uploads: Uploads,
    hold: Hold,
    limits: UploadLimits,
    files: Vec<StoredFile>,
}

/// A file that is in the bucket and was found good.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// The asset that it belongs to.
    pub asset: AssetId,
    /// Its name, as it came.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// MD5 in hex.
    pub md5: String,
    /// SHA-256 in hex.
    pub sha256: String,
    /// What it is, by its bytes.
    pub content_type: String,
    /// What it was said to be.
    pub declared_type: Option<String>,
    /// Its object.
    pub key: ObjectKey,
    /// What it tells of itself.
    pub metadata: Map<String, Value>,
}

/// Who hands files over, and what is said about them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct About {
    /// The id of the key that was used.
    pub creator_id: Option<String>,
    /// The host that it came from.
    pub source: Option<String>,
    /// `local`, or the name of a cloud.
    pub provider: Option<String>,
    /// What the owner says.
    pub data: Map<String, Value>,
    /// The schema of it; 0 is none.
    pub data_schema_id: i64,
}

impl Batch {
    pub(super) fn new(uploads: &Uploads) -> Result<Self, Error> {
        uploads.bucket()?;
        let hold = Hold::keep(&uploads.catalog, Fence::new()?);
        Ok(Self { uploads: uploads.clone(), hold, limits: UploadLimits::default(), files: Vec::new() })
    }

    /// The same within the limits of the key that it is handed over with.
    pub fn within(self, limits: UploadLimits) -> Self {
        Self { limits, ..self }
    }

    /// Stores a file of a new asset.
    ///
    /// # Errors
    /// [`Error`], and then nothing of this file is left.
    pub async fn store(&mut self, file: Incoming) -> Result<(), Error> {
        self.store_for(new_asset_id()?, "1", file).await
    }

    /// Stores a file of this asset, in a folder that no other content of it has.
    ///
    /// # Errors
    /// [`Error`], and then nothing of this file is left.
    pub async fn store_for(&mut self, asset: AssetId, folder: &str, file: Incoming) -> Result<(), Error> {
        name::check(&file.name)?;
        let limit = self.uploads.most_bytes(&self.limits);
        let most_files = self.uploads.most_files(&self.limits);
        if self.files.len() >= most_files {
            return Err(Error::TooManyFiles { limit: most_files });
        }
        if file.length.is_some_and(|length| length > limit) {
            return Err(Error::TooLarge { limit });
        }
        let mut source = Source::new(file.body, limit);
        let head = source.head(HEAD_BYTES).await?;
        if head.is_empty() {
            return Err(Error::Empty);
        }
        let head = head.to_vec();
        let kind = kind(&file.name, file.declared_type.as_deref(), &head, source.has_ended())?;
        self.uploads.check_type(&kind.content_type, &self.limits)?;
        let bucket = self.uploads.bucket()?;
        let key = self.uploads.key(&asset, folder, &file.name)?;
        let draft = bucket.begin(&key, Some(&kind.content_type), file.length).map_err(Error::Bucket)?;
        let mut progress = Progress { draft, digests: Digests::default() };
        let upload = self.announce(&progress.draft).await?;
        match self.fill(&mut source, &mut progress, &upload, file.length, &kind).await {
            Ok(metadata) => {
                let (md5, sha256) = progress.digests.finish();
                self.files.push(StoredFile {
                    asset,
                    name: file.name,
                    size: progress.draft.written(),
                    md5,
                    sha256,
                    content_type: kind.content_type,
                    declared_type: file.declared_type,
                    key,
                    metadata,
                });
                Ok(())
            }
            Err(error) => {
                self.uploads.clean(&progress.draft, &upload.id, &self.hold.fence).await;
                Err(error)
            }
        }
    }

    /// Tells the catalogue of a draft before it has any bytes.
    async fn announce(&self, draft: &Draft) -> Result<Upload, Error> {
        let upload = Upload {
            id: new_asset_id()?.to_string(),
            kind: UploadKind::Form,
            state: UploadState::Open,
            length: None,
            durable: 0,
            draft: written_down(draft)?,
            digests: String::new(),
            about: "{}".to_owned(),
            asset_id: None,
            expires_at: until(),
        };
        self.uploads.catalog.create_upload(&upload, &self.hold.fence, now(), until()).await?;
        Ok(upload)
    }

    async fn fill(
        &self,
        source: &mut Source,
        progress: &mut Progress,
        upload: &Upload,
        announced: Option<u64>,
        kind: &Kind,
    ) -> Result<Map<String, Value>, Error> {
        let bucket = self.uploads.bucket()?.as_ref();
        if transfer(source, progress, bucket, &self.hold, FIRST_STEP).await? {
            let upload = Upload { draft: written_down(&progress.draft)?, ..upload.clone() };
            if !self.uploads.catalog.save_upload(&upload, &self.hold.fence).await? {
                return Err(Error::Lost);
            }
            transfer(source, progress, bucket, &self.hold, u64::MAX).await?;
        }
        let came = progress.draft.written();
        if let Some(announced) = announced.filter(|announced| *announced != came) {
            return Err(Error::OtherLength { announced, came });
        }
        bucket.finish(&mut progress.draft).await.map_err(Error::Bucket)?;
        self.uploads.look(progress.draft.key(), kind.is_picture).await
    }

    /// The files that were stored so far.
    pub fn files(&self) -> &[StoredFile] {
        &self.files
    }

    /// Makes an asset of each file, at `now` (Unix seconds).
    ///
    /// # Errors
    /// That of the catalogue; nothing is left then.
    pub async fn record(self, about: &About, now: u64) -> Result<Vec<Asset>, Error> {
        let bucket = self.uploads.bucket()?;
        let assets: Vec<_> = self.files.iter().map(|file| file.asset(about, bucket.as_ref(), now)).collect();
        match self.uploads.catalog.settle_uploads(&self.hold.fence, &assets, now).await {
            Ok(()) => Ok(assets),
            Err(error) => Err(self.failed(error.into()).await),
        }
    }

    /// Makes the file part of an asset that there is.
    ///
    /// # Errors
    /// That of `change` or of the catalogue; nothing is left then.
    pub async fn record_into(
        self,
        id: &AssetId,
        event: EventKind,
        now: u64,
        change: impl FnOnce(&mut Asset, &StoredFile, &dyn Bucket) -> Result<(), Error>,
    ) -> Result<Asset, Error> {
        let Some(file) = self.files.first() else { return Err(Error::Empty) };
        let bucket = self.uploads.bucket()?.as_ref();
        let change = |asset: &mut Asset| change(asset, file, bucket);
        match self.uploads.catalog.settle_upload_into(&self.hold.fence, id, event, now, change).await {
            Ok(asset) => Ok(asset),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn failed(self, error: Error) -> Error {
        self.discard().await;
        error
    }

    /// Removes what was stored. What cannot be removed now is swept away later.
    pub async fn discard(self) {
        let Ok(bucket) = self.uploads.bucket() else { return };
        let removed = async {
            for file in &self.files {
                bucket.delete(&file.key).await.map_err(Error::Bucket)?;
            }
            Ok::<_, Error>(self.uploads.catalog.forget_uploads(&self.hold.fence).await?)
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "files that were not taken are left for the sweep");
        }
    }
}

impl Uploads {
    /// The largest file that may be handed over with a key of these limits.
    pub(super) fn most_bytes(&self, limits: &UploadLimits) -> u64 {
        let most = self.config.max_bytes.as_u64();
        limits.max_bytes.map_or(most, |limit| limit.min(most))
    }

    fn most_files(&self, limits: &UploadLimits) -> usize {
        let most = self.config.max_files;
        limits.max_files.map_or(most, |limit| usize::try_from(limit).unwrap_or(most).min(most))
    }

    pub(super) fn check_type(&self, content_type: &str, limits: &UploadLimits) -> Result<(), Error> {
        let by_key = limits.types.is_empty() || is_taken(content_type, &limits.types);
        match by_key && is_taken(content_type, &self.config.types) {
            true => Ok(()),
            false => Err(Error::TypeNotTaken(content_type.to_owned())),
        }
    }

    /// What a finished object tells of itself; a picture has to be whole.
    pub(super) async fn look(&self, key: &ObjectKey, is_picture: bool) -> Result<Map<String, Value>, Error> {
        match is_picture {
            true => Ok(self.renderer.verify(self.origin.as_ref(), key, facts::of_picture).await?),
            false => Ok(Map::new()),
        }
    }

    /// Removes all of an upload that did not become anything. What cannot be removed now is swept away later.
    pub(super) async fn clean(&self, draft: &Draft, id: &str, fence: &Fence) {
        if let Err(error) = self.try_clean(draft, id, fence).await {
            tracing::warn!(%error, "an upload that was not taken is left for the sweep");
        }
    }

    pub(super) async fn try_clean(&self, draft: &Draft, id: &str, fence: &Fence) -> Result<(), Error> {
        let bucket = self.bucket()?;
        bucket.abandon(draft).await.map_err(Error::Bucket)?;
        bucket.delete(draft.key()).await.map_err(Error::Bucket)?;
        Ok(self.catalog.forget_upload(id, fence).await?)
    }
}

impl StoredFile {
    pub(super) fn asset(&self, about: &About, bucket: &dyn Bucket, now: u64) -> Asset {
        let mut asset = Asset::new(self.asset, self.name.clone(), now);
        self.become_content_of(&mut asset, bucket);
        asset.public = true;
        asset.provider = about.provider.clone().unwrap_or_else(|| "local".to_owned());
        asset.creator_id.clone_from(&about.creator_id);
        asset.update_user_id.clone_from(&about.creator_id);
        asset.upload_source.clone_from(&about.source);
        asset.data.clone_from(&about.data);
        asset.data_schema_id = about.data_schema_id;
        asset
    }

    /// Makes this the original of an asset.
    pub fn become_content_of(&self, asset: &mut Asset, bucket: &dyn Bucket) {
        asset.status = AssetStatus::Ok;
        asset.size = self.size;
        asset.md5 = Some(self.md5.clone());
        asset.sha256 = Some(self.sha256.clone());
        asset.content_type.clone_from(&self.content_type);
        asset.declared_type.clone_from(&self.declared_type);
        asset.storage_type = bucket.storage_type().to_owned();
        asset.bucket = bucket.name().to_owned();
        asset.key = Some(self.key.clone());
        asset.metadata.clone_from(&self.metadata);
    }

    /// This as a conversion of an asset.
    pub fn conversion(&self, name: &str, bucket: &dyn Bucket) -> Conversion {
        let side = |name: &str| self.metadata.get(name)?.as_u64()?.try_into().ok();
        Conversion {
            name: name.to_owned(),
            storage_type: bucket.storage_type().to_owned(),
            bucket: bucket.name().to_owned(),
            key: Some(self.key.as_str().to_owned()),
            width: side("width"),
            height: side("height"),
            duration: None,
            size: self.size,
            content_type: self.content_type.clone(),
            public: true,
            watermarked: false,
            status: AssetStatus::Ok,
            error: None,
        }
    }
}

pub(super) fn written_down(draft: &Draft) -> Result<String, Error> {
    serde_json::to_string(draft).map_err(|error| Error::Damaged(error.to_string()))
}
