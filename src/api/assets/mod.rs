//! The Data API: what is known of assets, read, changed, searched, deleted.

mod data;
mod schemas;
mod search;
mod trash;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::page;
use crate::api::public::{Public, only, uncached};
use crate::failure::{Code, Failure};
use crate::metadata::Asset;
use crate::request::AssetId;
use crate::signature::Scope;

pub(super) use data::check_new;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/assets", get(list).fallback(async || only("GET, HEAD")))
        .merge(data::routes())
        .merge(schemas::routes())
        .merge(search::routes())
        .merge(trash::routes())
}

/// Where a list goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    cursor: Option<u64>,
    limit: Option<u32>,
}

async fn list(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let Place { cursor, limit } = page::query(request.uri())?;
    let page = public.catalog.assets_page(cursor, page::limit(limit)?).await?;
    let assets: Vec<Value> = page.assets.iter().map(Asset::json).collect();
    Ok(uncached(Json(json!({ "assets": assets, "cursor": page.next }))))
}

/// The id in a path; a text that is none names no asset.
fn asset_id(text: &str) -> Result<AssetId, Failure> {
    text.parse().map_err(|_| Failure::new(Code::NotFound, "there is no such asset"))
}
