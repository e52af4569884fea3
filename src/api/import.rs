//! `POST /api/v1/assets/new/content/original/external`: an asset from a URL, as a job.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::assets;
use crate::api::body;
use crate::api::public::{Public, now, only, uncached};
use crate::failure::{Code, Failure};
use crate::job::{Import, Place};
use crate::metadata::{Asset, AssetStatus};
use crate::signature::Scope;
use crate::upload;
use crate::upload::{check_name, new_asset_id};

pub(super) fn routes() -> Router<Arc<Public>> {
    let path = "/api/v1/assets/new/content/original/external";
    Router::new().route(path, post(import).fallback(async || only("POST")))
}

/// Whence a file is to come; without a name it has the last part of the path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    key: String,
    name: Option<String>,
    custom_metadata: Option<CustomMetadata>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CustomMetadata {
    data: Map<String, Value>,
    data_schema_id: i64,
}

async fn import(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    let api_key = public.authorize(request.headers(), Scope::Write)?;
    let Wish { key, name, custom_metadata } = body::object(&body::whole(request).await?)?;
    let refused = |what: &str, why: &dyn ToString| {
        Failure::new(Code::BadRequest, format!("`{what}` {}", why.to_string()))
    };
    let Some(bucket) = &public.uploads.bucket else { return Err(upload::Error::NoBucket.into()) };
    let from = Place::read(&key, &public.imports, bucket.name()).map_err(|why| refused("key", &why))?;
    let name = name.unwrap_or_else(|| last_part(&key));
    check_name(&name)?;
    let now = now();
    let mut asset = Asset::new(new_asset_id()?, &name, now);
    asset.status = AssetStatus::NotReady;
    asset.public = true;
    asset.upload_source = from.host();
    asset.creator_id = Some(api_key.id.clone());
    asset.update_user_id = Some(api_key.id);
    let CustomMetadata { data, data_schema_id } = custom_metadata.unwrap_or_default();
    assets::check_new(&public, &data, data_schema_id).await?;
    (asset.data, asset.data_schema_id) = (data, data_schema_id);
    let job = public.catalog.create_job_of(&asset, &Import::job(asset.id, from, name), now).await?;
    tracing::info!(asset = %asset.id, job, "an import was asked for");
    let answer = json!({
        "id": asset.id.to_string(),
        "status": "QUEUED",
        "message": "the file is fetched in the background",
        "job": job,
    });
    Ok(uncached((StatusCode::ACCEPTED, Json(answer))))
}

/// The last part of a path, as people read it, where it can be a name.
fn last_part(text: &str) -> String {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = path.split_once('/').and_then(|(_, path)| path.rsplit('/').find(|part| !part.is_empty()));
    let name = percent_decode_str(last.unwrap_or_default()).decode_utf8_lossy().into_owned();
    if check_name(&name).is_ok() { name } else { "file".to_owned() }
}
