//! Imports: what a URL, or a key of the bucket, names becomes the content of an asset.
//!
//! The asset is there from the beginning, not ready, and has its id; it is ready, or in error, when the job
//! ends. The guard ([`crate::net`]) stands before every hop, so a redirect leads nowhere that the URL itself
//! could not have named. Nothing is said to the source but what to fetch.

mod config;
mod fetch;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::job::{Fault, Tally, Work};
use crate::metadata;
use crate::metadata::{AssetStatus, Catalog, EventKind, Job, NewJob};
use crate::net::{Guard, Refusal};
use crate::origin;
use crate::origin::{Answer, Ask, Body, ObjectKey};
use crate::request::AssetId;
use crate::upload;
use crate::upload::{Incoming, Uploads, new_folder};

pub use config::ImportConfig;

use fetch::Fetcher;

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On a web server.
    Url(String),
    /// In our own bucket, whence they are copied: objects of assets never change.
    Key(ObjectKey),
}

/// Why nothing is imported from a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    /// No URL, or none that may be called.
    #[error("{0}")]
    Url(#[from] Refusal),
    /// Another bucket.
    #[error("of buckets, only `s3://{0}/KEY` can be read")]
    OtherBucket(String),
    /// No key.
    #[error("must name an object, as s3://BUCKET/KEY does")]
    NoKey,
}

/// What the job knows.
#[derive(Serialize, Deserialize)]
struct Input {
    from: Place,
    name: String,
}

/// Does imports.
pub struct Import {
    catalog: Catalog,
    uploads: Uploads,
    fetcher: Fetcher,
    timeout: Duration,
}

/// Bytes that are about to come.
struct Coming {
    body: Body,
    length: Option<u64>,
    declared_type: Option<String>,
}

impl Place {
    /// Reads `https://...` or `s3://BUCKET/KEY`, as far as the guard and the bucket let it.
    ///
    /// # Errors
    /// [`BadPlace`].
    pub fn read(text: &str, guard: &Guard, bucket: &str) -> Result<Self, BadPlace> {
        let Some(object) = text.strip_prefix("s3://") else {
            guard.read(text)?;
            return Ok(Self::Url(text.to_owned()));
        };
        let (name, key) = object.split_once('/').ok_or(BadPlace::NoKey)?;
        if name != bucket {
            return Err(BadPlace::OtherBucket(bucket.to_owned()));
        }
        Ok(Self::Key(ObjectKey::new(key).map_err(|_| BadPlace::NoKey)?))
    }

    /// The host that the bytes come from, unless that is our own bucket.
    pub fn host(&self) -> Option<String> {
        match self {
            Self::Url(url) => reqwest::Url::parse(url).ok()?.host_str().map(str::to_owned),
            Self::Key(_) => None,
        }
    }
}

impl Import {
    /// The word for imports.
    pub const KIND: &'static str = "import";

    /// Imports with these settings.
    ///
    /// # Errors
    /// If the system gives no HTTP client.
    pub fn new(config: &ImportConfig, catalog: Catalog, uploads: Uploads) -> reqwest::Result<Self> {
        Ok(Self { catalog, uploads, fetcher: Fetcher::new(config)?, timeout: config.timeout })
    }

    /// The job that makes `from` the content of an asset.
    pub fn job(asset: AssetId, from: Place, name: String) -> NewJob {
        // Texts always serialise; what could not would be refused when the job is done.
        let input = serde_json::to_string(&Input { from, name }).unwrap_or_default();
        NewJob { kind: Self::KIND, input, asset: Some(asset) }
    }

    async fn import(&self, asset: AssetId, input: Input, tally: &Arc<Tally>) -> Result<(), Fault> {
        let Coming { body, length, declared_type } = match &input.from {
            Place::Url(url) => self.fetcher.fetch(url).await?,
            Place::Key(key) => self.read(key).await?,
        };
        if let Some(length) = length {
            tally.of(length);
        }
        let body = counted(body, Arc::clone(tally));
        let mut batch = self.uploads.begin().map_err(fault)?;
        let file = Incoming { name: input.name, declared_type, length, body };
        let folder = new_folder("import").map_err(fault)?;
        if let Err(error) = batch.store_for(asset, &folder, file).await {
            batch.discard().await;
            return Err(fault(error));
        }
        let stored = batch.record_into(&asset, EventKind::FileSaved, now(), |asset, file, bucket| {
            file.become_content_of(asset, bucket);
            Ok(())
        });
        stored.await.map(drop).map_err(fault)
    }

    /// An object of our own bucket.
    async fn read(&self, key: &ObjectKey) -> Result<Coming, Fault> {
        match self.uploads.origin.get(key, &Ask::default()).await {
            Ok(Answer::Object(object)) => {
                Ok(Coming { body: object.body, length: object.info.length, declared_type: None })
            }
            Ok(Answer::NotModified(_)) => Err(Fault::passing("source_failed", "the bucket gave no object")),
            Err(origin::Error::NotFound(_)) => {
                Err(Fault::lasting("source_not_found", "there is no such object in the bucket"))
            }
            Err(error) => Err(hidden(&error, "the bucket does not give the object")),
        }
    }
}

#[async_trait]
impl Work for Import {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    async fn run(&self, job: &Job, tally: &Arc<Tally>) -> Result<(), Fault> {
        let damaged = || Fault::lasting("damaged", "the job cannot be read");
        let asset = job.asset.ok_or_else(damaged)?;
        let input: Input = serde_json::from_str(&job.input).map_err(|_| damaged())?;
        let seen = self.catalog.asset(&asset).await.map_err(catalog_failed)?;
        let is_saved = match seen {
            Some(seen) if seen.deleted_at.is_none() => seen.status == AssetStatus::Ok,
            _ => return Err(Fault::lasting("deleted", "the asset was deleted meanwhile")),
        };
        if !is_saved {
            let importing = self.import(asset, input, tally);
            let late = || Fault::lasting("timed_out", "it took longer than imports.timeout");
            tokio::time::timeout(self.timeout, importing).await.map_err(|_| late())??;
        }
        // Should this process end in between, the job is begun anew and comes straight here.
        let told = self.catalog.change_asset(&asset, None, Some(EventKind::FileProcessed), now(), |_| Ok(()));
        told.await.map(drop).map_err(catalog_failed)
    }

    async fn give_up(&self, job: &Job, _: Option<&Fault>) -> Result<(), Fault> {
        let Some(id) = job.asset else { return Ok(()) };
        let changed = self.catalog.change_asset(&id, None, None, now(), |asset| {
            asset.status = AssetStatus::Error;
            Ok(())
        });
        match changed.await {
            Ok(_) | Err(metadata::Error::NoSuchAsset(_) | metadata::Error::AssetDeleted(_)) => Ok(()),
            Err(error) => Err(catalog_failed(error)),
        }
    }
}

/// The same bytes, counted as they pass.
fn counted(body: Body, tally: Arc<Tally>) -> Body {
    use futures::StreamExt;
    Box::pin(body.inspect(move |piece| {
        if let Ok(piece) = piece {
            tally.add(piece.len() as u64);
        }
    }))
}

fn catalog_failed(error: metadata::Error) -> Fault {
    hidden(&error, "the catalogue cannot be read or written")
}

/// A fault of ours, whose cause is for the log alone.
fn hidden(error: &dyn std::error::Error, detail: &str) -> Fault {
    tracing::warn!(error = %error, "an import failed");
    Fault::passing("storage_failed", detail)
}

/// Why what came was not taken.
fn fault(error: upload::Error) -> Fault {
    use upload::Error as E;
    let word = match &error {
        E::NoBucket => "no_bucket",
        E::BadName(_) => "bad_file_name",
        E::Empty => "empty_file",
        E::TooLarge { .. } => "file_too_large",
        E::TypeNotTaken(_) => "type_not_allowed",
        E::TypeMismatch { .. } => "type_mismatch",
        E::Picture(_) if error.is_final() => "corrupt_source",
        E::OtherLength { .. } | E::Source(_) => {
            return Fault::passing("source_failed", "the source broke off");
        }
        // A picture may be fine and the machine busy. The last ones are of uploads that go on.
        E::Picture(_)
        | E::Lost
        | E::Bucket(_)
        | E::Catalog(_)
        | E::Damaged(_)
        | E::TooManyFiles { .. }
        | E::NoSuchUpload
        | E::Expired
        | E::Busy
        | E::OtherOffset { .. }
        | E::OtherChecksum
        | E::NotWhole => {
            return hidden(&error, "the file cannot be stored");
        }
    };
    Fault::lasting(word, error.to_string())
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
