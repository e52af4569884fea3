//! `kinora purge`: records a purge in the catalogue, also beside a running server, which notices.

use std::collections::HashSet;

use clap::{ArgGroup, Args};
use serde_json::json;

use crate::cli::{Error, existing_catalog, now, say, wait_for};
use crate::config::Config;
use crate::metadata::{PurgeMode, PurgeScope, Stamp};

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true)))]
pub(super) struct Arguments {
    /// What came from the asset of this id
    #[arg(long, value_name = "ID", group = "what")]
    asset: Vec<String>,
    /// What came from the object of this key, such as photos/cat.jpg
    #[arg(long, value_name = "KEY", group = "what")]
    key: Vec<String>,
    /// What came from objects whose key begins so, such as photos/
    #[arg(long, value_name = "TEXT", group = "what")]
    prefix: Vec<String>,
    /// What carries this tag of the origin's Cache-Tag
    #[arg(long, value_name = "TAG", group = "what")]
    tag: Vec<String>,
    /// All there is
    #[arg(long, group = "what")]
    everything: bool,
    /// Let it count as expired instead of gone: it may be answered while a new one is fetched
    #[arg(long)]
    stale: bool,
    /// As JSON: {"purged","generation"}
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: &Config, arguments: Arguments) -> Result<(), Error> {
    let mode = if arguments.stale { PurgeMode::Stale } else { PurgeMode::Gone };
    let as_json = arguments.json;
    let scopes = scopes(arguments);
    let stamp = wait_for(async {
        let missing = || {
            // Whoever mistypes the directory must not be told that the purge is done.
            let dir = config.data.dir.display();
            Error::Arguments(format!(
                "{dir} has no catalogue, so nothing is cached; is it the right data.dir?"
            ))
        };
        let catalog = existing_catalog(config).await?.ok_or_else(missing)?;
        let stamp = catalog.purge(&scopes, mode, now()).await?;
        catalog.close().await;
        Ok(stamp)
    })?;
    if as_json {
        return say(&json!({ "purged": scopes.len(), "generation": stamp.0 }).to_string());
    }
    say(&text(&scopes, mode, stamp))
}

/// Each thing once.
fn scopes(arguments: Arguments) -> Vec<PurgeScope> {
    let Arguments { asset, key, prefix, tag, everything, stale: _, json: _ } = arguments;
    let of = |texts: Vec<String>, scope: fn(String) -> PurgeScope| texts.into_iter().map(scope);
    let all = everything.then_some(PurgeScope::Everything).into_iter();
    let all = all.chain(of(asset, PurgeScope::Asset)).chain(of(key, PurgeScope::Key));
    let all = all.chain(of(prefix, PurgeScope::Prefix)).chain(of(tag, PurgeScope::Tag));
    let mut seen = HashSet::new();
    all.filter(|scope| seen.insert(scope.clone())).collect()
}

fn text(scopes: &[PurgeScope], mode: PurgeMode, stamp: Stamp) -> String {
    let mut text = format!("purged as {mode}, generation {}:\n", stamp.0);
    for scope in scopes {
        text.push_str(format!("  {:<10}  {}", scope.kind(), scope.text()).trim_end());
        text.push('\n');
    }
    text + "Running servers follow within a second."
}
