//! `kinora key`: makes, lists and revokes keys, also beside a running server, which notices.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use bytesize::ByteSize;
use clap::{Args, Subcommand, ValueEnum};
use humantime_serde::re::humantime;
use serde_json::{Value, json};

use crate::cli::{Error, existing_catalog, now, say, wait_for};
use crate::config::Config;
use crate::metadata;
use crate::metadata::{Catalog, IssuedKey, Key, KeyKind, NewKey};
use crate::setting::Secret;
use crate::signature::UploadLimits;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key and show its secret, this once
    Create(Create),
    /// List all keys, revoked ones too
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key: it opens nothing any more
    Revoke {
        /// The id that `list` shows
        id: String,
    },
}

#[derive(Args)]
pub(super) struct Create {
    /// What the key is good for
    kind: Kind,
    /// A name for people
    #[arg(long, default_value = "")]
    name: String,
    /// Rights of an API key: read, write, purge, keys; all if left out
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// Websites that may use an upload key; none if left out
    #[arg(long, value_delimiter = ',')]
    origins: Vec<String>,
    /// Let every website use an upload key
    #[arg(long, conflicts_with = "origins")]
    any_origin: bool,
    /// Largest file that may be uploaded with an upload key, such as 20MiB
    #[arg(long)]
    max_size: Option<ByteSize>,
    /// Files of one upload with an upload key
    #[arg(long)]
    max_files: Option<u32>,
    /// Types that may be uploaded with an upload key, such as image/*
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// The key opens nothing any more after this time, such as 90days
    #[arg(long, value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    /// Accept HMAC-SHA1 of a signing key too, for URLs signed as FileSpin does
    #[arg(long)]
    sha1: bool,
    /// Bring an existing key along: its id
    #[arg(long, requires = "secret")]
    id: Option<String>,
    /// Bring an existing key along: its secret, "-" to read it from standard input
    #[arg(long, requires = "id", allow_hyphen_values = true)]
    secret: Option<String>,
    /// As JSON: {"kind","id","secret"}
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// For servers: goes into a request's header
    Api,
    /// For web pages: lets them upload, never read
    Upload,
    /// Signs URLs
    Signing,
}

pub(super) fn run(config: &Config, command: Command) -> Result<(), Error> {
    match command {
        Command::Create(arguments) => create(config, arguments),
        Command::List { json } => list(config, json),
        Command::Revoke { id } => revoke(config, &id),
    }
}

fn create(config: &Config, arguments: Create) -> Result<(), Error> {
    let as_json = arguments.json;
    let wish = wish(arguments)?;
    let issued = wait_for(async {
        config.data.prepare()?;
        let catalog = Catalog::open(&config.catalog, &config.data.dir).await?;
        let issued = catalog.create_key(&wish, now()).await?;
        catalog.close().await;
        Ok(issued)
    })?;
    say(&if as_json { issued_json(&issued) } else { issued_text(&issued) })
}

fn wish(arguments: Create) -> Result<NewKey, Error> {
    let Create { kind, name, scopes, origins, any_origin, sha1, id, secret, .. } = arguments;
    let (max_size, max_files, types) = (arguments.max_size, arguments.max_files, arguments.types);
    let limits = UploadLimits { max_bytes: max_size.map(|size| size.as_u64()), max_files, types };
    let expires_at = arguments.expires.map(|lives| now().saturating_add(lives.as_secs()));
    let kind = match kind {
        Kind::Api => KeyKind::Api,
        Kind::Upload => KeyKind::Upload,
        Kind::Signing => KeyKind::Signing,
    };
    let secret = match secret.as_deref() {
        // Arguments are seen by every user of the machine, standard input is not.
        Some("-") => Some(io::read_to_string(io::stdin())?.trim_end().to_owned()),
        _ => secret,
    };
    let pair = id.zip(secret.map(Secret::new));
    Ok(NewKey { kind, name, scopes, origins, any_origin, limits, sha1, expires_at, pair })
}

fn issued_json(IssuedKey { kind, id, secret }: &IssuedKey) -> String {
    json!({ "kind": kind.as_str(), "id": id, "secret": secret.expose() }).to_string()
}

fn issued_text(IssuedKey { kind, id, secret }: &IssuedKey) -> String {
    let (id_name, secret_name) = match kind {
        KeyKind::Api | KeyKind::Upload => ("id", "key"),
        KeyKind::Signing => ("access id", "secret"),
    };
    let secret = secret.expose();
    format!(
        "{kind} key\n  {id_name:<10}{id}\n  {secret_name:<10}{secret}\nThe {secret_name} is not shown again."
    )
}

fn list(config: &Config, as_json: bool) -> Result<(), Error> {
    let keys = wait_for(async {
        Ok(match existing_catalog(config).await? {
            Some(catalog) => catalog.keys().await?,
            None => Vec::new(),
        })
    })?;
    if as_json {
        return say(&Value::Array(keys.iter().map(key_json).collect()).to_string());
    }
    if keys.is_empty() {
        return say("no keys yet; make one with `kinora key create api|upload|signing`");
    }
    say(&format!("{:<8}  {:<16}  {:<20}  {:<8}  DETAILS", "KIND", "ID", "CREATED", "STATE"))?;
    keys.iter().try_for_each(|key| say(&key_line(key)))
}

fn key_json(key: &Key) -> Value {
    json!({
        "kind": key.kind.as_str(),
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "origins": key.origins,
        "any_origin": key.any_origin,
        "limits": key.limits,
        "sha1": key.sha1,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}

fn key_line(key: &Key) -> String {
    let time = |seconds| humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    let created = time(key.created_at);
    let state = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(ends)) if ends <= now() => "expired",
        (None, _) => "active",
    };
    let details = [
        (!key.name.is_empty()).then(|| key.name.clone()),
        (!key.scopes.is_empty()).then(|| format!("scopes {}", key.scopes.join(","))),
        (!key.origins.is_empty()).then(|| format!("origins {}", key.origins.join(","))),
        key.any_origin.then(|| "any origin".to_owned()),
        key.sha1.then(|| "sha1".to_owned()),
        key.limits.max_bytes.map(|bytes| format!("files up to {}", ByteSize::b(bytes))),
        key.limits.max_files.map(|count| format!("at most {count} files")),
        (!key.limits.types.is_empty()).then(|| format!("types {}", key.limits.types.join(","))),
        key.expires_at.map(|ends| format!("until {}", time(ends))),
        key.last_used_at.map(|used| format!("used {}", time(used))),
    ];
    let details = details.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let line = format!("{:<8}  {:<16}  {created:<20}  {state:<8}  {details}", key.kind.as_str(), key.id);
    line.trim_end().to_owned()
}

fn revoke(config: &Config, id: &str) -> Result<(), Error> {
    wait_for(async {
        let catalog = existing_catalog(config).await?;
        let catalog = catalog.ok_or_else(|| metadata::Error::NoSuchKey(id.to_owned()))?;
        catalog.revoke_key(id, now()).await?;
        catalog.close().await;
        Ok(())
    })?;
    say(&format!("revoked {id}"))
}
