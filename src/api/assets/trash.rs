//! `DELETE /api/v1/assets/{id}`, `undelete` and `purge`: into the trash, back, and for good.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::api::assets::asset_id;
use crate::api::body;
use crate::api::page::Id;
use crate::api::public::{Public, now, only, uncached};
use crate::failure::{Code, Failure};
use crate::metadata::{PurgeMode, PurgeScope};
use crate::origin::ObjectKey;
use crate::request::AssetId;
use crate::signature::Scope;

const MAX_KEYS: usize = 100;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/assets/{id}", delete(remove).fallback(async || only("DELETE")))
        .route("/api/v1/assets/{id}/undelete", post(undelete).fallback(async || only("POST")))
        .route("/api/v1/assets/{id}/purge", post(purge).fallback(async || only("POST")))
}

/// What to delete: the whole asset, or conversions of it by their names.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    keys: Vec<String>,
}

/// What has become of it.
#[derive(Serialize)]
struct Done {
    id: String,
    keys: Vec<String>,
    /// `OK`, or `MAYBE` if some of it could not be done.
    status: &'static str,
    message: &'static str,
    errors: BTreeMap<String, &'static str>,
}

async fn remove(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    let by = public.authorize(request.headers(), Scope::Write)?.id;
    let id = asset_id(&id)?;
    let body = body::whole(request).await?;
    let Wish { keys } = if body.is_empty() { Wish::default() } else { body::object(&body)? };
    if keys.len() > MAX_KEYS {
        return Err(Failure::new(Code::BadRequest, format!("at most {MAX_KEYS} keys")));
    }
    if !keys.is_empty() && !keys.iter().any(|key| key == "original" || key == "*") {
        return to_the_end(async move { remove_conversions(&public, id, keys, &by).await }).await;
    }
    to_the_end(async move {
        let asset = public.catalog.delete_asset(&id, Some(&by), now()).await?;
        Ok(done(&id, asset.contents(), "deleted"))
    })
    .await
}

async fn undelete(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    let by = public.authorize(request.headers(), Scope::Write)?.id;
    let id = asset_id(&id)?;
    to_the_end(async move {
        let asset = public.catalog.undelete_asset(&id, Some(&by), now()).await?;
        Ok(done(&id, asset.contents(), "undeleted"))
    })
    .await
}

async fn purge(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let id = asset_id(&id)?;
    to_the_end(async move {
        let asset = public.catalog.purge_asset(&id, now()).await?;
        let conversions = asset.conversions.iter().filter_map(|one| one.key.clone());
        let objects = asset.key.iter().map(|key| key.as_str().to_owned()).chain(conversions).collect();
        forget_objects(&public, objects, vec![PurgeScope::Asset(id.to_string())]).await?;
        Ok(done(&id, asset.contents(), "purged"))
    })
    .await
}

async fn remove_conversions(
    public: &Public,
    id: AssetId,
    keys: Vec<String>,
    by: &str,
) -> Result<Response, Failure> {
    let removed = public.catalog.remove_conversions(&id, &keys, Some(by), now()).await?;
    if removed.is_empty() {
        return Err(Failure::new(Code::NotFound, "the asset has none of these conversions"));
    }
    let objects = removed.iter().filter_map(|one| one.key.clone()).collect();
    forget_objects(public, objects, Vec::new()).await?;
    let names: Vec<String> = removed.into_iter().map(|one| one.name).collect();
    let missing = keys.into_iter().filter(|key| !names.contains(key));
    let errors: BTreeMap<_, _> = missing.map(|key| (key, "there is no such conversion")).collect();
    let status = if errors.is_empty() { "OK" } else { "MAYBE" };
    Ok(uncached(Json(Done { id: id.to_string(), keys: names, status, message: "deleted", errors })))
}

/// Removes what was made of these objects from the cache, and those that were uploaded from the bucket.
async fn forget_objects(
    public: &Public,
    objects: Vec<String>,
    mut scopes: Vec<PurgeScope>,
) -> Result<(), Failure> {
    let keys: Vec<ObjectKey> = objects.into_iter().filter_map(|key| ObjectKey::new(key).ok()).collect();
    scopes.extend(keys.iter().map(|key| PurgeScope::Key(key.as_str().to_owned())));
    if !scopes.is_empty() {
        public.purger.purge(&scopes, PurgeMode::Gone).await?;
    }
    for key in &keys {
        public.uploads.remove(key).await;
    }
    Ok(())
}

/// Runs to its end even if the client leaves: what has changed is told to all who have to know.
async fn to_the_end(
    work: impl Future<Output = Result<Response, Failure>> + Send + 'static,
) -> Result<Response, Failure> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Failure::hidden(Code::Internal, error)))
}

fn done(id: &AssetId, keys: Vec<String>, message: &'static str) -> Response {
    uncached(Json(Done { id: id.to_string(), keys, status: "OK", message, errors: BTreeMap::new() }))
}
