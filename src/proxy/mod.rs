//! The public edge: the only folder that implements Pingora's `ProxyHttp`, one short method a phase.
//!
//! Each phase's work is in the file of its name: `admit` reads and verifies, `caching` names and
//! judges, `upstream` asks, `respond` answers, `access_log` counts. `front` stands before all of
//! them and owns the connection.

mod access_log;
mod admit;
mod caching;
mod config;
mod context;
mod front;
mod respond;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::key::CacheKey;
use pingora::cache::lock::CacheKeyLockImpl;
use pingora::cache::{NoCacheReason, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, RangeType, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, Result};

use crate::cache;
use crate::cache::Memory;
use crate::origin::Origin;
use crate::request::Rules;
use crate::signature::{KeyRing, Policy, Seal};
use crate::telemetry::Metrics;

pub use config::{DeliveryConfig, ServerConfig, TlsConfig};
pub use context::Context;
pub use front::{Front, FrontLimits};
pub use respond::Cors;

/// What the edge is made of; everything lives as long as the process.
pub struct Edge {
    /// Limits that decide the meaning of a URL.
    pub rules: Rules,
    /// The keys that are active now.
    pub keys: Arc<ArcSwap<KeyRing>>,
    /// When proof is needed.
    pub policy: Policy,
    /// How long answers live.
    pub freshness: cache::Policy,
    /// Where answers are kept.
    pub memory: &'static Memory,
    /// Joins equal misses.
    pub lock: &'static CacheKeyLockImpl,
    /// An object with more bytes is never kept.
    pub max_object_bytes: usize,
    /// Asked how large an object is, when a range of it is wanted and the cache does not have it.
    pub origin: Arc<dyn Origin>,
    /// Proof toward the internal upstream.
    pub seal: Seal,
    /// The internal upstream's socket.
    pub internal: PathBuf,
    /// How long the internal upstream may be silent.
    pub internal_timeout: Duration,
    /// Time limits of clients.
    pub client: ServerConfig,
    /// Which websites may read answers.
    pub cors: Cors,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::start()
    }

    /// No compression: pictures and video are compressed already.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, _: &mut Context) -> Result<()> {
        admit::limit(session, &self.client);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        match admit::admit(self, session).await {
            Ok(admitted) => {
                ctx.admitted = Some(admitted);
                Ok(false)
            }
            Err(early) => respond::early(self, session, ctx, early).await,
        }
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        caching::enable(self, session, ctx);
        Ok(())
    }

    fn cache_key_callback(&self, _: &Session, ctx: &mut Context) -> Result<CacheKey> {
        caching::key(ctx)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> Result<Box<HttpPeer>> {
        upstream::peer(self)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        upstream::ask(self, session, request, ctx)
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        answer: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        upstream::receive(self, answer, ctx)
    }

    fn response_cache_filter(
        &self,
        _: &Session,
        answer: &ResponseHeader,
        _: &mut Context,
    ) -> Result<RespCacheable> {
        Ok(match self.freshness.admit(answer, SystemTime::now()) {
            Some(meta) => RespCacheable::Cacheable(meta),
            None => RespCacheable::Uncacheable(NoCacheReason::OriginNotCache),
        })
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> RangeType {
        respond::cut(session.req_header(), answer, ctx)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        respond::substitute(body, ctx);
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        respond::finish(self, session, answer, ctx)
    }

    /// Whether the entry's windows allow it has been checked by then.
    fn should_serve_stale(&self, _: &mut Session, _: &mut Context, error: Option<&Error>) -> bool {
        error.is_none_or(|error| error.esource() == &ErrorSource::Upstream)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        respond::broken(self, session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        access_log::write(self, session, error, ctx);
    }

    /// The access log has one line for each request, failures included.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    /// Pingora puts this into its own messages: no signature may stand there.
    fn request_summary(&self, session: &Session, ctx: &Context) -> String {
        access_log::safe_path(session.req_header(), ctx)
    }
}
