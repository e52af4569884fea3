//! `kinora import`: files of a directory, or objects of an S3 bucket, become assets.
//!
//! What lies in the configured bucket already is registered where it is; all else is copied into it. The id of
//! an asset is made from the place that it comes from, so that an import which broke off is simply begun again:
//! what is there is passed by.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::cli::{Error, now, say, wait_for};
use crate::config::Config;
use crate::metadata::Catalog;
use crate::origin;
use crate::origin::{Answer, Ask, Bucket, Kind, ObjectKey, Origin, open_bucket};
use crate::render::Renderer;
use crate::request::AssetId;
use crate::upload;
use crate::upload::{About, Incoming, Uploads};

#[derive(Args)]
pub(super) struct Arguments {
    /// A directory, or s3://BUCKET or s3://BUCKET/PREFIX at the configured S3 endpoint
    source: String,
    /// Files that are worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    at_once: usize,
}

/// What becomes of one file.
enum Outcome {
    New,
    There,
    Refused,
}

/// Where files come from.
struct Source {
    origin: Arc<dyn Origin>,
    bucket: Arc<dyn Bucket>,
    /// The place of all keys, for their ids.
    place: String,
    prefix: String,
    /// They lie in the configured bucket.
    in_place: bool,
}

pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<(), Error> {
    let refused = wait_for(import(config, arguments))?;
    match refused {
        0 => Ok(()),
        _ => Err(Error::Arguments(format!("{refused} files were not taken"))),
    }
}

async fn import(config: &Config, arguments: &Arguments) -> Result<u64, Error> {
    config.data.prepare()?;
    let source = Source::of(config, &arguments.source)?;
    let uploads = uploads(config).await?;
    let about = About { source: Some("import".to_owned()), ..About::default() };
    let bar = ProgressBar::new_spinner().with_style(style());
    let (mut new, mut there, mut refused) = (0_u64, 0_u64, 0_u64);
    {
        // An object that was uploaded has its asset.
        let keys = source.bucket.keys(&source.prefix);
        let keys = keys.try_filter(|key| std::future::ready(!source.in_place || !uploads.is_ours(key)));
        let work = keys.map(|key| one(&uploads, &source, &about, key, &bar));
        let mut work = std::pin::pin!(work.buffer_unordered(arguments.at_once.max(1)));
        while let Some(outcome) = work.next().await {
            match outcome? {
                Outcome::New => new += 1,
                Outcome::There => there += 1,
                Outcome::Refused => refused += 1,
            }
            bar.inc(1);
            bar.set_message(format!("{new} new, {there} there already, {refused} refused"));
        }
    }
    bar.finish_and_clear();
    uploads.catalog.close().await;
    say(&format!("{new} new, {there} there already, {refused} refused"))?;
    Ok(refused)
}

/// Takes one file. A file that is refused is named and does not keep the others; anything else ends the import.
async fn one(
    uploads: &Uploads,
    source: &Source,
    about: &About,
    key: Result<ObjectKey, origin::Error>,
    bar: &ProgressBar,
) -> Result<Outcome, Error> {
    let key = key?;
    let id = source.id_of(&key);
    if uploads.catalog.asset(&id).await?.is_some() {
        return Ok(Outcome::There);
    }
    let taken = match source.in_place {
        true => uploads.register(id, &key, about, now()).await.map(drop),
        false => source.copy(uploads, id, &key, about).await,
    };
    match taken {
        Ok(()) => Ok(Outcome::New),
        Err(upload::Error::Catalog(error)) => Err(error.into()),
        Err(upload::Error::Bucket(error)) => Err(error.into()),
        Err(error) => {
            bar.suspend(|| say(&format!("refused {key}: {error}")))?;
            Ok(Outcome::Refused)
        }
    }
}

impl Source {
    fn of(config: &Config, text: &str) -> Result<Self, Error> {
        let mut theirs = config.origin.clone();
        let (place, prefix, in_place) = match text.strip_prefix("s3://") {
            Some(rest) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let in_place = config.origin.kind == Kind::S3 && bucket == theirs.s3.bucket;
                (theirs.kind, theirs.s3.bucket) = (Kind::S3, bucket.to_owned());
                (format!("s3://{bucket}"), prefix.to_owned(), in_place)
            }
            None => {
                let (root, prefix, in_place) = directory(config, Path::new(text))?;
                (theirs.kind, theirs.directory.path) = (Kind::Directory, root.clone());
                (format!("file://{root}"), prefix, in_place)
            }
        };
        let origin = origin::open(&theirs, &config.data.dir)?;
        let bucket = open_bucket(&theirs, &config.data.dir)?;
        let bucket = bucket.ok_or_else(|| Error::Arguments(format!("{text} cannot be listed")))?;
        Ok(Self { origin, bucket, place, prefix, in_place })
    }

    /// The same for the same place, whenever it is asked.
    fn id_of(&self, key: &ObjectKey) -> AssetId {
        let hash = Sha256::digest(format!("{}/{key}", self.place));
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        AssetId::new(id)
    }

    async fn copy(
        &self,
        uploads: &Uploads,
        id: AssetId,
        key: &ObjectKey,
        about: &About,
    ) -> Result<(), upload::Error> {
        let object = match self.origin.get(key, &Ask::default()).await.map_err(upload::Error::Source)? {
            Answer::Object(object) => object,
            Answer::NotModified(_) => return Err(upload::Error::Source(origin::Error::Changed)),
        };
        let name = key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let mut batch = uploads.begin()?;
        let file = Incoming { name, declared_type: None, length: object.info.length, body: object.body };
        match batch.store_for(id, "1", file).await {
            Ok(()) => batch.record(about, now()).await.map(drop),
            Err(error) => {
                batch.discard().await;
                Err(error)
            }
        }
    }
}

/// The root and the prefix of a directory: those of the configured bucket if it lies in there, as the third
/// says then.
fn directory(config: &Config, path: &Path) -> Result<(String, String, bool), Error> {
    let path = path.canonicalize()?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if config.origin.kind == Kind::Directory
        && let Ok(root) = config.origin.directory.root(&config.data.dir).canonicalize()
        && let Ok(inside) = path.strip_prefix(&root)
    {
        let prefix = if inside.as_os_str().is_empty() { String::new() } else { text(inside) + "/" };
        return Ok((text(&root), prefix, true));
    }
    Ok((text(&path), String::new(), false))
}

async fn uploads(config: &Config) -> Result<Uploads, Error> {
    let origin = origin::open(&config.origin, &config.data.dir)?;
    Ok(Uploads {
        bucket: open_bucket(&config.origin, &config.data.dir)?,
        origin: Arc::clone(&origin),
        renderer: Arc::new(Renderer::new(origin, &config.render, &config.image)?),
        catalog: Catalog::open(&config.catalog, &config.data.dir).await?,
        config: Arc::new(config.upload.clone()),
    })
}

/// The template is a constant; a bar without it still counts.
fn style() -> ProgressStyle {
    let template = "{spinner} {pos} files, {per_sec}, {elapsed}: {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
