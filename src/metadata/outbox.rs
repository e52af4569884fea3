//! The outbox: an event and its deliveries are written in the transaction of the change that they tell
//! of, so none is lost and none is about something that did not happen.

use crate::metadata::db::{Tx, on};
use crate::metadata::key::{HEX, draw};
use crate::metadata::{Catalog, Error, Event, EventKind};
use crate::request::AssetId;

/// Records an event with the bytes that will be posted, and a delivery for each hook that wants it now.
pub(crate) async fn record(
    tx: &mut Tx,
    kind: EventKind,
    asset: &AssetId,
    version: u64,
    body: &[u8],
    now: u64,
) -> Result<(), Error> {
    let (_, seq) = insert(tx, kind, Some((asset, version)), body, now).await?;
    // The quotes belong to the JSON: no kind is found within another.
    let wanted = "INSERT INTO deliveries (event_seq, hook_id, state, due_at)
                  SELECT $1, id, 'pending', $2 FROM hooks WHERE enabled AND events LIKE '%\"' || $3 || '\"%'";
    on!(tx.connection(), connection => sqlx::query(wanted)
        .bind(seq)
        .bind(now.cast_signed())
        .bind(kind.as_str())
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}

/// Records an event alone; its id and its place.
pub(super) async fn insert(
    tx: &mut Tx,
    kind: EventKind,
    asset: Option<(&AssetId, u64)>,
    body: &[u8],
    now: u64,
) -> Result<(String, i64), Error> {
    let id = format!("evt_{}", draw(HEX, 32)?);
    let insert = "INSERT INTO events (id, kind, asset_id, asset_version, body, created_at)
                  VALUES ($1, $2, $3, $4, $5, $6) RETURNING seq";
    let seq = on!(tx.connection(), connection => sqlx::query_scalar(insert)
        .bind(&id)
        .bind(kind.as_str())
        .bind(asset.map(|(id, _)| id.to_string()))
        .bind(asset.map_or(0, |(_, version)| version.cast_signed()))
        .bind(body)
        .bind(now.cast_signed())
        .fetch_one(connection)
        .await)?;
    Ok((id, seq))
}

impl Catalog {
    /// Events newest first: of one kind if given, below this place, at most `limit`.
    ///
    /// # Errors
    /// That of the database.
    pub async fn events(
        &self,
        kind: Option<EventKind>,
        asset: Option<&AssetId>,
        below: u64,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let all = "SELECT * FROM events WHERE ($1 IS NULL OR kind = $1) AND seq < $3 AND $2 IS NULL
                   ORDER BY seq DESC LIMIT $4";
        let of_asset = "SELECT * FROM events WHERE asset_id = $2 AND ($1 IS NULL OR kind = $1) AND seq < $3
                        ORDER BY seq DESC LIMIT $4";
        let query = if asset.is_some() { of_asset } else { all };
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(kind.map(EventKind::as_str))
            .bind(asset.map(AssetId::to_string))
            .bind(i64::try_from(below).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(Row::event).collect()
    }

    /// One event.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn event(&self, id: &str) -> Result<Event, Error> {
        let query = "SELECT * FROM events WHERE id = $1";
        let row: Option<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(id)
            .fetch_optional(pool)
            .await)?;
        row.ok_or(Error::NoSuch("event"))?.event()
    }

    /// Forgets some events from before `time` (Unix seconds), with their deliveries; how many.
    ///
    /// # Errors
    /// That of the database.
    pub async fn forget_events(&self, time: u64, limit: u32) -> Result<u64, Error> {
        let delete = "DELETE FROM events WHERE seq IN
                      (SELECT seq FROM events WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
        Ok(on!(self.db.writer(), pool => sqlx::query(delete)
            .bind(time.cast_signed())
            .bind(i64::from(limit))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    id: String,
    kind: String,
    asset_id: Option<String>,
    asset_version: i64,
    body: Vec<u8>,
    created_at: i64,
}

impl Row {
    fn event(self) -> Result<Event, Error> {
        let asset = self.asset_id.map(|id| id.parse());
        Ok(Event {
            seq: self.seq.cast_unsigned(),
            id: self.id,
            kind: self.kind.parse()?,
            asset: asset.transpose().map_err(|_| Error::Damaged("an event's asset id".to_owned()))?,
            asset_version: self.asset_version.cast_unsigned(),
            body: self.body,
            created_at: self.created_at.cast_unsigned(),
        })
    }
}
