//! The public edge: from a request's head to the last byte of its answer.
//!
//! `front` owns the connection, `admit` reads and verifies, `find` looks into the cache, `fetch` fills
//! it from the `upstream`, `respond` answers, `access_log` counts. Pingora gives the sessions of
//! HTTP/1.1 and HTTP/2; the cache is our own, because with Pingora's a fill belongs to the connection
//! of the client that began it.

mod access_log;
mod admit;
mod answer;
mod config;
mod context;
mod control;
mod cors;
mod fetch;
mod find;
mod front;
mod parts;
mod respond;
mod slices;
mod upstream;

use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora::{ErrorType, Result};

use crate::api::Control;
use crate::cache;
use crate::cache::{Assets, FillBudget, Flights, Generations, Key, Purger, Store};
use crate::failure::{Code, Failure};
use crate::origin::Origin;
use crate::render::Renderer;
use crate::request::Rules;
use crate::signature::{KeyRing, Policy};
use crate::telemetry::Metrics;

use admit::{Admitted, Early};
use answer::Found;
use context::Context;
use respond::Sent;

pub use config::{DeliveryConfig, PurgeConfig, ServerConfig, TlsConfig};
pub use cors::Cors;
pub use front::{Front, FrontLimits, Plain, Reading, read_head};
pub use slices::Slices;

/// What the edge is made of; everything lives as long as the process.
pub struct Edge {
    /// Limits that decide the meaning of a URL.
    pub rules: Rules,
    /// The keys that are active now.
    pub keys: Arc<ArcSwap<KeyRing>>,
    /// When proof is needed.
    pub policy: Policy,
    /// What is known of assets.
    pub assets: Assets,
    /// `delivery.public_by_default`: an asset that is public needs no proof.
    pub assets_are_public: bool,
    /// How long answers live.
    pub freshness: cache::Policy,
    /// Where answers are kept.
    pub store: Arc<Store>,
    /// What purges have overtaken.
    pub generations: Arc<ArcSwap<Generations>>,
    /// Joins equal misses.
    pub flights: Arc<Flights>,
    /// Which originals are kept in slices.
    pub slices: Slices,
    /// Originals whose origin gives no parts, for a while.
    pub whole_only: moka::sync::Cache<Key, ()>,
    /// The memory of answers that are arriving.
    pub fills: FillBudget,
    /// An object with more bytes is never kept.
    pub max_object_bytes: u64,
    /// Answers what is below `/api/`.
    pub control: Control,
    /// Purges for whoever sends `PURGE`.
    pub purger: Purger,
    /// Who may send it.
    pub purge: PurgeConfig,
    /// Hands out originals.
    pub origin: Arc<dyn Origin>,
    /// Makes variants.
    pub renderer: Arc<Renderer>,
    /// Time limits of clients.
    pub client: ServerConfig,
    /// Which websites may read answers.
    pub cors: Cors,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Limits of HTTP/2 connections.
    pub h2_options: H2Options,
    /// Limits of all connections.
    pub server_options: HttpServerOptions,
}

#[async_trait]
impl HttpServerApp for Edge {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !self.read_head(&mut session).await {
            return None;
        }
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        let mut ctx = Context::start();
        admit::limit(&mut session, &self.client);
        let served = self.serve(&mut session, &mut ctx).await;
        access_log::write(self, &session, served.as_ref().err().map(|error| error.etype()), &ctx);
        if served.is_err() {
            // A head that has gone out cannot be taken back: closing tells that the body is short.
            session.shutdown().await;
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.h2_options.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.server_options)
    }
}

impl Edge {
    /// The front has let the head of an HTTP/1.1 request pass, so Pingora rarely refuses one.
    async fn read_head(&self, session: &mut ServerSession) -> bool {
        match session.read_request().await {
            Ok(is_there) => is_there,
            Err(error) => {
                if matches!(error.etype(), ErrorType::InvalidHTTPHeader) {
                    let failure = Failure::new(Code::BadRequest, "the request's head is malformed");
                    self.metrics.failed(failure.code.as_str(), failure.code.blame().as_str());
                    tracing::info!(code = failure.code.as_str(), cause = %error, "request");
                    // Whoever sends such heads may well be gone.
                    let _ =
                        session.respond_error_with_body(failure.code.status(), failure.body().into()).await;
                }
                session.shutdown().await;
                false
            }
        }
    }

    /// Finds the answer for as long as the client is there.
    async fn find(self: &Arc<Self>, session: &mut ServerSession, admitted: &Admitted) -> Result<Found> {
        let asked = session.req_header().clone();
        let mut finding = pin!(find::find(self, admitted, &asked));
        let told = tokio::select! {
            biased;
            found = &mut finding => return Ok(found),
            told = session.read_body_or_idle(true) => told,
        };
        match told {
            Err(error) if *error.etype() != ErrorType::ConnectError => Err(error),
            // It has sent more than its request: that is for another connection.
            Ok(_) | Err(_) => {
                session.set_keepalive(None);
                Ok(finding.await)
            }
        }
    }

    async fn serve(self: &Arc<Self>, session: &mut ServerSession, ctx: &mut Context) -> Result<()> {
        if control::is_meant(session.req_header()) {
            return control::serve(self, session, ctx).await;
        }
        match admit::admit(self, session.req_header()).await {
            Ok(admitted) => {
                let admitted = ctx.admitted.insert(admitted).clone();
                for may_begin_anew in [true, false] {
                    let found = self.find(session, &admitted).await?;
                    let sent = respond::send(self, session, ctx, &admitted, found, may_begin_anew).await?;
                    if matches!(sent, Sent::Whole) {
                        break;
                    }
                }
                Ok(())
            }
            Err(Early::Preflight) => respond::preflight(session, &self.cors, respond::ALLOWED).await,
            Err(Early::Failure(failure)) => {
                ctx.note(&failure);
                respond::refuse(self, session, &failure, None).await
            }
        }
    }
}
