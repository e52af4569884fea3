//! `/api/v1/assetschemas`: what the data of assets has to look like.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::assets::Place;
use crate::api::page::Id;
use crate::api::public::{Public, now, only, uncached};
use crate::api::{body, moment, page};
use crate::failure::{Code, Failure};
use crate::metadata::{AssetSchema, JsonSchema};
use crate::signature::Scope;

const MAX_NAMES: usize = 100;
const MAX_NAME_BYTES: usize = 200;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/assetschemas", get(list).post(create).fallback(async || only("GET, HEAD, POST")))
        .route(
            "/api/v1/assetschemas/{id}",
            get(show).patch(change).fallback(async || only("GET, HEAD, PATCH")),
        )
}

/// A new schema; it is active unless it says otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: Map<String, Value>,
    #[serde(default)]
    status: Status,
    schema: Value,
}

/// What is to change; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: Option<Map<String, Value>>,
    status: Option<Status>,
    schema: Option<Value>,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    #[default]
    Active,
    Inactive,
}

async fn list(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let Place { cursor, limit } = page::query(request.uri())?;
    let limit = page::limit(limit)?;
    let after = i64::try_from(cursor.unwrap_or(0)).unwrap_or(i64::MAX);
    let schemas = public.catalog.schemas(after, limit).await?;
    let cursor = page::next(&schemas, limit, |schema| schema.id.cast_unsigned());
    let schemas: Vec<Value> = schemas.iter().map(view).collect();
    Ok(uncached(Json(json!({ "schemas": schemas, "cursor": cursor }))))
}

async fn create(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let wish: Wish = body::object(&body::whole(request).await?)?;
    let schema = AssetSchema {
        id: 0,
        name: named(wish.name)?,
        is_active: wish.status == Status::Active,
        schema: JsonSchema::new(wish.schema)?,
        created_at: 0,
        updated_at: 0,
    };
    let made = public.catalog.create_schema(schema, now()).await?;
    Ok(uncached((StatusCode::CREATED, Json(view(&made)))))
}

async fn show(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    Ok(uncached(Json(view(&public.catalog.schema(number(&id)?).await?))))
}

async fn change(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let Change { name, status, schema } = body::object(&body::whole(request).await?)?;
    let before = public.catalog.schema(number(&id)?).await?;
    let after = AssetSchema {
        name: name.map_or(Ok(before.name), named)?,
        is_active: status.map_or(before.is_active, |status| status == Status::Active),
        schema: schema.map_or(Ok(before.schema), JsonSchema::new)?,
        ..before
    };
    Ok(uncached(Json(view(&public.catalog.replace_schema(after, now()).await?))))
}

fn view(schema: &AssetSchema) -> Value {
    json!({
        "id": schema.id,
        "name": schema.name,
        "status": schema.status(),
        "schema": schema.schema.value(),
        "created_at": moment::text(schema.created_at),
        "updated_at": moment::text(schema.updated_at),
    })
}

fn number(id: &str) -> Result<i64, Failure> {
    id.parse().map_err(|_| Failure::new(Code::NotFound, "there is no such data schema"))
}

/// Names by language, at least one.
fn named(names: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    let is_name =
        |text: &str| !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control);
    let holds = (1..=MAX_NAMES).contains(&names.len())
        && names.iter().all(|(language, name)| is_name(language) && name.as_str().is_some_and(is_name));
    match holds {
        true => Ok(names),
        false => {
            let detail = format!(
                "`name` must be names by language, such as {{\"en\": \"Photo\"}}, of 1 to {MAX_NAME_BYTES} bytes"
            );
            Err(Failure::new(Code::BadRequest, detail))
        }
    }
}
