//! `/api/v1/assets/{id}/data`: what is known of an asset, and what its owner says about it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::assets::asset_id;
use crate::api::page::Id;
use crate::api::public::{Public, now, only, uncached};
use crate::api::{body, page};
use crate::failure::{Code, Failure};
use crate::headers::conditional::{EntityTag, Validators};
use crate::metadata::{Asset, DataUpdate, Error, EventKind, JsonSchema, check_data};
use crate::signature::Scope;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/assets/{id}/data", get(show).fallback(async || only("GET, HEAD")))
        .route("/api/v1/assets/{id}/data/update", post(update).fallback(async || only("POST")))
}

/// The body of an update.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    data: Map<String, Value>,
    #[serde(default)]
    mode: Mode,
    data_schema_id: Option<i64>,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    #[default]
    Append,
    Replace,
}

/// The query of an update.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manner {
    /// 1: the data is taken even if it does not fit its schema; then it is not found by its fields.
    r#async: Option<u8>,
}

async fn show(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let asset = existing(&public, &id).await?;
    let held = request.headers().get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
    let validators = Validators { etag: tag(asset.version), ..Validators::default() };
    match validators.is_not_modified(held, None) {
        true => Ok(versioned(&asset, StatusCode::NOT_MODIFIED)),
        false => Ok(versioned(&asset, (CONTENT_TYPE_JSON, asset.body()))),
    }
}

async fn update(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    let by = public.authorize(request.headers(), Scope::Write)?.id;
    let Manner { r#async } = page::query(request.uri())?;
    let is_async = match r#async {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(Failure::new(Code::BadRequest, "`async` is 0 or 1")),
    };
    let headers = request.headers().clone();
    let Wish { data, mode, data_schema_id } = body::object(&body::whole(request).await?)?;
    let before = existing(&public, &id).await?;
    let schema_id = data_schema_id.unwrap_or(before.data_schema_id);
    let schema = schema(&public, schema_id, before.data_schema_id).await?;
    let wish = DataUpdate { data, is_whole: mode == Mode::Replace, schema_id: Some(schema_id) };
    let change = |asset: &mut Asset| -> Result<(), Failure> {
        meets(&headers, asset.version)?;
        asset.update_data(wish, public.max_data_bytes)?;
        asset.update_user_id = Some(by);
        match schema.filter(|_| !is_async) {
            Some(schema) => Ok(schema.validate(&asset.data)?),
            None => Ok(()),
        }
    };
    let event = Some(EventKind::FileDataUpdated);
    let asset = public.catalog.change_asset(&before.id, None, event, now(), change).await?;
    let status = if is_async { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(versioned(&asset, (status, CONTENT_TYPE_JSON, asset.body())))
}

/// The asset of this id, which must not lie in the trash.
async fn existing(public: &Public, id: &str) -> Result<Asset, Failure> {
    let id = asset_id(id)?;
    match public.catalog.asset(&id).await?.ok_or(Error::NoSuchAsset(id))? {
        Asset { deleted_at: Some(_), .. } => Err(Error::AssetDeleted(id).into()),
        asset => Ok(asset),
    }
}

/// Whether this may be the data of a new asset: within the limits, and as its schema has it.
pub(in crate::api) async fn check_new(
    public: &Public,
    data: &Map<String, Value>,
    schema_id: i64,
) -> Result<(), Failure> {
    check_data(data, public.max_data_bytes)?;
    match schema(public, schema_id, 0).await? {
        Some(schema) => Ok(schema.validate(data)?),
        None => Ok(()),
    }
}

/// The schema that data is to be held to. One that is no longer active serves those who have it.
async fn schema(public: &Public, id: i64, own: i64) -> Result<Option<JsonSchema>, Failure> {
    let unusable = |why: &str| Failure::new(Code::InvalidData, format!("the data schema {id} {why}"));
    if id == 0 {
        return Ok(None);
    }
    match public.catalog.schema(id).await {
        Ok(schema) if schema.is_active || own == id => Ok(Some(schema.schema)),
        Ok(_) => Err(unusable("is not active")),
        Err(Error::NoSuch(_)) => Err(unusable("does not exist")),
        Err(error) => Err(error.into()),
    }
}

const CONTENT_TYPE_JSON: [(http::HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];

/// An answer that a client may keep if it asks each time whether it still holds.
fn versioned(asset: &Asset, answer: impl IntoResponse) -> Response {
    let mut response = uncached(answer);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", asset.version)) {
        headers.insert(ETAG, tag);
    }
    response
}

fn tag(version: u64) -> Option<EntityTag> {
    EntityTag::strong(&version.to_string())
}

/// `If-Match`, RFC 9110 section 13.1.1: whoever has read an older version does not write.
fn meets(headers: &HeaderMap, version: u64) -> Result<(), Error> {
    let own = tag(version);
    let matches = |listed: &[u8]| {
        listed == b"*"
            || EntityTag::parse(listed).zip(own.as_ref()).is_some_and(|(tag, own)| tag.matches_strongly(own))
    };
    let mut lines = headers.get_all(IF_MATCH).iter().peekable();
    // No tag of ours has a comma.
    let is_met = lines.peek().is_none()
        || lines.any(|line| {
            line.as_bytes().split(|byte| *byte == b',').any(|listed| matches(listed.trim_ascii()))
        });
    if is_met { Ok(()) } else { Err(Error::Conflict { version }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_13_1_1_a_write_asks_for_the_version_that_was_read() {
        for (lines, is_met) in [
            (&[][..], true),
            (&["\"7\""], true),
            (&["*"], true),
            (&["\"6\", \"7\""], true),
            (&["\"6\"", "\"7\""], true),
            (&["\"6\""], false),
            (&["W/\"7\""], false),
            (&["7"], false),
            (&[""], false),
            (&["\"77\""], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_MATCH, HeaderValue::from_static(line));
            }
            assert_eq!(meets(&headers, 7).is_ok(), is_met, "{lines:?}");
        }
    }
}
