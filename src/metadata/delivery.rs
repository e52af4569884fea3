//! Deliveries: an event on its way to a hook, its attempts, and its replay.

use std::str::FromStr;

use crate::metadata::db::on;
use crate::metadata::{Catalog, Error, EventKind, outbox};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its time.
    Pending,
    /// An attempt is under way.
    Leased,
    /// The receiver has it.
    Done,
    /// No attempt is left: kept, and replayable.
    Dead,
}

/// A delivery as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the order of recording; a page ends with one.
    pub id: u64,
    /// The event: the `webhook-id`.
    pub event: String,
    /// What has happened.
    pub kind: EventKind,
    /// To which asset; none for a test.
    pub asset: Option<String>,
    /// The hook.
    pub hook: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts since it was recorded or last replayed.
    pub attempts: u64,
    /// Unix seconds: when the next attempt is, or when the last was to be.
    pub due_at: u64,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// Why there was none: `refused`, `timed_out`, `unreachable`.
    pub last_error: Option<String>,
    /// When the event was recorded, Unix seconds.
    pub created_at: u64,
}

/// One attempt, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastAttempt {
    /// When it ended, Unix seconds.
    pub at: u64,
    /// How long it took.
    pub milliseconds: u64,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// The first 1 KiB of the answer's body.
    pub response: Vec<u8>,
}

impl DeliveryState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

impl FromStr for DeliveryState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Pending, Self::Leased, Self::Done, Self::Dead]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| Error::Damaged(format!("unknown state of a delivery {text:?}")))
    }
}

/// A delivery with what it tells of its event.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, e.id AS event_id, e.kind, e.asset_id, d.hook_id, d.state, d.attempts, d.due_at,
                    d.last_status, d.last_error, e.created_at
             FROM deliveries d JOIN events e ON e.seq = d.event_seq ",
            $rest
        )
    };
}

/// A delivery that no attempt is under way for goes back to its beginning.
macro_rules! replay {
    ($which:literal) => {
        concat!(
            "UPDATE deliveries SET state = 'pending', attempts = 0, due_at = $1, lease_until = NULL
             WHERE state <> 'leased' AND ",
            $which
        )
    };
}

impl Catalog {
    /// Deliveries newest first: in this state and to this hook if given, below this id, at most `limit`.
    ///
    /// # Errors
    /// That of the database.
    pub async fn deliveries(
        &self,
        state: Option<DeliveryState>,
        hook: Option<&str>,
        below: u64,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        // Each has an index that it reads from the end.
        let query = match (state, hook) {
            (None, None) => {
                select!("WHERE d.id < $3 AND $1 IS NULL AND $2 IS NULL ORDER BY d.id DESC LIMIT $4")
            }
            (Some(_), None) => {
                select!("WHERE d.state = $1 AND $2 IS NULL AND d.id < $3 ORDER BY d.id DESC LIMIT $4")
            }
            (_, Some(_)) => select!(
                "WHERE d.hook_id = $2 AND ($1 IS NULL OR d.state = $1) AND d.id < $3 ORDER BY d.id DESC LIMIT $4"
            ),
        };
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(state.map(DeliveryState::as_str))
            .bind(hook)
            .bind(i64::try_from(below).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(Row::delivery).collect()
    }

    /// One delivery and its attempts, oldest first.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn delivery(&self, id: u64) -> Result<(Delivery, Vec<PastAttempt>), Error> {
        let id = i64::try_from(id).map_err(|_| Error::NoSuch("delivery"))?;
        let row: Option<Row> = on!(self.db.reader(), pool => sqlx::query_as(select!("WHERE d.id = $1"))
            .bind(id)
            .fetch_optional(pool)
            .await)?;
        let delivery = row.ok_or(Error::NoSuch("delivery"))?.delivery()?;
        let query = "SELECT * FROM delivery_attempts WHERE delivery_id = $1 ORDER BY fence";
        let attempts: Vec<AttemptRow> =
            on!(self.db.reader(), pool => sqlx::query_as(query).bind(id).fetch_all(pool).await)?;
        Ok((delivery, attempts.into_iter().map(AttemptRow::attempt).collect()))
    }

    /// Lets one delivery begin again at `now` (Unix seconds), whatever became of it.
    ///
    /// # Errors
    /// [`Error::NoSuch`], also while an attempt is under way; or that of the database.
    pub async fn replay_delivery(&self, id: u64, now: u64) -> Result<(), Error> {
        let id = i64::try_from(id).map_err(|_| Error::NoSuch("delivery"))?;
        let mut tx = self.db.begin().await?;
        let replayed = on!(tx.connection(), connection => sqlx::query(replay!("id = $2"))
            .bind(now.cast_signed())
            .bind(id)
            .execute(connection)
            .await
            .map(|done| done.rows_affected()))?;
        tx.commit().await?;
        if replayed == 0 { Err(Error::NoSuch("delivery that waits or has ended")) } else { Ok(()) }
    }

    /// Lets dead deliveries begin again at `now` (Unix seconds), to one hook or to all; how many.
    ///
    /// # Errors
    /// That of the database.
    pub async fn replay_dead(&self, hook: Option<&str>, now: u64) -> Result<u64, Error> {
        let mut tx = self.db.begin().await?;
        let update = replay!("state = 'dead' AND ($2 IS NULL OR hook_id = $2)");
        let replayed = on!(tx.connection(), connection => sqlx::query(update)
            .bind(now.cast_signed())
            .bind(hook)
            .execute(connection)
            .await
            .map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(replayed)
    }

    /// Delivers to a hook, at `now`, all events that it wants and that were recorded in a span of time
    /// (Unix seconds, the end left out), whether it has had them or not; how many.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn replay_span(&self, hook: &str, span: std::ops::Range<u64>, now: u64) -> Result<u64, Error> {
        self.hook(hook).await?;
        let mut tx = self.db.begin().await?;
        let insert = "INSERT INTO deliveries (event_seq, hook_id, state, due_at)
            SELECT e.seq, h.id, 'pending', $1 FROM events e JOIN hooks h ON h.id = $2
            WHERE e.created_at >= $3 AND e.created_at < $4 AND h.events LIKE '%\"' || e.kind || '\"%'
            ON CONFLICT (event_seq, hook_id) DO UPDATE
            SET state = 'pending', attempts = 0, due_at = excluded.due_at, lease_until = NULL
            WHERE deliveries.state <> 'leased'";
        let replayed = on!(tx.connection(), connection => sqlx::query(insert)
            .bind(now.cast_signed())
            .bind(hook)
            .bind(i64::try_from(span.start).unwrap_or(i64::MAX))
            .bind(i64::try_from(span.end).unwrap_or(i64::MAX))
            .execute(connection)
            .await
            .map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(replayed)
    }

    /// Records an event for one hook alone, to try it; its id and that of its delivery.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn test_hook(&self, hook: &str, body: &[u8], now: u64) -> Result<(String, u64), Error> {
        self.hook(hook).await?;
        let mut tx = self.db.begin().await?;
        let (event, seq) = outbox::insert(&mut tx, EventKind::HookTest, None, body, now).await?;
        let insert = "INSERT INTO deliveries (event_seq, hook_id, state, due_at)
                      VALUES ($1, $2, 'pending', $3) RETURNING id";
        let id: i64 = on!(tx.connection(), connection => sqlx::query_scalar(insert)
            .bind(seq)
            .bind(hook)
            .bind(now.cast_signed())
            .fetch_one(connection)
            .await)?;
        tx.commit().await?;
        Ok((event, id.cast_unsigned()))
    }
}

fn status(number: Option<i64>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    event_id: String,
    kind: String,
    asset_id: Option<String>,
    hook_id: String,
    state: String,
    attempts: i64,
    due_at: i64,
    last_status: Option<i64>,
    last_error: Option<String>,
    created_at: i64,
}

impl Row {
    fn delivery(self) -> Result<Delivery, Error> {
        Ok(Delivery {
            id: self.id.cast_unsigned(),
            event: self.event_id,
            kind: self.kind.parse()?,
            asset: self.asset_id,
            hook: self.hook_id,
            state: self.state.parse()?,
            attempts: self.attempts.cast_unsigned(),
            due_at: self.due_at.cast_unsigned(),
            last_status: status(self.last_status),
            last_error: self.last_error,
            created_at: self.created_at.cast_unsigned(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    attempted_at: i64,
    ms: i64,
    status: Option<i64>,
    error: Option<String>,
    response: Vec<u8>,
}

impl AttemptRow {
    fn attempt(self) -> PastAttempt {
        PastAttempt {
            at: self.attempted_at.cast_unsigned(),
            milliseconds: self.ms.cast_unsigned(),
            status: status(self.status),
            error: self.error,
            response: self.response,
        }
    }
}
