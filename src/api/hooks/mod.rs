//! `/api/v1/hooks`: where events are posted to. A secret is shown once, when it is made.

mod deliveries;
mod settings;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::body;
use crate::api::moment;
use crate::api::page::Id;
use crate::api::public::{Public, now, only, uncached};
use crate::failure::{Code, Failure};
use crate::metadata::{EventKind, Hook, HookChange, NewHook};
use crate::setting::Secret;
use crate::signature::Scope;
use crate::webhook::SigningSecret;

/// An old secret counts so long after a rotation if nothing else is said, in seconds.
const OVERLAP: u64 = 24 * 60 * 60;

/// It counts no longer than this.
const MAX_OVERLAP: u64 = 30 * OVERLAP;

const MAX_NAME_BYTES: usize = 200;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/hooks", get(list).post(create).fallback(async || only("GET, POST")))
        .route(
            "/api/v1/hooks/{id}",
            get(show).patch(change).delete(remove).fallback(async || only("GET, PATCH, DELETE")),
        )
        .route("/api/v1/hooks/{id}/rotate", post(rotate).fallback(async || only("POST")))
        .route("/api/v1/hooks/{id}/test", post(test).fallback(async || only("POST")))
        .merge(deliveries::routes())
        .merge(settings::routes())
}

/// A new hook; what is left out is all events, no name, and a secret that is drawn.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    url: String,
    #[serde(default)]
    name: String,
    events: Option<Vec<String>>,
    secret: Option<Secret>,
}

/// What is to change; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    url: Option<String>,
    name: Option<String>,
    events: Option<Vec<String>>,
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    secret: Option<Secret>,
    overlap_seconds: Option<u64>,
}

async fn create(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let wish: Wish = body::object(&body::whole(request).await?)?;
    let secret = secret(wish.secret)?;
    let new = NewHook {
        url: url(&public, wish.url)?,
        name: name(wish.name)?,
        events: wish.events.map_or(Ok(EventKind::ALL.to_vec()), |events| kinds(&events))?,
        secret: secret.clone(),
    };
    let hook = public.catalog.create_hook(&new, now()).await?;
    tracing::info!(hook = hook.id, "hook made");
    Ok(uncached((StatusCode::CREATED, Json(with_secret(&hook, &secret)))))
}

async fn list(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let hooks: Vec<Value> = public.catalog.hooks().await?.iter().map(view).collect();
    Ok(uncached(Json(json!({ "hooks": hooks }))))
}

async fn show(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    Ok(uncached(Json(view(&public.catalog.hook(&id).await?))))
}

async fn change(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let Change { url: wanted, name: called, events, enabled } = body::object(&body::whole(request).await?)?;
    let change = HookChange {
        url: wanted.map(|text| url(&public, text)).transpose()?,
        name: called.map(name).transpose()?,
        events: events.map(|events| kinds(&events)).transpose()?,
        enabled,
    };
    Ok(uncached(Json(view(&public.catalog.change_hook(&id, &change).await?))))
}

async fn remove(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    public.catalog.delete_hook(&id).await?;
    tracing::info!(hook = id, "hook deleted");
    Ok(uncached(StatusCode::NO_CONTENT))
}

async fn rotate(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let body = body::whole(request).await?;
    let wish: Rotation = if body.is_empty() { Rotation::default() } else { body::object(&body)? };
    let overlap = wish.overlap_seconds.unwrap_or(OVERLAP);
    if overlap > MAX_OVERLAP {
        return Err(refused(format!("`overlap_seconds` is at most {MAX_OVERLAP}")));
    }
    let (secret, now) = (secret(wish.secret)?, now());
    let hook = public.catalog.rotate_hook_secret(&id, &secret, now + overlap, now).await?;
    tracing::info!(hook = id, "secret of the hook rotated");
    let mut view = with_secret(&hook, &secret);
    view["old_secrets_until"] = json!(moment::text(now + overlap));
    Ok(uncached(Json(view)))
}

/// Sends a message that tells of nothing, by the same way as all others.
async fn test(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let now = now();
    let message = json!({ "event": EventKind::HookTest.as_str(), "hook": id, "time": moment::text(now) });
    let (event, delivery) = public.catalog.test_hook(&id, message.to_string().as_bytes(), now).await?;
    Ok(uncached((StatusCode::ACCEPTED, Json(json!({ "event": event, "delivery": delivery })))))
}

/// A hook as everybody may see it.
fn view(hook: &Hook) -> Value {
    let events: Vec<&str> = hook.events.iter().map(|kind| kind.as_str()).collect();
    json!({
        "id": hook.id,
        "url": hook.url,
        "name": hook.name,
        "events": events,
        "enabled": hook.enabled,
        "disabled_because": hook.disabled_because.map(|why| why.as_str()),
        "failing_since": hook.failing_since.map(moment::text),
        "paused_until": (hook.paused_until > 0).then(|| moment::text(hook.paused_until)),
        "from_settings": hook.is_from_settings,
        "created_at": moment::text(hook.created_at),
    })
}

fn with_secret(hook: &Hook, secret: &Secret) -> Value {
    let mut view = view(hook);
    view["secret"] = json!(secret.expose());
    view
}

fn url(public: &Public, text: String) -> Result<String, Failure> {
    public.webhooks.check(&text).map_err(|why| refused(format!("`url` {why}")))?;
    Ok(text)
}

fn name(text: String) -> Result<String, Failure> {
    match text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control) {
        true => Ok(text),
        false => Err(refused(format!("`name` has at most {MAX_NAME_BYTES} bytes and no control characters"))),
    }
}

/// Each kind once, in their own order.
fn kinds(words: &[String]) -> Result<Vec<EventKind>, Failure> {
    let all = || EventKind::ALL.map(EventKind::as_str).join(", ");
    if let Some(unknown) = words.iter().find(|word| !EventKind::ALL.iter().any(|kind| kind.as_str() == *word))
    {
        return Err(refused(format!("`events` does not take {unknown:?}; there are {}", all())));
    }
    let wanted = |kind: &EventKind| words.iter().any(|word| kind.as_str() == word);
    let kinds: Vec<_> = EventKind::ALL.into_iter().filter(wanted).collect();
    if kinds.is_empty() {
        return Err(refused(format!("`events` must name at least one of {}", all())));
    }
    Ok(kinds)
}

/// The secret that was brought along, or a new one.
fn secret(brought: Option<Secret>) -> Result<Secret, Failure> {
    let secret = match brought {
        Some(text) => {
            SigningSecret::parse(text.expose()).map_err(|error| refused(format!("`secret` {error}")))
        }
        None => SigningSecret::draw().map_err(|error| Failure::hidden(Code::Internal, error)),
    };
    Ok(secret?.secret().clone())
}

fn refused(detail: String) -> Failure {
    Failure::new(Code::BadRequest, detail)
}
