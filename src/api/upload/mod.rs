//! Files are handed over: new assets, another original, a conversion of one's own.

mod content;
mod form;
mod new;
mod tus;
mod tus_headers;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, any, post as on_post};
use futures::Future;
use http::HeaderMap;
use http::header::ORIGIN;

use crate::api::assets;
use crate::api::public::{Public, Uploader, only};
use crate::api::upload::new::CustomMetadata;
use crate::failure::{Code, Failure};
use crate::signature::UploadLimits;
use crate::upload::About;

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

/// Who uploads, and within which limits.
fn uploader(public: &Public, headers: &HeaderMap) -> Result<(About, UploadLimits), Failure> {
    let (id, limits) = match public.authorize_upload(headers)? {
        Uploader::Api(key) => (key.id, UploadLimits::default()),
        Uploader::Page(key) => (key.id, key.limits),
    };
    Ok((About { creator_id: Some(id), source: source(headers), ..About::default() }, limits))
}

/// What a client says about its files, held to the rules that all data is held to.
async fn say(public: &Public, custom: CustomMetadata, about: &mut About) -> Result<(), Failure> {
    let CustomMetadata { data, data_schema_id } = custom;
    assets::check_new(public, &data, data_schema_id).await?;
    (about.data, about.data_schema_id) = (data, data_schema_id);
    Ok(())
}

/// The host of the page that a request comes from.
fn source(headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(ORIGIN)?.to_str().ok()?;
    let host = origin.split_once("://")?.1;
    (host.len() <= 255).then(|| host.to_owned())
}
