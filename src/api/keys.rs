//! `/api/v1/keys`: keys are made, listed, rotated and revoked. A secret is shown once, when it is made.

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
use crate::metadata::{IssuedKey, Key, KeyKind, NewKey};
use crate::setting::Secret;
use crate::signature::{ApiKey, Scope, UploadLimits};

/// An old key lives on for so long after a rotation if nothing else is said, in seconds.
const OVERLAP: u64 = 24 * 60 * 60;

/// It lives no longer than this.
const MAX_OVERLAP: u64 = 30 * OVERLAP;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/keys", get(list).post(create).fallback(async || only("GET, HEAD, POST")))
        .route("/api/v1/keys/{id}", get(show).delete(revoke).fallback(async || only("GET, HEAD, DELETE")))
        .route("/api/v1/keys/{id}/rotate", post(rotate).fallback(async || only("POST")))
}

/// A new key; what is left out is as open as the kind of key allows, but for websites, which are none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    any_origin: bool,
    #[serde(default)]
    limits: UploadLimits,
    #[serde(default)]
    sha1: bool,
    /// ISO 8601.
    expires_at: Option<String>,
    /// An existing pair to bring along.
    id: Option<String>,
    secret: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    overlap_seconds: Option<u64>,
}

async fn create(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    let caller = public.authorize(request.headers(), Scope::Keys)?;
    let wish: Wish = body::object(&body::whole(request).await?)?;
    let now = now();
    let new = wish.new_key(now)?;
    may_grant(&caller, new.kind, &new.scopes)?;
    let issued = public.catalog.create_key(&new, now).await?;
    public.keys_have_changed(now).await?;
    tracing::info!(key = issued.id, kind = %issued.kind, by = caller.id, "key made");
    shown_once(&public, &issued).await
}

async fn list(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Keys)?;
    let now = now();
    let keys: Vec<Value> = public.catalog.keys().await?.iter().map(|key| view(key, now)).collect();
    Ok(uncached(Json(json!({ "keys": keys }))))
}

async fn show(State(public): State<Arc<Public>>, Id(id): Id, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Keys)?;
    Ok(uncached(Json(view(&public.catalog.key(&id).await?, now()))))
}

async fn revoke(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    let caller = public.authorize(request.headers(), Scope::Keys)?;
    let now = now();
    public.catalog.revoke_key(&id, now).await?;
    public.keys_have_changed(now).await?;
    tracing::info!(key = id, by = caller.id, "key revoked");
    Ok(uncached(StatusCode::NO_CONTENT))
}

/// A new key like an old one, which lives on for a while.
async fn rotate(
    State(public): State<Arc<Public>>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Failure> {
    let caller = public.authorize(request.headers(), Scope::Keys)?;
    let body = body::whole(request).await?;
    let wish: Rotation = if body.is_empty() { Rotation::default() } else { body::object(&body)? };
    let overlap = wish.overlap_seconds.unwrap_or(OVERLAP);
    if overlap > MAX_OVERLAP {
        return Err(Failure::new(Code::BadRequest, format!("`overlap_seconds` is at most {MAX_OVERLAP}")));
    }
    let now = now();
    let old = public.catalog.key(&id).await?;
    let ends = old.expires_at.map_or(now + overlap, |ends| ends.min(now + overlap));
    if old.revoked_at.is_some() || ends < now {
        return Err(Failure::new(Code::NotFound, format!("there is no active key {id}")));
    }
    may_grant(&caller, old.kind, &old.scopes)?;
    let Key { kind, name, scopes, origins, any_origin, limits, sha1, .. } = old;
    let like = NewKey { name, scopes, origins, any_origin, limits, sha1, ..NewKey::of(kind) };
    let issued = public.catalog.create_key(&like, now).await?;
    if overlap == 0 {
        public.catalog.revoke_key(&id, now).await?;
    } else if old.expires_at != Some(ends) {
        public.catalog.end_key(&id, ends).await?;
    }
    public.keys_have_changed(now).await?;
    tracing::info!(key = id, new = issued.id, by = caller.id, "key rotated");
    shown_once(&public, &issued).await
}

/// Nobody gives what he has not.
fn may_grant(caller: &ApiKey, kind: KeyKind, scopes: &[String]) -> Result<(), Failure> {
    let everything = ["*".to_owned()];
    let words = if scopes.is_empty() { &everything } else { scopes };
    let wanted: Vec<Scope> = match kind {
        KeyKind::Api => words.iter().flat_map(|word| Scope::of_word(word)).collect(),
        KeyKind::Upload => vec![Scope::Write],
        KeyKind::Signing => vec![Scope::Read],
    };
    match wanted.iter().find(|scope| !caller.scopes.contains(scope)) {
        None => Ok(()),
        Some(scope) => {
            let detail = format!("the API key lacks the scope `{}`, so it gives none away", scope.as_str());
            Err(Failure::new(Code::ScopeMissing, detail))
        }
    }
}

async fn shown_once(public: &Public, issued: &IssuedKey) -> Result<Response, Failure> {
    let mut shown = view(&public.catalog.key(&issued.id).await?, now());
    shown["secret"] = json!(issued.secret.expose());
    Ok(uncached((StatusCode::CREATED, Json(shown))))
}

fn view(key: &Key, now: u64) -> Value {
    let time = |seconds: Option<u64>| seconds.map(moment::text);
    let is_over = key.revoked_at.is_some() || key.expires_at.is_some_and(|ends| ends <= now);
    let mut view = json!({
        "id": key.id,
        "kind": key.kind.as_str(),
        "name": key.name,
        "active": !is_over,
        "created_at": moment::text(key.created_at),
        "expires_at": time(key.expires_at),
        "revoked_at": time(key.revoked_at),
        "last_used_at": time(key.last_used_at),
    });
    match key.kind {
        KeyKind::Api => view["scopes"] = json!(key.scopes),
        KeyKind::Upload => {
            view["origins"] = json!(key.origins);
            view["any_origin"] = json!(key.any_origin);
            view["limits"] = json!(key.limits);
        }
        KeyKind::Signing => view["sha1"] = json!(key.sha1),
    }
    view
}

impl Wish {
    fn new_key(self, now: u64) -> Result<NewKey, Failure> {
        let Self { kind, name, scopes, origins, any_origin, limits, sha1, expires_at, id, secret } = self;
        let refused = |detail: &str| Failure::new(Code::BadRequest, detail);
        let kind = kind.parse().map_err(|_| refused("`kind` must be api, upload or signing"))?;
        let expires_at = expires_at.map(|text| moment::parse("expires_at", &text)).transpose()?;
        if expires_at.is_some_and(|ends| ends <= now) {
            return Err(refused("`expires_at` must lie in the future"));
        }
        if id.is_some() != secret.is_some() {
            return Err(refused("`id` and `secret` come together"));
        }
        if any_origin && !origins.is_empty() {
            return Err(refused("give either `origins` or `any_origin`"));
        }
        Ok(NewKey { kind, name, scopes, origins, any_origin, limits, sha1, expires_at, pair: id.zip(secret) })
    }
}
