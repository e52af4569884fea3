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
use crate::telemetry::{DiskCondition, Page, Tier};

/// A server that takes longer has other worries than its numbers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Our own page has some ten KiB.
const MAX_PAGE_BYTES: usize = 1 << 20;

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

fn tier(page: &Page, tier: Tier, metric: &str) -> u64 {
    page.sum(&format!("kinora_cache_{metric}"), &[("tier", tier.as_str())])
}

/// Of a tier on the disk.
fn disk(page: &Page, tier: Tier, metric: &str, label: (&str, &str)) -> u64 {
    page.sum(&format!("kinora_cache_disk_{metric}"), &[("tier", tier.as_str()), label])
}

fn disk_state(page: &Page, of: Tier) -> &'static str {
    DiskCondition::of(tier(page, of, "disk_state")).map_or("unknown", DiskCondition::as_str)
}

fn requests(page: &Page, outcome: &str) -> u64 {
    page.sum("kinora_requests_total", &[("cache", outcome)])
}

fn as_json(page: &Page) -> Value {
    let tiers = Tier::ALL.map(|tier| (tier.as_str().to_owned(), tier_json(page, tier)));
    json!({
        "tiers": Value::Object(tiers.into_iter().collect()),
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

fn tier_json(page: &Page, of: Tier) -> Value {
    let mut seen = json!({
        "entries": tier(page, of, "entries"),
        "bytes": tier(page, of, "bytes"),
        "budget_bytes": tier(page, of, "budget_bytes"),
        "hits": tier(page, of, "hits_total"),
        "misses": tier(page, of, "misses_total"),
        "evictions": tier(page, of, "evictions_total"),
    });
    if of.is_on_disk() {
        seen["state"] = disk_state(page, of).into();
        seen["writes"] = disk(page, of, "writes_total", ("result", "done")).into();
        seen["dropped_writes"] = disk(page, of, "writes_total", ("result", "dropped")).into();
        seen["waiting_bytes"] = tier(page, of, "disk_waiting_bytes").into();
        seen["corrupt"] = disk(page, of, "faults_total", ("kind", "corrupt")).into();
        seen["unreadable"] = disk(page, of, "faults_total", ("kind", "unreadable")).into();
    }
    seen
}

fn as_text(page: &Page) -> String {
    let mut lines = vec![format!(
        "{:<17}{:>9}{:>11}{:>11}{:>10}{:>10}{:>7}{:>11}",
        "TIER", "ENTRIES", "BYTES", "BUDGET", "HITS", "MISSES", "SHARE", "EVICTIONS"
    )];
    lines.extend(Tier::ALL.map(|tier| tier_line(page, tier)));
    lines.push(String::new());
    lines.extend(Tier::ALL.into_iter().filter(|tier| tier.is_on_disk()).map(|tier| disk_line(page, tier)));
    let outcomes = ["hit", "stale", "revalidated", "collapsed", "miss"].map(|name| requests(page, name));
    let [hit, stale, revalidated, coalesced, miss] = outcomes;
    let from_cache = hit.saturating_add(stale);
    let others = revalidated.saturating_add(coalesced).saturating_add(miss);
    lines.push(format!(
        "{:<17}{} from the cache: {hit} hit, {stale} stale; {revalidated} revalidated, {coalesced} coalesced, {miss} miss",
        "requests",
        share(from_cache, others),
    ));
    lines.push(format!(
        "{:<17}{} arriving, {} failed; {} slices fetched",
        "fills",
        page.sum("kinora_cache_fills", &[]),
        page.sum("kinora_cache_fill_failures_total", &[]),
        page.sum("kinora_cache_slices_fetched_total", &[]),
    ));
    lines.join("\n")
}

fn tier_line(page: &Page, of: Tier) -> String {
    let budget = tier(page, of, "budget_bytes");
    let (hits, misses) = (tier(page, of, "hits_total"), tier(page, of, "misses_total"));
    format!(
        "{:<17}{:>9}{:>11}{:>11}{hits:>10}{misses:>10}{:>7}{:>11}",
        of.as_str(),
        tier(page, of, "entries"),
        ByteSize::b(tier(page, of, "bytes")).to_string(),
        if budget == 0 { "off".to_owned() } else { ByteSize::b(budget).to_string() },
        share(hits, misses),
        tier(page, of, "evictions_total"),
    )
}

fn disk_line(page: &Page, of: Tier) -> String {
    format!(
        "{:<17}{}: {} written, {} dropped, {} waiting; {} corrupt, {} unreadable",
        of.as_str(),
        disk_state(page, of),
        disk(page, of, "writes_total", ("result", "done")),
        disk(page, of, "writes_total", ("result", "dropped")),
        ByteSize::b(tier(page, of, "disk_waiting_bytes")),
        disk(page, of, "faults_total", ("kind", "corrupt")),
        disk(page, of, "faults_total", ("kind", "unreadable")),
    )
}

/// How many of a hundred; a dash of none.
fn share(part: u64, rest: u64) -> String {
    match part.saturating_add(rest) {
        0 => "-".to_owned(),
        all => format!("{:.0}%", part as f64 * 100.0 / all as f64),
    }
}
