//! `/api/v1/jobs`: how far work is that outlives a request, and its end by wish.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::moment;
use crate::api::page;
use crate::api::page::Id;
use crate::api::public::{Public, now, only, uncached};
use crate::failure::{Code, Failure};
use crate::metadata::{Job, JobState};
use crate::signature::Scope;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/jobs", get(list).fallback(async || only("GET")))
        .route("/api/v1/jobs/{id}", get(show).fallback(async || only("GET")))
        .route("/api/v1/jobs/{id}/cancel", post(cancel).fallback(async || only("POST")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    state: Option<String>,
    kind: Option<String>,
    cursor: Option<u64>,
    limit: Option<u32>,
}

async fn list(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let wanted: Wanted = page::query(request.uri())?;
    let state = wanted.state.map(|word| word.parse::<JobState>()).transpose().map_err(|_| {
        Failure::new(Code::BadRequest, "`state` is one of queued, running, done, failed, cancelled")
    })?;
    let limit = page::limit(wanted.limit)?;
    let below = wanted.cursor.unwrap_or(u64::MAX);
    let jobs = public.catalog.jobs(state, wanted.kind.as_deref(), below, limit).await?;
    let cursor = page::next(&jobs, limit, |job| job.seq);
    let jobs: Vec<Value> = jobs.iter().map(view).collect();
    Ok(uncached(Json(json!({ "jobs": jobs, "cursor": cursor }))))
}

async fn show(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    Ok(uncached(Json(view(&public.catalog.job(&id).await?))))
}

async fn cancel(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let job = public.catalog.cancel_job(&id, now()).await?;
    tracing::info!(job = id, "the end of a job was asked for");
    Ok(uncached((StatusCode::ACCEPTED, Json(view(&job)))))
}

fn view(job: &Job) -> Value {
    json!({
        "id": job.id,
        "kind": job.kind,
        "asset": job.asset.map(|id| id.to_string()),
        "state": job.state.as_str(),
        "is_cancelled": job.is_cancelled,
        "attempts": job.attempts,
        "done": job.progress.done,
        "total": job.progress.total,
        "error": job.error,
        "detail": job.detail,
        "due_at": moment::text(job.due_at),
        "created_at": moment::text(job.created_at),
        "updated_at": moment::text(job.updated_at),
    })
}
