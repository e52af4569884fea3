//! The control plane below `/api/v1`: who may ask, and where a request goes.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::Stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode, request};
use tower_service::Service;

use crate::api::purge::purge;
use crate::cache::Purger;
use crate::failure::{Code, ERROR, Failure, PROBLEM_TYPE};
use crate::headers::api_key::api_key;
use crate::signature::{KeyRing, Scope};

/// The largest body that is read.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// What the control plane works with.
#[derive(Clone)]
pub struct Public {
    /// The keys that are active now.
    pub keys: Arc<ArcSwap<KeyRing>>,
    /// Purges what is cached.
    pub purger: Purger,
}

/// The control plane for whoever has a request at hand; it needs no listener of its own.
#[derive(Clone)]
pub struct Control(Router);

impl Control {
    /// Over [`public_routes`].
    pub fn new(public: Public) -> Self {
        Self(public_routes(public))
    }

    /// Answers one request. Its body is read when it is wanted, which is never before the request has
    /// been let in. A refusal carries its [`Failure`] in the extensions of the answer, for the log.
    pub async fn answer(
        &self,
        head: request::Parts,
        body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> http::Response<Bytes> {
        let request = Request::from_parts(head, Body::from_stream(body));
        let Ok(response) = self.0.clone().call(request).await;
        let (mut head, body) = response.into_parts();
        // Made here and whole already: nothing can fail.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        // Of an answer to HEAD, the length is there and the body is not.
        head.headers.entry(CONTENT_LENGTH).or_insert(body.len().into());
        http::Response::from_parts(head, body)
    }
}

/// Every path below `/api/` that delivers nothing; an unknown one is 404.
pub fn public_routes(public: Public) -> Router {
    Router::new()
        .route("/api/v1/purge", post(purge).fallback(only_post))
        .fallback(no_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(public))
}

/// An answer to one client about one moment: nobody keeps it.
pub(super) fn uncached(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A failure as an answer, which carries it along for the log.
pub(super) fn refuse(failure: Failure) -> Response {
    let status = StatusCode::from_u16(failure.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = uncached((status, failure.body()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
    headers.insert(ERROR, HeaderValue::from_static(failure.code.as_str()));
    if let Some(seconds) = failure.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if failure.code == Code::ApiKeyNeeded {
        // RFC 9110 section 15.5.2.
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response.extensions_mut().insert(failure);
    response
}

impl Public {
    /// Lets a request with an API key of this scope pass.
    pub(super) fn authorize(&self, headers: &HeaderMap, scope: Scope) -> Result<(), Failure> {
        let ring = self.keys.load();
        match api_key(headers) {
            Some(key) if ring.allows(key, scope) => Ok(()),
            Some(key) if ring.has_api_key(key) => {
                let detail = format!("the API key lacks the scope `{}`", scope.as_str());
                Err(Failure::new(Code::ScopeMissing, detail))
            }
            Some(_) => Err(Failure::new(Code::ApiKeyNeeded, "there is no such API key")),
            None => Err(Failure::new(
                Code::ApiKeyNeeded,
                "send it as `X-FileSpin-Api-Key: KEY` or `Authorization: Bearer KEY`",
            )),
        }
    }
}

async fn only_post(State(_): State<Arc<Public>>) -> Response {
    let mut response = refuse(Failure::new(Code::MethodNotAllowed, "use POST"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn no_route() -> Response {
    refuse(Failure::new(Code::NotFound, "there is no such path"))
}
