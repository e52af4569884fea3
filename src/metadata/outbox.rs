//! The outbox: what has happened is written in the transaction that made it happen, so no event is lost and
//! none is told of what was not.

use crate::metadata::db::{Tx, on};
use crate::metadata::key::{HEX, draw};
use crate::metadata::{Error, EventKind};
use crate::request::AssetId;

/// Records an event, to be told with exactly these bytes. It counts once `tx` is committed.
pub(crate) async fn record(
    tx: &mut Tx,
    kind: EventKind,
    asset: &AssetId,
    version: u64,
    body: &[u8],
    now: u64,
) -> Result<(), Error> {
    let insert = "INSERT INTO events (id, kind, asset_id, asset_version, body, created_at)
                  VALUES ($1, $2, $3, $4, $5, $6)";
    let id = format!("evt_{}", draw(HEX, 32)?);
    on!(tx.connection(), connection => sqlx::query(insert)
        .bind(id)
        .bind(kind.as_str())
        .bind(asset.to_string())
        .bind(version.cast_signed())
        .bind(body)
        .bind(now.cast_signed())
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}
