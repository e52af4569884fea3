//! The admin listener: metrics, and whether we are alive and ready.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::time::timeout;

use crate::cache::{DiskCounts, DiskState, Flights, MemoryCounts, Store};
use crate::origin::Origin;
use crate::render::Renderer;
use crate::telemetry::{CacheLevels, DiskCondition, DiskLevels, Levels, Metrics, Tier, TierLevels};

/// A bucket that does not answer within this is not reachable.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// What the admin listener looks at.
pub struct Admin {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Stored answers.
    pub store: Arc<Store>,
    /// Stored originals.
    pub originals: Arc<Store>,
    /// Fetches in progress.
    pub flights: Arc<Flights>,
    /// The renders.
    pub renderer: Arc<Renderer>,
    /// The bucket.
    pub origin: Arc<dyn Origin>,
    /// A render queue that has not moved for this long is stuck.
    pub stuck_after: Duration,
}

/// `/metrics`, `/healthz` (the process answers) and `/readyz` (the bucket is reachable and the render
/// queue moves).
pub fn admin_routes(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(admin))
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let mut missing = Vec::new();
    match timeout(READY_WITHIN, admin.origin.ready()).await {
        Ok(Ok(())) => {}
        // The reason may name hosts: it is for the log, the listener's readers get the fact.
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the bucket cannot be reached");
            missing.push("the bucket cannot be reached");
        }
        Err(_) => missing.push("the bucket does not answer in time"),
    }
    if admin.renderer.pool().stalled_for() > admin.stuck_after {
        missing.push("the render queue does not move");
    }
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join("; "))).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let pool = admin.renderer.pool();
    let levels = Levels {
        cache: cache_levels(&admin),
        renders_in_flight: pool.in_flight() as u64,
        renders_running: pool.running() as u64,
        render_booked_bytes: pool.booked_bytes(),
    };
    match admin.metrics.page(&levels) {
        Ok(page) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn cache_levels(admin: &Admin) -> CacheLevels {
    let mut levels = CacheLevels { fills: admin.flights.count() as u64, ..CacheLevels::default() };
    for (store, memory, disk) in [
        (&admin.store, Tier::Memory, Tier::Disk),
        (&admin.originals, Tier::OriginalsMemory, Tier::OriginalsDisk),
    ] {
        levels.tiers[memory as usize] = memory_levels(store.memory().counts());
        if let Some(of) = store.disk() {
            levels.tiers[disk as usize] = disk_levels(of.state(), of.counts());
        }
    }
    levels
}

fn memory_levels(counts: MemoryCounts) -> TierLevels {
    TierLevels {
        entries: counts.entries,
        bytes: counts.bytes,
        budget_bytes: counts.budget_bytes,
        hits: counts.hits,
        misses: counts.misses,
        evictions: counts.evicted,
        ..TierLevels::default()
    }
}

fn disk_levels(state: DiskState, counts: DiskCounts) -> TierLevels {
    TierLevels {
        entries: counts.objects,
        bytes: counts.bytes,
        budget_bytes: counts.budget_bytes,
        hits: counts.hits,
        misses: counts.misses,
        evictions: counts.evicted,
        writing: DiskLevels {
            state: match state {
                DiskState::Ready => DiskCondition::Ready,
                DiskState::Scanning => DiskCondition::Scanning,
                DiskState::Degraded => DiskCondition::Degraded,
            },
            writes: counts.writes,
            dropped: counts.dropped,
            waiting_bytes: counts.waiting_bytes,
            corrupt: counts.corrupt,
            unreadable: counts.read_errors,
        },
    }
}
