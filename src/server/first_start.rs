//! The first start: keys are made and shown, a sample bucket is laid out, and there are URLs to try.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::metadata;
use crate::metadata::{Catalog, IssuedKey, KeyKind, NewKey};
use crate::origin::{Kind, ObjectKey};
use crate::request::{Variant, VariantWork};
use crate::signature;
use crate::signature::{SignError, SigningKey};

/// Pictures for a bucket that has none, by their keys.
pub const SAMPLES: &[(&str, &[u8])] = &[
    ("landscape.jpg", include_bytes!("../../fixtures/images/landscape.jpg")),
    ("logo.png", include_bytes!("../../fixtures/images/logo.png")),
    ("portrait.jpg", include_bytes!("../../fixtures/images/portrait.jpg")),
];

const SIGNED_FOR_SECONDS: u64 = 24 * 60 * 60;

/// Why the first start failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keys.
    #[error("{0}")]
    Catalog(#[from] metadata::Error),
    /// The bucket directory.
    #[error("the bucket directory {path} cannot be used: {error}")]
    Bucket {
        /// Which.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// A URL to try.
    #[error("{0}")]
    Sign(#[from] SignError),
}

/// What the first start has made. Its secrets are shown this once.
pub struct Welcome {
    api: IssuedKey,
    upload: IssuedKey,
    signing: IssuedKey,
    sample: Option<ObjectKey>,
    require_signature: bool,
}

/// Makes one key of each kind if the catalogue never had any, and fills an empty bucket directory with
/// samples. Nothing happens at any later start.
///
/// # Errors
/// If the catalogue or the bucket directory cannot be written.
pub async fn first_start(config: &Config, catalog: &Catalog, now: u64) -> Result<Option<Welcome>, Error> {
    if !catalog.keys().await?.is_empty() {
        return Ok(None);
    }
    let sample = sample(config)?;
    let make = async |kind| {
        let wish = NewKey { name: "first start".to_owned(), ..NewKey::of(kind) };
        catalog.create_key(&wish, now).await
    };
    Ok(Some(Welcome {
        api: make(KeyKind::Api).await?,
        upload: make(KeyKind::Upload).await?,
        signing: make(KeyKind::Signing).await?,
        sample,
        require_signature: config.delivery.require_signature,
    }))
}

impl Welcome {
    /// What to print, once the public address is known: `base_url` is for example
    /// `http://127.0.0.1:8080`, `now` Unix seconds.
    ///
    /// # Errors
    /// [`Error::Sign`], which the keys made here give no reason for.
    pub fn text(&self, base_url: &str, now: u64) -> Result<String, Error> {
        let mut text =
            "First start: there were no keys, so these were made. They are not shown again.\n".to_owned();
        for (name, id, secret, key) in [
            ("API key", "id", "key", &self.api),
            ("upload key", "id", "key", &self.upload),
            ("signing key", "access id", "secret", &self.signing),
        ] {
            let secret_text = key.secret.expose();
            text.push_str(&format!("  {name:<12}{id:<10}{}  {secret:<7}{secret_text}\n", key.id));
        }
        if let Some(sample) = &self.sample {
            text.push_str("Try:\n");
            for (name, path) in self.urls(sample, now)? {
                text.push_str(&format!("  {name:<12}{base_url}{path}\n"));
            }
        }
        Ok(text)
    }

    fn urls(&self, sample: &ObjectKey, now: u64) -> Result<Vec<(&'static str, String)>, Error> {
        let key = SigningKey {
            access_id: self.signing.id.clone(),
            secret: self.signing.secret.clone(),
            sha1: false,
        };
        let expiry = now.saturating_add(SIGNED_FOR_SECONDS);
        let original = Variant { key: sample.clone(), version: None, work: VariantWork::Original }.to_path();
        let picture = format!("{original}?resize=800,600");
        let signed = signature::sign(&picture, expiry, &key)?;
        Ok(if self.require_signature {
            vec![("signed", signed), ("original", signature::sign(&original, expiry, &key)?)]
        } else {
            vec![("picture", picture), ("signed", signed), ("original", original)]
        })
    }
}

/// A picture to show: of the bucket directory if it has any, else one of ours laid into it.
fn sample(config: &Config) -> Result<Option<ObjectKey>, Error> {
    if config.origin.kind != Kind::Directory {
        return Ok(None);
    }
    let configured = &config.origin.directory.path;
    let bucket = match configured.as_str() {
        "" => config.data.dir.join("bucket"),
        path => PathBuf::from(path),
    };
    // A configured directory that is missing is a mistyped one, and not made.
    let outcome = sample_in(&bucket, configured.is_empty());
    outcome.map_err(|error| Error::Bucket { path: bucket.display().to_string(), error })
}

fn sample_in(bucket: &Path, may_be_made: bool) -> io::Result<Option<ObjectKey>> {
    if may_be_made {
        fs::create_dir_all(bucket)?;
    }
    let names = names(bucket)?;
    if !names.is_empty() {
        return Ok(names.into_iter().filter_map(|name| ObjectKey::new(name).ok()).find(is_picture));
    }
    for (key, bytes) in SAMPLES {
        fs::write(bucket.join(key), bytes)?;
    }
    Ok(SAMPLES.first().and_then(|(key, _)| ObjectKey::new(*key).ok()))
}

/// What lies directly in a directory, in order.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn is_picture(key: &ObjectKey) -> bool {
    let extension = key.extension();
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png" | "webp" | "avif" | "gif"))
}
