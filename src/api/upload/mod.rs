//! Files are handed over: new assets, another original, a conversion of one's own.

mod content;
mod form;
mod new;
mod tus;
mod tus_headers;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::{MethodRouter, any, post as on_post};
use futures::Future;
use http::HeaderMap;
use http::header::ORIGIN;

use crate::api::public::{Public, only};
use crate::failure::{Code, Failure};

pub(super) fn routes() -> Router<Arc<Public>> {
    let post = |handler: MethodRouter<Arc<Public>>| handler.fallback(async || only("POST"));
    Router::new()
        .route("/api/v1/assets/new/content/original/upload", post(on_post(new::upload)))
        .route("/api/v1/assets/{id}/content/original/upload", post(on_post(content::replace)))
        .route("/api/v1/assets/{id}/content/{name}", post(on_post(content::add)))
        .route(
            "/api/v1/assets/{id}/content/remove_public_access",
            post(on_post(content::remove_public_access)),
        )
        .route("/api/v1/uploads", any(tus::uploads))
        .route("/api/v1/uploads/{id}", any(tus::upload))
}

/// Runs to its end even if the client leaves, so that it can clean up.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Failure::hidden(Code::Internal, error)))
}

/// The host of the page that a request comes from.
fn source(headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(ORIGIN)?.to_str().ok()?;
    let host = origin.split_once("://")?.1;
    (host.len() <= 255).then(|| host.to_owned())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
