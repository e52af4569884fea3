//! `kinora explain`: says how a URL is read, without a running server.

use std::time::{Duration, UNIX_EPOCH};

use bytesize::ByteSize;
use clap::Args;
use humantime_serde::re::humantime;

use crate::cli::{Error, existing_catalog, now, say, wait_for};
use crate::config::Config;
use crate::headers::FormatClass;
use crate::metadata::AssetSource;
use crate::origin;
use crate::origin::{Kind, ObjectKey};
use crate::render;
use crate::request::{Delivery, MediaRequest, Source, Variant, VariantWork, Work, split_target};
use crate::signature;
use crate::signature::{Claim, Explanation, KeyRing, Policy};
use crate::transform;
use crate::transform::{Probe, Size, Target};

/// What well-known clients send for a picture.
const CLIENTS: [(&str, &str); 4] = [
    ("Chrome", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"),
    ("Firefox", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"),
    (
        "Safari",
        "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,*/*;q=0.5",
    ),
    ("curl", "*/*"),
];

#[derive(Args)]
pub(super) struct Arguments {
    /// A URL or a path with its query, in quotes
    url: String,
    /// Show the outcome for this Accept header instead of well-known clients
    #[arg(long)]
    accept: Option<String>,
    /// Judge it with this API key in the header
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
}

pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<(), Error> {
    let target = target_of(&arguments.url)?;
    let rules = config.rules();
    let split = split_target(target);
    let request = MediaRequest::parse(&split, &rules).map_err(|error| Error::Arguments(error.to_string()))?;
    let (ring, asset) = wait_for(async {
        let Some(catalog) = existing_catalog(config).await? else { return Ok((KeyRing::default(), None)) };
        let asset = match request.source.asset() {
            Some(id) => catalog.asset_source(&id).await?,
            None => None,
        };
        Ok((catalog.key_ring(now()).await?, asset))
    })?;
    let is_closed = asset
        .as_ref()
        .is_some_and(|asset| !config.delivery.public_by_default || !asset.is_open(&request.source));
    let claim = Claim { target, api_key: arguments.api_key.as_deref() };
    let policy = Policy { required: config.delivery.require_signature || is_closed };
    let proof = signature::explain(request.clone(), &claim, &ring, &policy, now());
    let object = asset.as_ref().and_then(|asset| asset.object(&request.source));
    let key = request.source.object().or(object.map(|object| &object.key));
    let mut rows = source_rows(&request.source, asset.as_ref());
    rows.extend(request_rows(&request, key));
    rows.extend(proof_rows(&proof));
    for (name, value) in rows {
        say(&row(name, &value))?;
    }
    match key {
        Some(key) => variant_rows(config, &request, key, arguments.accept.as_deref()),
        None => Ok(()),
    }
}

fn source_rows(source: &Source, asset: Option<&AssetSource>) -> Vec<(&'static str, String)> {
    let (route, id) = match source {
        Source::Object(_) => return vec![("route", "media".to_owned())],
        Source::Asset(id) => ("asset".to_owned(), id),
        Source::Conversion(id, name) => (format!("conversion {name} of an asset"), id),
    };
    let state = match asset {
        None => "which the catalogue does not have".to_owned(),
        Some(asset) => {
            let access = if asset.is_public { "public" } else { "private" };
            let trash = if asset.is_deleted { ", deleted" } else { "" };
            format!("{}, {access}, {:?}{trash}", asset.status, asset.name)
        }
    };
    vec![("route", route), ("asset", format!("{id} ({state})"))]
}

/// Path and query as a client would send them.
fn target_of(url: &str) -> Result<&str, Error> {
    let has_host = url.starts_with("http://") || url.starts_with("https://");
    let after_host = has_host.then(|| url.split_once("://")).flatten().map(|(_, rest)| rest);
    let target = after_host.map_or(Some(url), |rest| rest.find('/').and_then(|at| rest.get(at..)));
    let target = target.map(|target| target.split('#').next().unwrap_or_default());
    let target = target.filter(|target| target.starts_with('/'));
    target.ok_or_else(|| Error::Arguments("give a URL, or a path that begins with /".to_owned()))
}

fn request_rows(request: &MediaRequest, key: Option<&ObjectKey>) -> Vec<(&'static str, String)> {
    let work = match &request.work {
        Work::Original => "the original, byte for byte",
        Work::Image { .. } if request.is_negotiated() => "a picture in the format negotiated (Vary: Accept)",
        Work::Image { .. } => "a picture in the format named",
    };
    let delivery = match &request.delivery {
        Delivery::Display => "shown in place".to_owned(),
        Delivery::Download { filename: None } => "saved by the browser".to_owned(),
        Delivery::Download { filename: Some(name) } => format!("saved by the browser as {name:?}"),
    };
    let object = key.map_or_else(|| "there is none".to_owned(), ObjectKey::to_string);
    let mut rows = vec![("object", object), ("asked for", work.to_owned())];
    rows.extend(request.version.as_ref().map(|version| ("version", version.as_str().to_owned())));
    rows.push(("delivery", delivery));
    rows
}

fn proof_rows(proof: &Explanation) -> Vec<(&'static str, String)> {
    let verdict = if proof.is_let_in { "let in" } else { "refused" };
    let mut rows = vec![("proof", format!("{verdict}: {}", proof.verdict))];
    rows.extend(proof.hint.map(|hint| ("hint", hint.to_owned())));
    rows.extend(proof.signed_text.clone().map(|text| ("signed text", text)));
    rows.extend(proof.access_id.clone().map(|id| ("access id", id)));
    rows.extend(proof.expiry.map(|expiry| ("expiry", format!("{expiry} ({})", date(expiry)))));
    rows
}

fn date(seconds: u64) -> String {
    // Beyond the year 9999 there is no text for it.
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(253_402_300_799)));
    time.map(|time| humantime::format_rfc3339_seconds(time).to_string()).unwrap_or_default()
}

/// One line for each client: the canonical form, which is the text of the cache key, and the plan.
fn variant_rows(
    config: &Config,
    request: &MediaRequest,
    key: &ObjectKey,
    accept: Option<&str>,
) -> Result<(), Error> {
    let source = match &request.work {
        Work::Original => None,
        Work::Image { .. } => Some(probed(config, key)?),
    };
    match &source {
        Some(Ok(probe)) => {
            say(&row("source", &format!("{} {}x{}", probe.format.name(), probe.width, probe.height)))?
        }
        Some(Err(reason)) => say(&row("source", &format!("not known, so there is no plan: {reason}")))?,
        None => {}
    }
    let probe = source.and_then(Result::ok);
    if !request.is_negotiated() {
        let variant = request.negotiate(key, FormatClass::JpegOrPng);
        return say_variant(config, "all clients", &variant, probe.as_ref());
    }
    let clients: Vec<(&str, &str)> = accept.map_or(CLIENTS.to_vec(), |accept| vec![("Accept", accept)]);
    for (client, accept) in clients {
        match FormatClass::negotiate([accept.as_bytes()]) {
            Ok(class) => say_variant(config, client, &request.negotiate(key, class), probe.as_ref())?,
            Err(error) => say(&row(client, &format!("refused: {error}")))?,
        }
    }
    Ok(())
}

/// The source's header, or why it is not known; a bucket directory that is missing is not made.
fn probed(config: &Config, key: &ObjectKey) -> Result<Result<Probe, String>, Error> {
    let own_bucket = config.origin.kind == Kind::Directory && config.origin.directory.path.is_empty();
    if own_bucket && !config.data.dir.join("bucket").is_dir() {
        return Ok(Err("there is no bucket yet".to_owned()));
    }
    wait_for(async {
        Ok(match origin::open(&config.origin, &config.data.dir) {
            Ok(origin) => {
                let probe = render::probe(origin.as_ref(), key, &config.image).await;
                probe.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        })
    })
}

fn say_variant(config: &Config, client: &str, variant: &Variant, probe: Option<&Probe>) -> Result<(), Error> {
    say(&row(client, format_name(&variant.work)))?;
    say(&row("  cache key", &variant.to_path()))?;
    let (Some(probe), VariantWork::Image { operations, target }) = (probe, &variant.work) else {
        return Ok(());
    };
    say(&row(
        "  plan",
        &match transform::plan(probe, operations, *target, &config.image.limits()) {
            Ok(plan) => {
                let Size { width, height } = plan.size();
                let memory = ByteSize::b(plan.memory_bytes());
                format!("{} {width}x{height}, working memory {memory}", plan.format().media_type())
            }
            Err(error) => format!("refused: {error}"),
        },
    ))
}

fn row(name: &str, value: &str) -> String {
    format!("{name:<14}{value}")
}

fn format_name(work: &VariantWork) -> &'static str {
    match work {
        VariantWork::Original => "as stored",
        VariantWork::Image { target: Target::Format(format), .. } => format.media_type(),
        VariantWork::Image { target: Target::JpegOrPng, .. } => "JPEG or PNG",
    }
}
