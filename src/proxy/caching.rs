//! Which requests use the cache, and under which key.

use pingora::cache::{CacheKey, CachePhase};
use pingora::cache::{CacheOptionOverrides, HttpCache, NoCacheReason};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::cache;
use crate::headers::cache_status::{CacheStatus, Forward};
use crate::proxy::Edge;
use crate::proxy::context::Context;
use crate::telemetry::Outcome;

/// Turns the cache on for whatever it can hold.
pub(super) fn enable(edge: &Edge, session: &mut Session, ctx: &Context) {
    if ctx.admitted.as_ref().is_none_or(|admitted| admitted.beyond_cache.is_some()) {
        return;
    }
    // No eviction manager: the storage weighs by itself. No predictor: it would let misses of a key
    // that once failed go upstream side by side.
    let mut overrides = CacheOptionOverrides::default();
    overrides.wait_timeout = Some(edge.internal_timeout);
    session.cache.enable(edge.memory, None, None, Some(edge.lock), Some(overrides));
    session.cache.set_max_file_size_bytes(edge.max_object_bytes);
}

/// The key of the admitted variant.
pub(super) fn key(ctx: &Context) -> Result<CacheKey> {
    match &ctx.admitted {
        Some(admitted) => Ok(cache::key(&admitted.variant, &admitted.path)),
        None => Error::e_explain(ErrorType::InternalError, "nothing was admitted"),
    }
}

/// What the cache did for this request, for metrics and log.
pub(super) fn outcome(cache: &HttpCache) -> Outcome {
    match cache.phase() {
        CachePhase::Hit if cache.lock_duration().is_some() => Outcome::Collapsed,
        CachePhase::Hit => Outcome::Hit,
        CachePhase::Stale | CachePhase::StaleUpdating => Outcome::Stale,
        CachePhase::Miss | CachePhase::Expired => Outcome::Miss,
        CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => Outcome::Revalidated,
        CachePhase::Disabled(_) | CachePhase::Bypass | CachePhase::Uninit | CachePhase::CacheKey => {
            Outcome::Bypass
        }
    }
}

/// The same for the client, RFC 9211. `answered` is the status that it gets, which a range may have
/// made another than the upstream's.
pub(super) fn status(cache: &HttpCache, answered: u16) -> CacheStatus {
    let upstream = cache.maybe_cache_meta().map_or(answered, |meta| meta.response_header().status.as_u16());
    let ttl = |status: CacheStatus| {
        let Some(meta) = cache.maybe_cache_meta() else { return status };
        let fresh_until = pingora_seconds(meta.fresh_until());
        status.ttl(fresh_until - pingora_seconds(std::time::SystemTime::now()))
    };
    match cache.phase() {
        CachePhase::Hit if cache.lock_duration().is_some() => {
            ttl(CacheStatus::forwarded(Forward::Miss).collapsed())
        }
        CachePhase::Hit | CachePhase::Stale | CachePhase::StaleUpdating => ttl(CacheStatus::hit()),
        CachePhase::Miss => ttl(CacheStatus::forwarded(Forward::Miss).status(upstream).stored()),
        CachePhase::Expired => ttl(CacheStatus::forwarded(Forward::Stale).status(upstream).stored()),
        CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => {
            ttl(CacheStatus::forwarded(Forward::Stale).status(304))
        }
        CachePhase::Disabled(NoCacheReason::OriginNotCache | NoCacheReason::ResponseTooLarge) => {
            CacheStatus::forwarded(Forward::Miss).status(upstream)
        }
        CachePhase::Disabled(_) | CachePhase::Bypass | CachePhase::Uninit | CachePhase::CacheKey => {
            CacheStatus::forwarded(Forward::Bypass).status(upstream)
        }
    }
}

fn pingora_seconds(time: std::time::SystemTime) -> i64 {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
