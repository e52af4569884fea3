//! `/api/v1/events` and `/api/v1/deliveries`: what has happened, what became of it, and once more.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::body;
use crate::api::hooks::refused;
use crate::api::moment;
use crate::api::page;
use crate::api::page::Id;
use crate::api::public::{Public, now, only, uncached};
use crate::failure::Failure;
use crate::metadata::{Delivery, DeliveryState, Event, PastAttempt};
use crate::signature::Scope;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/events", get(events).fallback(async || only("GET")))
        .route("/api/v1/events/{id}", get(event).fallback(async || only("GET")))
        .route("/api/v1/deliveries", get(deliveries).fallback(async || only("GET")))
        .route("/api/v1/deliveries/replay", post(replay_dead).fallback(async || only("POST")))
        .route("/api/v1/deliveries/{id}", get(delivery).fallback(async || only("GET")))
        .route("/api/v1/deliveries/{id}/replay", post(replay_one).fallback(async || only("POST")))
        .route("/api/v1/hooks/{id}/replay", post(replay_span).fallback(async || only("POST")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsWanted {
    event: Option<String>,
    asset: Option<String>,
    cursor: Option<u64>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliveriesWanted {
    state: Option<String>,
    hook: Option<String>,
    cursor: Option<u64>,
    limit: Option<u32>,
}

/// A span of time; its end is left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    since: String,
    until: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Dead {
    hook: Option<String>,
}

async fn events(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let wanted: EventsWanted = page::query(request.uri())?;
    let kind =
        wanted.event.map(|word| word.parse().map_err(|_| refused(format!("there is no event {word:?}"))));
    let asset = wanted.asset.map(|id| id.parse()).transpose();
    let asset = asset.map_err(|error| refused(format!("`asset`: {error}")))?;
    let limit = page::limit(wanted.limit)?;
    let below = wanted.cursor.unwrap_or(u64::MAX);
    let events = public.catalog.events(kind.transpose()?, asset.as_ref(), below, limit).await?;
    let cursor = page::next(&events, limit, |event| event.seq);
    let events: Vec<Value> = events.iter().map(event_view).collect();
    Ok(uncached(Json(json!({ "events": events, "cursor": cursor }))))
}

async fn event(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let event = public.catalog.event(&id).await?;
    let mut view = event_view(&event);
    view["body"] = serde_json::from_slice(&event.body).unwrap_or(Value::Null);
    Ok(uncached(Json(view)))
}

async fn deliveries(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let wanted: DeliveriesWanted = page::query(request.uri())?;
    let state = wanted.state.map(|word| {
        let states = "`state` is one of pending, leased, done, dead";
        word.parse::<DeliveryState>().map_err(|_| refused(states.to_owned()))
    });
    let limit = page::limit(wanted.limit)?;
    let below = wanted.cursor.unwrap_or(u64::MAX);
    let hook = wanted.hook.as_deref();
    let deliveries = public.catalog.deliveries(state.transpose()?, hook, below, limit).await?;
    let cursor = page::next(&deliveries, limit, |delivery| delivery.id);
    let deliveries: Vec<Value> = deliveries.iter().map(delivery_view).collect();
    Ok(uncached(Json(json!({ "deliveries": deliveries, "cursor": cursor }))))
}

async fn delivery(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let (delivery, attempts) = public.catalog.delivery(number(&id)).await?;
    let mut view = delivery_view(&delivery);
    view["log"] = attempts.iter().map(attempt_view).collect();
    Ok(uncached(Json(view)))
}

async fn replay_one(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    public.catalog.replay_delivery(number(&id), now()).await?;
    Ok(replayed(1))
}

async fn replay_dead(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let body = body::whole(request).await?;
    let wish: Dead = if body.is_empty() { Dead::default() } else { body::object(&body)? };
    if let Some(hook) = &wish.hook {
        public.catalog.hook(hook).await?;
    }
    Ok(replayed(public.catalog.replay_dead(wish.hook.as_deref(), now()).await?))
}

async fn replay_span(
    State(public): State<Arc<Public>>,
    Id(hook): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let span: Span = body::object(&body::whole(request).await?)?;
    let now = now();
    let since = moment::parse("since", &span.since)?;
    // An event of this very second belongs to it.
    let until = span.until.map_or(Ok(now + 1), |text| moment::parse("until", &text))?;
    if until <= since {
        return Err(refused("`until` must lie after `since`".to_owned()));
    }
    Ok(replayed(public.catalog.replay_span(&hook, since..until, now).await?))
}

fn replayed(count: u64) -> Response {
    uncached((StatusCode::ACCEPTED, Json(json!({ "replayed": count }))))
}

/// A text that is no number names no delivery.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}

fn event_view(event: &Event) -> Value {
    json!({
        "id": event.id,
        "event": event.kind.as_str(),
        "asset": event.asset.map(|id| id.to_string()),
        "asset_version": event.asset_version,
        "created_at": moment::text(event.created_at),
    })
}

fn delivery_view(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id,
        "event_id": delivery.event,
        "event": delivery.kind.as_str(),
        "asset": delivery.asset,
        "hook": delivery.hook,
        "state": delivery.state.as_str(),
        "attempts": delivery.attempts,
        "due_at": moment::text(delivery.due_at),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "created_at": moment::text(delivery.created_at),
    })
}

fn attempt_view(attempt: &PastAttempt) -> Value {
    json!({
        "at": moment::text(attempt.at),
        "milliseconds": attempt.milliseconds,
        "status": attempt.status,
        "error": attempt.error,
        "response": String::from_utf8_lossy(&attempt.response),
    })
}
