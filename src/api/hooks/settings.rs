//! `PATCH /api/v1/user/settings/update?update_key=webhook`: the older form, at most three URLs in one
//! text. It replaces the hooks that came by it, and no others; URLs that stay keep their secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::patch;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::body;
use crate::api::hooks::{refused, secret, url, view, with_secret};
use crate::api::page;
use crate::api::public::{Public, now, only, uncached};
use crate::failure::Failure;
use crate::metadata::{EventKind, NewHook};
use crate::signature::Scope;

const MAX_URLS: usize = 3;

/// The one thing that can be set so.
const WEBHOOK: &str = "webhook";

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new().route("/api/v1/user/settings/update", patch(update).fallback(async || only("PATCH")))
}

#[derive(Deserialize)]
struct Which {
    update_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    key: String,
    value: Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// With commas between them; none removes all.
    web_urls: String,
    /// Events that are not named are not wanted; without any list, all are.
    callback_events: Option<BTreeMap<String, bool>>,
}

async fn update(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Write)?;
    let Which { update_key } = page::query(request.uri())?;
    let Update { key, value } = body::object(&body::whole(request).await?)?;
    if update_key != WEBHOOK || key != WEBHOOK {
        return Err(refused("`update_key` and `key` must be `webhook`".to_owned()));
    }
    let events = events(value.callback_events)?;
    let mut wishes = Vec::new();
    for text in urls(&value.web_urls)? {
        let url = url(&public, text.to_owned())?;
        wishes.push(NewHook { url, name: String::new(), events: events.clone(), secret: secret(None)? });
    }
    let hooks = public.catalog.set_hooks_of_settings(&wishes, now()).await?;
    let shown = hooks.iter().zip(&wishes).map(|(hook, wish)| {
        let is_new = hook.secrets.iter().any(|secret| secret.secret == wish.secret);
        if is_new { with_secret(hook, &wish.secret) } else { view(hook) }
    });
    let web_urls: Vec<&str> = wishes.iter().map(|wish| wish.url.as_str()).collect();
    let callback_events: BTreeMap<&str, bool> =
        EventKind::ALL.into_iter().map(|kind| (kind.as_str(), events.contains(&kind))).collect();
    Ok(uncached(Json(json!({
        "success": true,
        "key": WEBHOOK,
        "value": { "web_urls": web_urls.join(", "), "callback_events": callback_events },
        "hooks": shown.collect::<Vec<Value>>(),
    }))))
}

/// Each once.
fn urls(text: &str) -> Result<Vec<&str>, Failure> {
    let mut urls: Vec<&str> = Vec::new();
    for url in text.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    match urls.len() <= MAX_URLS {
        true => Ok(urls),
        false => Err(refused(format!("`web_urls` takes at most {MAX_URLS}; more are made by /api/v1/hooks"))),
    }
}

fn events(wanted: Option<BTreeMap<String, bool>>) -> Result<Vec<EventKind>, Failure> {
    let Some(wanted) = wanted else { return Ok(EventKind::ALL.to_vec()) };
    if let Some(unknown) =
        wanted.keys().find(|word| !EventKind::ALL.iter().any(|kind| kind.as_str() == *word))
    {
        let all = EventKind::ALL.map(EventKind::as_str).join(", ");
        return Err(refused(format!("`callback_events` does not take {unknown:?}; there are {all}")));
    }
    let is_wanted = |kind: &EventKind| wanted.get(kind.as_str()) == Some(&true);
    Ok(EventKind::ALL.into_iter().filter(is_wanted).collect())
}
