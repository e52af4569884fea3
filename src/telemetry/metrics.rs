//! Every metric: name, unit, labels. The README's table is made from [`METRICS`].
//!
//! What a hit touches is resolved once at start, so that counting costs an atomic add and no look-up.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::telemetry::cache;
use crate::telemetry::cache::{CacheLevels, CacheMetrics};

/// One metric, for registration and for the README.
#[derive(Debug, Clone, Copy)]
pub struct MetricRow {
    /// Full name; its ending says the unit.
    pub name: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

const REQUESTS: MetricRow = MetricRow {
    name: "kinora_requests_total",
    labels: &["cache", "status"],
    help: "Answered requests by cache outcome and status class",
};
const REQUEST_SECONDS: MetricRow = MetricRow {
    name: "kinora_request_seconds",
    labels: &["cache"],
    help: "Time from the head of a request to the end of its answer",
};
const SENT_BYTES: MetricRow = MetricRow {
    name: "kinora_sent_bytes_total",
    labels: &["cache"],
    help: "Bytes of bodies sent to clients",
};
const FAILURES: MetricRow =
    MetricRow { name: "kinora_failures_total", labels: &["code", "blame"], help: "Failed requests by code" };
const RENDERS: MetricRow = MetricRow {
    name: "kinora_renders_total",
    labels: &["result"],
    help: "Renders that have ended: done or failed",
};
const RENDER_SECONDS: MetricRow = MetricRow {
    name: "kinora_render_seconds",
    labels: &["step"],
    help: "Time of one render by step: queue, fetch, decode, resize, encode",
};
const ORIGIN_REQUESTS: MetricRow = MetricRow {
    name: "kinora_origin_requests_total",
    labels: &["method", "result"],
    help: "Requests to the origin: get or head; ok, not_modified or failed",
};
const ORIGINAL_REQUESTS: MetricRow = MetricRow {
    name: "kinora_original_requests_total",
    labels: &["result"],
    help: "Sources of renders by the cache of originals: hit, miss, revalidated or joined",
};
const HOOK_ATTEMPTS: MetricRow = MetricRow {
    name: "kinora_hook_attempts_total",
    labels: &["result"],
    help: "Attempts to deliver to webhooks: done, retry, or dead after the last",
};
const JOB_TURNS: MetricRow = MetricRow {
    name: "kinora_job_turns_total",
    labels: &["kind", "result"],
    help: "Turns at jobs by how they ended: done, again, retry, failed, cancelled",
};
const CONNECTIONS: MetricRow =
    MetricRow { name: "kinora_connections", labels: &[], help: "Open connections of clients" };
const RENDERS_IN_FLIGHT: MetricRow =
    MetricRow { name: "kinora_renders_in_flight", labels: &[], help: "Renders that wait or run" };
const RENDERS_RUNNING: MetricRow =
    MetricRow { name: "kinora_renders_running", labels: &[], help: "Renders that hold a slot" };
const RENDER_BOOKED_BYTES: MetricRow =
    MetricRow { name: "kinora_render_booked_bytes", labels: &[], help: "Memory that renders have booked" };

/// All metrics.
pub const METRICS: &[MetricRow] = &[
    REQUESTS,
    REQUEST_SECONDS,
    SENT_BYTES,
    FAILURES,
    RENDERS,
    RENDER_SECONDS,
    ORIGIN_REQUESTS,
    ORIGINAL_REQUESTS,
    HOOK_ATTEMPTS,
    JOB_TURNS,
    CONNECTIONS,
    cache::ENTRIES,
    cache::BYTES,
    cache::BUDGET_BYTES,
    cache::HITS,
    cache::MISSES,
    cache::EVICTIONS,
    cache::DISK_STATE,
    cache::DISK_WRITES,
    cache::DISK_WAITING_BYTES,
    cache::DISK_FAULTS,
    cache::FILLS,
    cache::FILL_FAILURES,
    cache::SLICES_FETCHED,
    RENDERS_IN_FLIGHT,
    RENDERS_RUNNING,
    RENDER_BOOKED_BYTES,
];

/// The README's table.
pub fn metrics_table() -> String {
    let mut table = String::from("| metric | labels | meaning |\n| --- | --- | --- |\n");
    for row in METRICS {
        table.push_str(&format!("| `{}` | {} | {} |\n", row.name, row.labels.join(", "), row.help));
    }
    table
}

/// How the cache took part in an answer (the words of RFC 9211 and RFC 5861).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// From the cache, fresh.
    Hit,
    /// Fetched or rendered for this request.
    Miss,
    /// Joined the fill of another request.
    Collapsed,
    /// From the cache, past its freshness.
    Stale,
    /// From the cache after the origin has said that it still holds.
    Revalidated,
    /// The cache was not asked, or must not keep it.
    Bypass,
    /// Answered before the cache.
    None,
}

impl Outcome {
    const ALL: [Self; 7] =
        [Self::Hit, Self::Miss, Self::Collapsed, Self::Stale, Self::Revalidated, Self::Bypass, Self::None];

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Bypass => "bypass",
            Self::None => "none",
        }
    }
}

const STATUS_CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of answers with one cache outcome.
struct Answered {
    by_status: [IntCounter; 6],
    seconds: Histogram,
    sent_bytes: IntCounter,
}

/// All counters of the process.
pub struct Metrics {
    registry: Registry,
    answered: [Answered; 7],
    failures: IntCounterVec,
    renders: IntCounterVec,
    render_seconds: HistogramVec,
    origin_requests: IntCounterVec,
    original_requests: IntCounterVec,
    hook_attempts: IntCounterVec,
    job_turns: IntCounterVec,
    /// Open connections of clients.
    pub connections: IntGauge,
    /// Those of the cache.
    pub cache: CacheMetrics,
    gauges: [IntGauge; 3],
}

/// Gauges that are read when somebody asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    /// The cache.
    pub cache: CacheLevels,
    /// Renders that wait or run.
    pub renders_in_flight: u64,
    /// Renders that hold a slot.
    pub renders_running: u64,
    /// Memory that renders have booked.
    pub render_booked_bytes: u64,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// If two metrics share a name: a mistake in [`METRICS`], found by the first test.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = counters(&registry, REQUESTS)?;
        let seconds = histograms(&registry, REQUEST_SECONDS)?;
        let sent = counters(&registry, SENT_BYTES)?;
        let answered = Outcome::ALL.map(|outcome| Answered {
            by_status: STATUS_CLASSES.map(|class| requests.with_label_values(&[outcome.as_str(), class])),
            seconds: seconds.with_label_values(&[outcome.as_str()]),
            sent_bytes: sent.with_label_values(&[outcome.as_str()]),
        });
        let gauges = [
            gauge(&registry, RENDERS_IN_FLIGHT)?,
            gauge(&registry, RENDERS_RUNNING)?,
            gauge(&registry, RENDER_BOOKED_BYTES)?,
        ];
        let hook_attempts = counters(&registry, HOOK_ATTEMPTS)?;
        // There from the start, so that an alert on the first dead delivery has something to compare with.
        for result in ["done", "retry", "dead"] {
            hook_attempts.with_label_values(&[result]);
        }
        Ok(Self {
            answered,
            failures: counters(&registry, FAILURES)?,
            renders: counters(&registry, RENDERS)?,
            render_seconds: histograms(&registry, RENDER_SECONDS)?,
            origin_requests: counters(&registry, ORIGIN_REQUESTS)?,
            original_requests: counters(&registry, ORIGINAL_REQUESTS)?,
            hook_attempts,
            job_turns: counters(&registry, JOB_TURNS)?,
            connections: gauge(&registry, CONNECTIONS)?,
            cache: CacheMetrics::new(&registry)?,
            gauges,
            registry,
        })
    }

    /// Counts one answer.
    pub fn answered(&self, outcome: Outcome, status: u16, took: Duration, sent_bytes: u64) {
        let answered = &self.answered[outcome as usize];
        let class = usize::from(status / 100);
        answered.by_status[if class < STATUS_CLASSES.len() { class } else { 0 }].inc();
        answered.seconds.observe(took.as_secs_f64());
        answered.sent_bytes.inc_by(sent_bytes);
    }

    /// Counts one failure.
    pub fn failed(&self, code: &str, blame: &str) {
        self.failures.with_label_values(&[code, blame]).inc();
    }

    /// Counts one render that has ended.
    pub fn rendered(&self, done: bool) {
        self.renders.with_label_values(&[if done { "done" } else { "failed" }]).inc();
    }

    /// Counts the time of one step of a render.
    pub fn render_step(&self, step: &str, took: Duration) {
        self.render_seconds.with_label_values(&[step]).observe(took.as_secs_f64());
    }

    /// Counts one request to the origin.
    pub fn origin_request(&self, method: &str, result: &str) {
        self.origin_requests.with_label_values(&[method, result]).inc();
    }

    /// Counts one original that a render asked for.
    pub fn original_request(&self, result: &str) {
        self.original_requests.with_label_values(&[result]).inc();
    }

    /// Counts one attempt to deliver to a webhook.
    pub fn hook_attempt(&self, result: &str) {
        self.hook_attempts.with_label_values(&[result]).inc();
    }

    /// Counts one turn at a job.
    pub fn job_turn(&self, kind: &str, result: &str) {
        self.job_turns.with_label_values(&[kind, result]).inc();
    }

    /// The page that Prometheus reads.
    ///
    /// # Errors
    /// If a metric cannot be written as text, which the names here rule out.
    pub fn page(&self, levels: &Levels) -> prometheus::Result<String> {
        let values = [levels.renders_in_flight, levels.renders_running, levels.render_booked_bytes];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.cache.take(&levels.cache);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

pub(super) fn counter(registry: &Registry, row: MetricRow) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(row.name, row.help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

pub(super) fn counters(registry: &Registry, row: MetricRow) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(row.name, row.help), row.labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

pub(super) fn gauge(registry: &Registry, row: MetricRow) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(row.name, row.help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

pub(super) fn gauges(registry: &Registry, row: MetricRow) -> prometheus::Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(row.name, row.help), row.labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

/// From a tenth of a millisecond, a hit, to ten seconds, a render that nearly failed.
const SECONDS: [f64; 12] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

fn histograms(registry: &Registry, row: MetricRow) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(row.name, row.help).buckets(SECONDS.to_vec());
    let histograms = HistogramVec::new(options, row.labels)?;
    registry.register(Box::new(histograms.clone()))?;
    Ok(histograms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_counted() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.answered(Outcome::Stale, 206, Duration::from_millis(2), 70);
        metrics.answered(Outcome::None, 999, Duration::ZERO, 0);
        metrics.failed("expired", "client");
        let mut cache = CacheLevels::default();
        cache.tiers[0].bytes = 12;
        let page = metrics.page(&Levels { cache, ..Levels::default() }).expect("text");
        for line in [
            r#"kinora_requests_total{cache="stale",status="2xx"} 1"#,
            r#"kinora_requests_total{cache="none",status="other"} 1"#,
            r#"kinora_sent_bytes_total{cache="stale"} 70"#,
            r#"kinora_failures_total{blame="client",code="expired"} 1"#,
            r#"kinora_cache_bytes{tier="memory"} 12"#,
            r#"kinora_cache_disk_state{tier="originals_disk"} 3"#,
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }

    #[test]
    fn outcomes_index_their_counters() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
    }
}
