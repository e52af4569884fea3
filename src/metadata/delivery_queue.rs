//! The queue of deliveries: taken under a lease by whichever process comes first, and given back with
//! what came of the attempt. Both happen in one transaction, so a turn costs one sync of the disk.

use std::sync::Arc;

use crate::metadata::db::{Either, Tx, on};
use crate::metadata::hook;
use crate::metadata::{Catalog, Disabled, Error, Hook};

/// A delivery that this process may attempt until its lease ends.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Its id.
    pub id: u64,
    /// Proves the lease when the attempt is settled.
    pub fence: u64,
    /// Attempts since it was recorded or last replayed, this one included.
    pub attempts: u64,
    /// The event.
    pub event: String,
    /// What is posted.
    pub body: Vec<u8>,
    /// Where to, as the hook was when the lease began.
    pub hook: Arc<Hook>,
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The delivery.
    pub id: u64,
    /// That of its lease.
    pub fence: u64,
    /// The hook.
    pub hook: String,
    /// When it ended, Unix seconds.
    pub at: u64,
    /// How long it took.
    pub milliseconds: u64,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<&'static str>,
    /// What is not for strangers.
    pub detail: Option<String>,
    /// The beginning of the answer's body.
    pub response: Vec<u8>,
    /// What becomes of the delivery.
    pub next: Next,
    /// What becomes of the hook.
    pub effect: HookEffect,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The receiver has it.
    Done,
    /// It is attempted again.
    Retry {
        /// Unix seconds.
        due_at: u64,
    },
    /// It is not attempted again by itself.
    Dead,
}

impl Next {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry { .. } => "retry",
            Self::Dead => "dead",
        }
    }
}

/// What becomes of a hook after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEffect {
    /// It works.
    Works,
    /// It does not.
    Fails,
    /// It does not, and wants to be left alone.
    Pauses {
        /// Unix seconds.
        until: u64,
    },
    /// Its receiver has said that it is gone: disabled.
    Gone,
    /// It has not worked for too long: disabled.
    Lost,
}

/// How much may be taken.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Attempts to one hook at the same time, over all processes.
    pub per_hook: u32,
    /// How long an attempt can take at most, in seconds, with time to spare.
    pub seconds: u64,
}

/// The text as it is, and with the locks for PostgreSQL, where processes pass by what another holds.
macro_rules! passing_by {
    ($text:literal, $locks:literal) => {
        [$text, concat!($text, " ", $locks, " SKIP LOCKED")]
    };
}

/// Hooks that have something to send now.
const READY: [&str; 2] = passing_by!(
    "SELECT h.* FROM hooks h WHERE h.enabled AND h.paused_until <= $1 AND EXISTS
         (SELECT 1 FROM deliveries d WHERE d.hook_id = h.id AND d.state = 'pending' AND d.due_at <= $1)
     ORDER BY h.id",
    "FOR NO KEY UPDATE OF h"
);

/// Leases whose holder has died or hangs.
const OVERDUE: [&str; 2] =
    passing_by!("SELECT id FROM deliveries WHERE state = 'leased' AND lease_until <= $1", "FOR UPDATE");

impl Catalog {
    /// Whether a turn would find anything to take at `now` (Unix seconds).
    ///
    /// # Errors
    /// That of the database.
    pub async fn has_due_deliveries(&self, now: u64) -> Result<bool, Error> {
        let query = "SELECT EXISTS (SELECT 1 FROM hooks h WHERE h.enabled AND h.paused_until <= $1 AND EXISTS
            (SELECT 1 FROM deliveries d WHERE d.hook_id = h.id AND
             ((d.state = 'pending' AND d.due_at <= $1) OR (d.state = 'leased' AND d.lease_until <= $1))))";
        Ok(on!(self.db.reader(), pool => sqlx::query_scalar(query)
            .bind(now.cast_signed())
            .fetch_one(pool)
            .await)?)
    }

    /// Records what came of attempts, and takes what is due at `now` (Unix seconds), oldest first.
    ///
    /// Nothing that one hook does holds another up: each has its own places.
    ///
    /// # Errors
    /// That of the database; nothing is recorded or taken then.
    pub async fn turn_deliveries(
        &self,
        settled: &[Settled],
        lease: Lease,
        now: u64,
    ) -> Result<Vec<Leased>, Error> {
        let mut tx = self.db.begin().await?;
        for attempt in settled {
            settle(&mut tx, attempt).await?;
        }
        // In one order everywhere, so that two processes never wait for each other.
        let mut by_hook: Vec<&Settled> = settled.iter().collect();
        by_hook.sort_by_key(|attempt| &attempt.hook);
        for attempt in by_hook {
            affect(&mut tx, attempt).await?;
        }
        give_up_overdue(&mut tx, now).await?;
        let mut leased = Vec::new();
        for hook in ready(&mut tx, now).await? {
            leased.extend(take(&mut tx, hook, lease, now).await?);
        }
        tx.commit().await?;
        Ok(leased)
    }
}

async fn settle(tx: &mut Tx, attempt: &Settled) -> Result<(), Error> {
    let (id, fence) = (attempt.id.cast_signed(), attempt.fence.cast_signed());
    let (state, due_at) = match attempt.next {
        Next::Done => ("done", None),
        Next::Retry { due_at } => ("pending", Some(due_at.cast_signed())),
        Next::Dead => ("dead", None),
    };
    let status = attempt.status.map(i64::from);
    // Whoever has lost the lease only tells what it saw.
    let update = "UPDATE deliveries SET state = $3, due_at = coalesce($4, due_at), lease_until = NULL,
                  last_status = $5, last_error = $6 WHERE id = $1 AND fence = $2 AND state = 'leased'";
    on!(tx.connection(), connection => sqlx::query(update)
        .bind(id)
        .bind(fence)
        .bind(state)
        .bind(due_at)
        .bind(status)
        .bind(attempt.error)
        .execute(connection)
        .await
        .map(drop))?;
    // The hook may have been deleted meanwhile, and its deliveries with it.
    let log = "INSERT INTO delivery_attempts (delivery_id, fence, attempted_at, ms, status, error, detail, response)
               SELECT id, $2, $3, $4, $5, $6, $7, $8 FROM deliveries WHERE id = $1
               ON CONFLICT (delivery_id, fence) DO NOTHING";
    on!(tx.connection(), connection => sqlx::query(log)
        .bind(id)
        .bind(fence)
        .bind(attempt.at.cast_signed())
        .bind(attempt.milliseconds.cast_signed())
        .bind(status)
        .bind(attempt.error)
        .bind(attempt.detail.as_deref())
        .bind(attempt.response.as_slice())
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}

async fn affect(tx: &mut Tx, attempt: &Settled) -> Result<(), Error> {
    let (until, disabled) = match attempt.effect {
        HookEffect::Works | HookEffect::Fails => (0, None),
        HookEffect::Pauses { until } => (until, None),
        HookEffect::Gone => (0, Some(Disabled::Gone)),
        HookEffect::Lost => (0, Some(Disabled::Failing)),
    };
    // One that works is mostly not known otherwise; one is not lost if something has worked meanwhile.
    let update = "UPDATE hooks SET
            failing_since = CASE WHEN $3 THEN NULL ELSE coalesce(failing_since, $2) END,
            paused_until = CASE WHEN paused_until < $4 THEN $4 ELSE paused_until END,
            enabled = enabled AND $5 IS NULL,
            disabled_because = coalesce($5, disabled_because)
        WHERE id = $1 AND (failing_since IS NOT NULL OR NOT $3 AND ($5 IS NULL OR $5 <> 'failing'))";
    on!(tx.connection(), connection => sqlx::query(update)
        .bind(&attempt.hook)
        .bind(attempt.at.cast_signed())
        .bind(attempt.effect == HookEffect::Works)
        .bind(until.cast_signed())
        .bind(disabled.map(Disabled::as_str))
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}

async fn give_up_overdue(tx: &mut Tx, now: u64) -> Result<(), Error> {
    let query = spelt(tx, OVERDUE);
    let overdue: Vec<i64> = on!(tx.connection(), connection => sqlx::query_scalar(query)
        .bind(now.cast_signed())
        .fetch_all(connection)
        .await)?;
    for id in overdue {
        let update = "UPDATE deliveries SET state = 'pending', lease_until = NULL WHERE id = $1";
        on!(tx.connection(), connection => sqlx::query(update).bind(id).execute(connection).await.map(drop))?;
    }
    Ok(())
}

async fn ready(tx: &mut Tx, now: u64) -> Result<Vec<Hook>, Error> {
    let query = spelt(tx, READY);
    let rows: Vec<hook::Row> = on!(tx.connection(), connection => sqlx::query_as(query)
        .bind(now.cast_signed())
        .fetch_all(connection)
        .await)?;
    rows.into_iter().map(hook::Row::hook).collect()
}

async fn take(tx: &mut Tx, hook: Hook, lease: Lease, now: u64) -> Result<Vec<Leased>, Error> {
    // Whoever holds the hook's row is alone with its deliveries, and counts them now.
    let update = "UPDATE deliveries SET state = 'leased', attempts = attempts + 1, fence = fence + 1, lease_until = $3
        WHERE id IN (SELECT id FROM deliveries WHERE hook_id = $1 AND state = 'pending' AND due_at <= $2
            ORDER BY due_at, id LIMIT (SELECT CASE WHEN count(*) < $4 THEN $4 - count(*) ELSE 0 END
                                       FROM deliveries WHERE hook_id = $1 AND state = 'leased'))
        RETURNING id, fence, attempts,
            (SELECT e.id FROM events e WHERE e.seq = deliveries.event_seq) AS event_id,
            (SELECT e.body FROM events e WHERE e.seq = deliveries.event_seq) AS body";
    let mut rows: Vec<Row> = on!(tx.connection(), connection => sqlx::query_as(update)
        .bind(&hook.id)
        .bind(now.cast_signed())
        .bind((now + lease.seconds).cast_signed())
        .bind(i64::from(lease.per_hook))
        .fetch_all(connection)
        .await)?;
    rows.sort_by_key(|row| row.id);
    let hook = Arc::new(hook);
    let leased = |row: Row| Leased {
        id: row.id.cast_unsigned(),
        fence: row.fence.cast_unsigned(),
        attempts: row.attempts.cast_unsigned(),
        event: row.event_id,
        body: row.body,
        hook: Arc::clone(&hook),
    };
    Ok(rows.into_iter().map(leased).collect())
}

fn spelt(tx: &mut Tx, [plain, locking]: [&'static str; 2]) -> &'static str {
    match tx.connection() {
        Either::Sqlite(_) => plain,
        Either::Postgres(_) => locking,
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    fence: i64,
    attempts: i64,
    event_id: String,
    body: Vec<u8>,
}
