//! `kinora sign`: prints the signed form of a path, made by the server's own code.

use std::time::Duration;

use clap::Args;
use humantime_serde::re::humantime;

use crate::cli::{Error, existing_catalog, now, say, wait_for};
use crate::config::Config;
use crate::metadata::ActiveKey;
use crate::signature;
use crate::signature::{Kinds, SigningKey};

#[derive(Args)]
pub(super) struct Arguments {
    /// For example "/media/cat.jpg?resize=800,600"
    path_and_query: String,
    /// How long it is good for, such as 90s, 1h or 7days
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// The signing key; the newest active one if left out
    #[arg(long, value_name = "ACCESS_ID")]
    key: Option<String>,
    /// Make a path token that opens everything below this prefix, such as /media/films
    #[arg(long, value_name = "PREFIX")]
    scope: Option<String>,
    /// What a path token opens: i image, p playlist, s segment, v progressive video, t poster and
    /// storyboard, o original, d download
    #[arg(long, value_name = "LETTERS", default_value = "ipsvt", requires = "scope")]
    kinds: Kinds,
}

pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<(), Error> {
    let key = signing_key(config, arguments.key.as_deref())?;
    let expiry = now().saturating_add(arguments.expires.as_secs());
    say(&match &arguments.scope {
        Some(prefix) => with_token(&arguments.path_and_query, prefix, arguments.kinds, expiry, &key)?,
        None => signature::sign(&arguments.path_and_query, expiry, &key)?,
    })
}

fn signing_key(config: &Config, wanted: Option<&str>) -> Result<SigningKey, Error> {
    let active = wait_for(async {
        Ok(match existing_catalog(config).await? {
            Some(catalog) => catalog.active_keys(now()).await?,
            None => Vec::new(),
        })
    })?;
    let found = active.into_iter().find_map(|key| match key {
        ActiveKey::Signing { access_id, secret, sha1 } if wanted.is_none_or(|wanted| wanted == access_id) => {
            Some(SigningKey { access_id, secret, sha1 })
        }
        _ => None,
    });
    found.ok_or_else(|| {
        Error::Arguments(match wanted {
            Some(access_id) => format!("there is no active signing key {access_id}"),
            None => "there is no signing key yet; make one with `kinora key create signing`".to_owned(),
        })
    })
}

/// The path with a token in front of it.
fn with_token(
    path_and_query: &str,
    prefix: &str,
    kinds: Kinds,
    expiry: u64,
    key: &SigningKey,
) -> Result<String, Error> {
    let token = signature::sign_token(prefix, kinds, expiry, key)?;
    let path = path_and_query.split('?').next().unwrap_or_default();
    let segments = |text: &str| text.trim_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    let (path, prefix_segments) = (segments(path), segments(prefix));
    // The token signs the prefix as it is sent: what browsers would still encode makes another text.
    if !path_and_query.starts_with('/') || !path_and_query.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Arguments("the path must begin with / and be percent-encoded".to_owned()));
    }
    if path.len() <= prefix_segments.len() || !path.starts_with(&prefix_segments) {
        return Err(Error::Arguments(format!("the path must lie below the prefix {prefix}")));
    }
    Ok(format!("/~{token}{path_and_query}"))
}
