//! `kinora cache`: what the running server says of its cache, on its admin listener.

use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Subcommand;
use reqwest::Client;
use serde_json::{Value, json};

use crate::cli::{Error, say, wait_for};
use crate::config::Config;
use crate::server::reachable;
use crate::telemetry::{DiskCondition, Page};

/// A server that takes longer has other worries than its numbers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Our own page has some ten KiB.
const MAX_PAGE_BYTES: usize = 1 << 20;

const TIERS: [&str; 2] = ["memory", "disk"];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show what the tiers hold and what became of look-ups since the server's start
    Stat {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(config: &Config, command: Command) -> Result<(), Error> {
    let Command::Stat { json } = command;
    let page = wait_for(read(config.admin.listen))?;
    say(&if json { as_json(&page).to_string() } else { as_text(&page) })
}

/// The metrics of the server that listens there.
async fn read(listen: SocketAddr) -> Result<Page, Error> {
    if listen.port() == 0 {
        let text = "admin.listen has port 0, so only the running server knows its port: set \
                    KINORA__ADMIN__LISTEN to the address that it printed at its start";
        return Err(Error::Arguments(text.to_owned()));
    }
    let url = format!("{}/metrics", reachable(listen));
    let failed = |why: String| Error::Arguments(format!("no server tells its numbers at {url}: {why}"));
    let text = fetch(&url).await.map_err(|error| failed(cause(&error)))?;
    let page = text.as_deref().and_then(Page::parse).filter(|page| page.has("kinora_cache_entries"));
    page.ok_or_else(|| failed("whoever answers there is no Kinora, or another version".to_owned()))
}

/// The text at a URL; `None` if it is too long or no text.
async fn fetch(url: &str) -> reqwest::Result<Option<String>> {
    // The client wants one even where nothing is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
    let client = client.tls_certs_only([]).build()?;
    let mut answer = client.get(url).send().await?.error_for_status()?;
    let mut page = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        page.extend_from_slice(&piece);
        if page.len() > MAX_PAGE_BYTES {
            return Ok(None);
        }
    }
    Ok(String::from_utf8(page).ok())
}

/// The innermost reason: the others around it only say that something was tried.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn tier(page: &Page, metric: &str, tier: &str) -> u64 {
    page.sum(&format!("kinora_cache_{metric}"), &[("tier", tier)])
}

fn requests(page: &Page, outcome: &str) -> u64 {
    page.sum("kinora_requests_total", &[("cache", outcome)])
}

fn disk_state(page: &Page) -> &'static str {
    DiskCondition::of(page.sum("kinora_cache_disk_state", &[])).map_or("unknown", DiskCondition::as_str)
}

fn disk(page: &Page, metric: &str, label: (&str, &str)) -> u64 {
    page.sum(&format!("kinora_cache_disk_{metric}"), &[label])
}

fn as_json(page: &Page) -> Value {
    let tiers = TIERS.map(|name| {
        let [entries, bytes, budget, hits, misses, evictions] =
            ["entries", "bytes", "budget_bytes", "hits_total", "misses_total", "evictions_total"]
                .map(|metric| tier(page, metric, name));
        json!({
            "entries": entries, "bytes": bytes, "budget_bytes": budget,
            "hits": hits, "misses": misses, "evictions": evictions,
        })
    });
    let [memory, mut on_disk] = tiers;
    on_disk["state"] = disk_state(page).into();
    on_disk["waiting_bytes"] = page.sum("kinora_cache_disk_waiting_bytes", &[]).into();
    for (name, metric, label) in [
        ("writes", "writes_total", ("result", "done")),
        ("dropped_writes", "writes_total", ("result", "dropped")),
        ("corrupt", "faults_total", ("kind", "corrupt")),
        ("unreadable", "faults_total", ("kind", "unreadable")),
    ] {
        on_disk[name] = disk(page, metric, label).into();
    }
    json!({
        "memory": memory,
        "disk": on_disk,
        "requests": {
            "hit": requests(page, "hit"),
            "stale": requests(page, "stale"),
            "revalidated": requests(page, "revalidated"),
            "coalesced": requests(page, "collapsed"),
            "miss": requests(page, "miss"),
        },
        "fills": {
            "in_flight": page.sum("kinora_cache_fills", &[]),
            "failed": page.sum("kinora_cache_fill_failures_total", &[]),
        },
        "slices_fetched": page.sum("kinora_cache_slices_fetched_total", &[]),
    })
}

fn as_text(page: &Page) -> String {
    let mut lines = vec![format!(
        "{:<7} {:>9} {:>11} {:>11} {:>10} {:>10} {:>5} {:>10}",
        "TIER", "ENTRIES", "BYTES", "BUDGET", "HITS", "MISSES", "SHARE", "EVICTIONS"
    )];
    for name in TIERS {
        let of = |metric| tier(page, metric, name);
        let size = |metric| ByteSize::b(of(metric)).to_string();
        let (hits, misses) = (of("hits_total"), of("misses_total"));
        lines.push(format!(
            "{name:<7} {:>9} {:>11} {:>11} {hits:>10} {misses:>10} {:>5} {:>10}",
            of("entries"),
            size("bytes"),
            if of("budget_bytes") == 0 { "off".to_owned() } else { size("budget_bytes") },
            share(hits, misses),
            of("evictions_total"),
        ));
    }
    let outcomes = ["hit", "stale", "revalidated", "collapsed", "miss"].map(|name| requests(page, name));
    let [hit, stale, revalidated, coalesced, miss] = outcomes;
    let from_cache = hit.saturating_add(stale);
    let others = revalidated.saturating_add(coalesced).saturating_add(miss);
    lines.push(String::new());
    lines.push(format!(
        "requests  {} from the cache: {hit} hit, {stale} stale; {revalidated} revalidated, {coalesced} coalesced, {miss} miss",
        share(from_cache, others),
    ));
    lines.push(format!(
        "disk      {}: {} written, {} dropped, {} waiting; {} corrupt, {} unreadable",
        disk_state(page),
        disk(page, "writes_total", ("result", "done")),
        disk(page, "writes_total", ("result", "dropped")),
        ByteSize::b(page.sum("kinora_cache_disk_waiting_bytes", &[])),
        disk(page, "faults_total", ("kind", "corrupt")),
        disk(page, "faults_total", ("kind", "unreadable")),
    ));
    lines.push(format!(
        "fills     {} arriving, {} failed; {} slices fetched",
        page.sum("kinora_cache_fills", &[]),
        page.sum("kinora_cache_fill_failures_total", &[]),
        page.sum("kinora_cache_slices_fetched_total", &[]),
    ));
    lines.join("\n")
}

/// How many of a hundred; a dash of none.
fn share(part: u64, rest: u64) -> String {
    match part.saturating_add(rest) {
        0 => "-".to_owned(),
        all => format!("{:.0}%", part as f64 * 100.0 / all as f64),
    }
}
