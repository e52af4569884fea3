//! `POST /api/v1/assets/{id}/content/..`: another original, a conversion of one's own, and who sees them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Deserialize;

use crate::api::body;
use crate::api::public::{Public, now, refuse, uncached};
use crate::api::upload::form::Form;
use crate::api::upload::new::store;
use crate::api::upload::to_the_end;
use crate::failure::{Code, Failure};
use crate::metadata::{Asset, EventKind, PurgeMode, PurgeScope};
use crate::origin::{Bucket, ObjectKey};
use crate::request::AssetId;
use crate::signature::Scope;
use crate::upload::{Batch, Error, StoredFile, new_folder};

/// The longest name of a conversion.
const MOST_NAME_BYTES: usize = 30;

/// The contents of an asset that are meant: `original`, names of conversions, or `*`. No list is all of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Contents {
    keys: Option<Vec<String>>,
}

pub(super) async fn replace(
    State(public): State<Arc<Public>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answered(store_into(public, id, None, request).await)
}

pub(super) async fn add(
    State(public): State<Arc<Public>>,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    answered(store_into(public, id, Some(name), request).await)
}

pub(super) async fn remove_public_access(
    State(public): State<Arc<Public>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answered(hide(&public, &id, request).await)
}

fn answered(outcome: Result<Asset, Failure>) -> Response {
    match outcome {
        Ok(asset) => uncached(Json(asset.json())),
        Err(failure) => refuse(failure),
    }
}

/// Takes the one file of a form as the original of an asset, or as its conversion of this name.
async fn store_into(
    public: Arc<Public>,
    id: String,
    name: Option<String>,
    request: Request,
) -> Result<Asset, Failure> {
    let by = public.authorize(request.headers(), Scope::Write)?.id;
    if let Some(name) = &name {
        check_name(name)?;
    }
    let asset = existing(&public, &id).await?;
    let (head, body) = request.into_parts();
    let mut form = Form::new(&head.headers, body)?;
    to_the_end(async move {
        let mut batch = public.uploads.begin()?;
        let folder = match &name {
            Some(name) => new_folder(name)?,
            None => new_folder(&(asset.content + 1).to_string())?,
        };
        if let Err(failure) = only_file(&mut form, &mut batch, asset.id, &folder).await {
            batch.discard().await;
            return Err(failure);
        }
        let mut replaced = None;
        let event = if name.is_some() { EventKind::FileProcessed } else { EventKind::FileSaved };
        let change = |asset: &mut Asset, file: &StoredFile, bucket: &dyn Bucket| {
            asset.update_user_id = Some(by);
            replaced = match &name {
                Some(name) => put_conversion(asset, file, name, bucket),
                None => put_original(asset, file, bucket),
            };
            Ok::<_, Error>(())
        };
        let asset = batch.record_into(&asset.id, event, now(), change).await?;
        if let Some(key) = replaced {
            public.uploads.remove(&key).await;
        }
        forget_pictures(&public, &asset.id).await?;
        Ok(asset)
    })
    .await
}

async fn only_file(form: &mut Form, batch: &mut Batch, id: AssetId, folder: &str) -> Result<(), Failure> {
    while let Some(part) = form.next().await? {
        if part.file_name.is_none() {
            continue;
        }
        if !batch.files().is_empty() {
            return Err(Failure::new(Code::TooManyFiles, "send one file"));
        }
        store(form, part, |file| batch.store_for(id, folder, file)).await?;
    }
    match batch.files() {
        [] => Err(Failure::new(Code::NoFile, "send a file")),
        _ => Ok(()),
    }
}

/// Says which object was there before.
fn put_original(asset: &mut Asset, file: &StoredFile, bucket: &dyn Bucket) -> Option<ObjectKey> {
    let before = asset.key.take();
    file.become_content_of(asset, bucket);
    asset.name.clone_from(&file.name);
    asset.content += 1;
    before
}

fn put_conversion(
    asset: &mut Asset,
    file: &StoredFile,
    name: &str,
    bucket: &dyn Bucket,
) -> Option<ObjectKey> {
    let before = asset.conversion(name).and_then(|conversion| conversion.key.clone());
    asset.conversions.retain(|conversion| conversion.name != name);
    asset.conversions.push(file.conversion(name, bucket));
    before.and_then(|key| ObjectKey::new(key).ok())
}

async fn hide(public: &Public, id: &str, request: Request) -> Result<Asset, Failure> {
    let by = public.authorize(request.headers(), Scope::Write)?.id;
    let id = existing(public, id).await?.id;
    let body = body::whole(request).await?;
    let Contents { keys } = if body.is_empty() { Contents::default() } else { body::object(&body)? };
    let is_meant =
        |name: &str| keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == "*" || key == name));
    let change = |asset: &mut Asset| {
        let names = || asset.conversions.iter().map(|conversion| conversion.name.as_str());
        let is_known =
            |key: &&String| ["*", "original"].contains(&key.as_str()) || names().any(|name| name == *key);
        if let Some(unknown) = keys.iter().flatten().find(|key| !is_known(key)) {
            return Err(Failure::new(Code::BadRequest, format!("there is no content {unknown:?}")));
        }
        asset.update_user_id = Some(by);
        asset.public &= !is_meant("original");
        for conversion in &mut asset.conversions {
            conversion.public &= !is_meant(&conversion.name);
        }
        Ok(())
    };
    let asset = public.uploads.catalog.change_asset(&id, None, None, now(), change).await?;
    forget_pictures(public, &id).await?;
    Ok(asset)
}

/// Everything that was made of the asset before is another thing now.
async fn forget_pictures(public: &Public, id: &AssetId) -> Result<(), Failure> {
    public.purger.purge(&[PurgeScope::Asset(id.to_string())], PurgeMode::Gone).await?;
    Ok(())
}

async fn existing(public: &Public, id: &str) -> Result<Asset, Failure> {
    let none = || Failure::new(Code::NotFound, "there is no such asset");
    let id: AssetId = id.parse().map_err(|_| none())?;
    public.uploads.catalog.asset(&id).await?.filter(|asset| asset.deleted_at.is_none()).ok_or_else(none)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_name = (1..=MOST_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match is_name && name != "original" {
        true => Ok(()),
        false => Err(Failure::new(
            Code::BadRequest,
            "a conversion's name is 1 to 30 letters, digits, - or _, and not `original`",
        )),
    }
}
