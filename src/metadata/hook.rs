//! Hooks: where events are posted to, and what is known of how that goes.

use serde::{Deserialize, Serialize};

use crate::metadata::db::{Tx, on};
use crate::metadata::key::{HEX, draw};
use crate::metadata::{Catalog, Error, EventKind};
use crate::setting::Secret;

/// So many hooks there may be: each costs a question at every look for work.
pub const MAX_HOOKS: i64 = 100;

/// So many secrets count at the same time; each makes the signature longer.
const MAX_SECRETS: usize = 3;

/// Where events are posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// `hook_` and 32 hex digits.
    pub id: String,
    /// The address.
    pub url: String,
    /// For people; may be empty.
    pub name: String,
    /// What it wants to hear of.
    pub events: Vec<EventKind>,
    /// What its messages are signed with, newest first.
    pub secrets: Vec<HookSecret>,
    /// Whether it came by the older settings form, which replaces all such hooks at once.
    pub is_from_settings: bool,
    /// A hook that is not gets no new events, and what waits for it goes on waiting.
    pub enabled: bool,
    /// Why it was disabled, unless somebody wanted it so.
    pub disabled_because: Option<Disabled>,
    /// Since when (Unix seconds) there have been nothing but failures.
    pub failing_since: Option<u64>,
    /// Nothing is sent before this time (Unix seconds), because its receiver has asked for rest.
    pub paused_until: u64,
    /// Unix seconds.
    pub created_at: u64,
}

/// A secret that the receiver knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSecret {
    /// `whsec_` and base64.
    pub secret: Secret,
    /// Unix seconds; the newest has no end.
    pub until: Option<u64>,
}

/// Why a hook was disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disabled {
    /// Its receiver has said that it is gone.
    Gone,
    /// Nothing has worked for too long.
    Failing,
}

/// What is wanted of a new hook.
#[derive(Debug, Clone)]
pub struct NewHook {
    /// The address.
    pub url: String,
    /// For people.
    pub name: String,
    /// What it wants to hear of.
    pub events: Vec<EventKind>,
    /// What its messages are signed with.
    pub secret: Secret,
}

/// What is to change; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct HookChange {
    /// The address.
    pub url: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// What it wants to hear of.
    pub events: Option<Vec<EventKind>>,
    /// Turning it on forgets why it was off.
    pub enabled: Option<bool>,
}

impl Hook {
    /// The secrets that count at `now` (Unix seconds), newest first.
    pub fn secrets_at(&self, now: u64) -> Vec<Secret> {
        let counts = |secret: &&HookSecret| secret.until.is_none_or(|until| now < until);
        self.secrets.iter().filter(counts).map(|secret| secret.secret.clone()).collect()
    }
}

impl Disabled {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

impl Catalog {
    /// Makes a hook, which hears of what happens from `now` (Unix seconds) on.
    ///
    /// # Errors
    /// [`Error::TooManyHooks`], or that of the database.
    pub async fn create_hook(&self, wish: &NewHook, now: u64) -> Result<Hook, Error> {
        let mut tx = self.db.begin().await?;
        let hook = insert(&mut tx, wish, false, now).await?;
        tx.commit().await?;
        Ok(hook)
    }

    /// Every hook, oldest first.
    ///
    /// # Errors
    /// That of the database.
    pub async fn hooks(&self) -> Result<Vec<Hook>, Error> {
        let query = "SELECT * FROM hooks ORDER BY created_at, id";
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query).fetch_all(pool).await)?;
        rows.into_iter().map(Row::hook).collect()
    }

    /// One hook.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn hook(&self, id: &str) -> Result<Hook, Error> {
        let query = "SELECT * FROM hooks WHERE id = $1";
        let row: Option<Row> =
            on!(self.db.reader(), pool => sqlx::query_as(query).bind(id).fetch_optional(pool).await)?;
        row.ok_or(Error::NoSuch("hook"))?.hook()
    }

    /// Changes a hook and returns it as it is then.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn change_hook(&self, id: &str, change: &HookChange) -> Result<Hook, Error> {
        let mut tx = self.db.begin().await?;
        let hook = apply(&mut tx, id, change).await?;
        tx.commit().await?;
        Ok(hook)
    }

    /// Signs with a new secret from `now` on; the old ones count until then too, if they did so long.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn rotate_hook_secret(
        &self,
        id: &str,
        secret: &Secret,
        old_until: u64,
        now: u64,
    ) -> Result<Hook, Error> {
        let mut tx = self.db.begin().await?;
        let mut hook = locked(&mut tx, id).await?;
        hook.secrets.retain(|old| old.until.is_none_or(|until| now < until));
        for old in &mut hook.secrets {
            old.until = Some(old.until.unwrap_or(u64::MAX).min(old_until));
        }
        hook.secrets.insert(0, HookSecret { secret: secret.clone(), until: None });
        hook.secrets.truncate(MAX_SECRETS);
        let update = "UPDATE hooks SET secrets = $2 WHERE id = $1";
        on!(tx.connection(), connection => sqlx::query(update)
            .bind(id)
            .bind(secrets_text(&hook.secrets))
            .execute(connection)
            .await
            .map(drop))?;
        tx.commit().await?;
        Ok(hook)
    }

    /// Forgets a hook and its deliveries.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn delete_hook(&self, id: &str) -> Result<(), Error> {
        let delete = "DELETE FROM hooks WHERE id = $1";
        let deleted = on!(self.db.writer(), pool => sqlx::query(delete)
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        if deleted == 0 { Err(Error::NoSuch("hook")) } else { Ok(()) }
    }

    /// Replaces all hooks of the older settings form: those that have one of these URLs stay, with their
    /// secrets and what waits for them.
    ///
    /// # Errors
    /// [`Error::TooManyHooks`], or that of the database.
    pub async fn set_hooks_of_settings(&self, wishes: &[NewHook], now: u64) -> Result<Vec<Hook>, Error> {
        let mut tx = self.db.begin().await?;
        let query = "SELECT * FROM hooks WHERE is_from_settings";
        let old: Vec<Row> =
            on!(tx.connection(), connection => sqlx::query_as(query).fetch_all(connection).await)?;
        let mut hooks = Vec::new();
        for wish in wishes {
            hooks.push(match old.iter().find(|old| old.url == wish.url) {
                Some(old) => {
                    let events = Some(wish.events.clone());
                    let change = HookChange { events, enabled: Some(true), ..HookChange::default() };
                    apply(&mut tx, &old.id, &change).await?
                }
                None => insert(&mut tx, wish, true, now).await?,
            });
        }
        for old in old.iter().filter(|old| !wishes.iter().any(|wish| wish.url == old.url)) {
            let delete = "DELETE FROM hooks WHERE id = $1";
            on!(tx.connection(), connection => sqlx::query(delete)
                .bind(&old.id)
                .execute(connection)
                .await
                .map(drop))?;
        }
        tx.commit().await?;
        Ok(hooks)
    }
}

async fn insert(tx: &mut Tx, wish: &NewHook, is_from_settings: bool, now: u64) -> Result<Hook, Error> {
    let count = "SELECT count(*) FROM hooks";
    let count: i64 =
        on!(tx.connection(), connection => sqlx::query_scalar(count).fetch_one(connection).await)?;
    if count >= MAX_HOOKS {
        return Err(Error::TooManyHooks);
    }
    let secrets = [HookSecret { secret: wish.secret.clone(), until: None }];
    let insert = "INSERT INTO hooks (id, url, name, events, secrets, is_from_settings, enabled, created_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *";
    let row: Row = on!(tx.connection(), connection => sqlx::query_as(insert)
        .bind(format!("hook_{}", draw(HEX, 32)?))
        .bind(&wish.url)
        .bind(&wish.name)
        .bind(events_text(&wish.events))
        .bind(secrets_text(&secrets))
        .bind(is_from_settings)
        .bind(true)
        .bind(now.cast_signed())
        .fetch_one(connection)
        .await)?;
    row.hook()
}

async fn apply(tx: &mut Tx, id: &str, change: &HookChange) -> Result<Hook, Error> {
    let old = locked(tx, id).await?;
    let events = change.events.as_ref().unwrap_or(&old.events);
    let is_turned_on = change.enabled == Some(true);
    let update = "UPDATE hooks SET url = $2, name = $3, events = $4, enabled = $5,
                  disabled_because = CASE WHEN $6 THEN NULL ELSE disabled_because END,
                  failing_since = CASE WHEN $6 THEN NULL ELSE failing_since END,
                  paused_until = CASE WHEN $6 THEN 0 ELSE paused_until END
                  WHERE id = $1 RETURNING *";
    let row: Row = on!(tx.connection(), connection => sqlx::query_as(update)
        .bind(id)
        .bind(change.url.as_ref().unwrap_or(&old.url))
        .bind(change.name.as_ref().unwrap_or(&old.name))
        .bind(events_text(events))
        .bind(change.enabled.unwrap_or(old.enabled))
        .bind(is_turned_on)
        .fetch_one(connection)
        .await)?;
    row.hook()
}

/// A hook that nobody else changes until the commit.
async fn locked(tx: &mut Tx, id: &str) -> Result<Hook, Error> {
    let query = "UPDATE hooks SET id = id WHERE id = $1 RETURNING *";
    let row: Option<Row> = on!(tx.connection(), connection => sqlx::query_as(query)
        .bind(id)
        .fetch_optional(connection)
        .await)?;
    row.ok_or(Error::NoSuch("hook"))?.hook()
}

fn events_text(events: &[EventKind]) -> String {
    let words: Vec<&str> = events.iter().map(|kind| kind.as_str()).collect();
    serde_json::to_string(&words).unwrap_or_default()
}

/// A secret as it is written.
#[derive(Serialize, Deserialize)]
struct SecretText<'a> {
    secret: std::borrow::Cow<'a, str>,
    until: Option<u64>,
}

fn secrets_text(secrets: &[HookSecret]) -> String {
    let texts = secrets
        .iter()
        .map(|secret| SecretText { secret: secret.secret.expose().into(), until: secret.until });
    serde_json::to_string(&texts.collect::<Vec<_>>()).unwrap_or_default()
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    url: String,
    name: String,
    events: String,
    secrets: String,
    is_from_settings: bool,
    enabled: bool,
    disabled_because: Option<String>,
    failing_since: Option<i64>,
    paused_until: i64,
    created_at: i64,
}

impl Row {
    pub(super) fn hook(self) -> Result<Hook, Error> {
        let damaged = |what: &str| Error::Damaged(format!("{what} of hook {}", self.id));
        let events: Vec<String> = serde_json::from_str(&self.events).map_err(|_| damaged("events"))?;
        let secrets: Vec<SecretText<'_>> =
            serde_json::from_str(&self.secrets).map_err(|_| damaged("secrets"))?;
        let secret =
            |text: SecretText<'_>| HookSecret { secret: Secret::new(text.secret), until: text.until };
        let disabled_because = match self.disabled_because.as_deref() {
            Some("gone") => Some(Disabled::Gone),
            Some("failing") => Some(Disabled::Failing),
            Some(_) => return Err(damaged("disabled_because")),
            None => None,
        };
        Ok(Hook {
            events: events.iter().map(|kind| kind.parse()).collect::<Result<_, _>>()?,
            secrets: secrets.into_iter().map(secret).collect(),
            disabled_because,
            failing_since: self.failing_since.map(i64::cast_unsigned),
            paused_until: self.paused_until.cast_unsigned(),
            created_at: self.created_at.cast_unsigned(),
            is_from_settings: self.is_from_settings,
            enabled: self.enabled,
            id: self.id,
            url: self.url,
            name: self.name,
        })
    }
}
