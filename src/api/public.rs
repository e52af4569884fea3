//! The control plane below `/api/v1`: who may ask, and where a request goes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::api::body::MAX_BODY_BYTES;
use crate::api::limits::Limits;
use crate::api::{assets, hooks, idempotency, import, jobs, keys, limits, links, openapi, purge, upload};
use crate::cache::{Assets, Purger};
use crate::failure::{Code, ERROR, Failure, PROBLEM_TYPE};
use crate::headers::api_key::api_key;
use crate::metadata::Catalog;
use crate::net::Guard;
use crate::origin::Bucket;
use crate::request::Rules;
use crate::signature::{ApiKey, KeyRing, Scope, UploadKey};
use crate::upload::Uploads;
use crate::webhook;

/// What the control plane works with.
#[derive(Clone)]
pub struct Public {
    /// The keys that are active now.
    pub keys: Arc<ArcSwap<KeyRing>>,
    /// Purges what is cached.
    pub purger: Purger,
    /// Takes files.
    pub uploads: Uploads,
    /// Facts.
    pub catalog: Catalog,
    /// `metadata.max_data_bytes`.
    pub max_data_bytes: usize,
    /// What URLs webhooks may have.
    pub webhooks: webhook::Caller,
    /// What is known of assets.
    pub assets: Assets,
    /// What decides the meaning of a URL.
    pub rules: Rules,
    /// The bucket, if it is one that can be written to.
    pub bucket: Option<Arc<dyn Bucket>>,
    /// `server.public_url`: what stands in front of a path; empty: as the client has reached us.
    pub public_url: String,
    /// How often clients may ask.
    pub limits: Arc<Limits>,
    /// What URLs files may be imported from.
    pub imports: Guard,
}

/// Whoever may upload.
pub enum Uploader {
    /// A server of the owner's: nothing bounds it but what bounds all.
    Api(ApiKey),
    /// A web page, within the limits of its key.
    Page(UploadKey),
}

/// Every path below `/api/` that delivers nothing; an unknown one is 404.
pub fn public_routes(public: Public) -> Router {
    let public = Arc::new(public);
    Router::new()
        .merge(assets::routes())
        .merge(hooks::routes())
        .merge(import::routes())
        .merge(jobs::routes())
        .merge(keys::routes())
        .merge(links::routes())
        .merge(openapi::routes())
        .merge(purge::routes())
        .merge(upload::routes())
        .fallback(no_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&public), idempotency::once))
        .layer(from_fn_with_state(Arc::clone(&public), limits::limit))
        .with_state(public)
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

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        refuse(self)
    }
}

impl Public {
    /// Lets a request with an API key of this scope pass, and says whose it is.
    pub(super) fn authorize(&self, headers: &HeaderMap, scope: Scope) -> Result<ApiKey, Failure> {
        let ring = self.keys.load();
        let sent = api_key(headers).ok_or_else(no_key)?;
        let key = ring.api_key(sent);
        let key = key.ok_or_else(|| Failure::new(Code::ApiKeyNeeded, "there is no such API key"))?;
        if !key.scopes.contains(&scope) {
            let detail = format!("the API key lacks the scope `{}`", scope.as_str());
            return Err(Failure::new(Code::ScopeMissing, detail));
        }
        ring.note_use(&key.id, now());
        Ok(key.clone())
    }

    /// Lets a request pass that may upload: with an API key that may write, or with an upload key and from a
    /// website that it is for.
    ///
    /// # Errors
    /// Which of both is missing.
    pub fn authorize_upload(&self, headers: &HeaderMap) -> Result<Uploader, Failure> {
        let ring = self.keys.load();
        let sent = api_key(headers).ok_or_else(no_key)?;
        if ring.has_api_key(sent) {
            return self.authorize(headers, Scope::Write).map(Uploader::Api);
        }
        let key = ring.upload_key(sent).ok_or_else(|| {
            Failure::new(Code::UploadKeyInvalid, "there is no such API key and no such upload key")
        })?;
        // A header that is no text is no website's.
        let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        if !key.admits(origin) {
            return Err(Failure::new(Code::WebsiteNotAuthorized, "the upload key is not for this website"));
        }
        ring.note_use(&key.id, now());
        Ok(Uploader::Page(key.clone()))
    }

    /// Makes what has become of keys hold at once in this process; others notice within half a second.
    pub(super) async fn keys_have_changed(&self, now: u64) -> Result<(), Failure> {
        let ring = self.catalog.key_ring(now).await?;
        self.keys.rcu(|before| ring.clone().following(before));
        Ok(())
    }
}

fn no_key() -> Failure {
    Failure::new(Code::ApiKeyNeeded, "send it as `X-FileSpin-Api-Key: KEY` or `Authorization: Bearer KEY`")
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The answer of a path to methods that it does not know; these are the ones that it does.
pub(super) fn only(methods: &'static str) -> Response {
    let mut response = refuse(Failure::new(Code::MethodNotAllowed, format!("use {methods}")));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

async fn no_route() -> Response {
    refuse(Failure::new(Code::NotFound, "there is no such path"))
}
