//! Assets in SQL. Every change raises the version and is told to the outbox in its own transaction.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::metadata::db::{Tx, on};
use crate::metadata::outbox;
use crate::metadata::search;
use crate::metadata::{Asset, Catalog, Error, EventKind};
use crate::origin::ObjectKey;
use crate::request::AssetId;

/// The columns that are written, and a place for each; `$1` is the id.
macro_rules! columns {
    () => {
        "id, status, name, name_lower, size, md5, sha256, content_type, declared_type, provider, storage_type,
         bucket, object_key, public, creator_id, upload_source, upload_time, update_user_id, update_time,
         data_schema_id, metadata, data, conversions, version, content, deleted_at"
    };
}
macro_rules! places {
    () => {
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
         $23, $24, $25, $26"
    };
}

const INSERT: &str = concat!("INSERT INTO assets (", columns!(), ") VALUES (", places!(), ") RETURNING seq");
const UPDATE: &str =
    concat!("UPDATE assets SET (", columns!(), ") = (", places!(), ") WHERE id = $1 RETURNING seq");

/// Assets from the newest on, and where the next page begins.
#[derive(Debug)]
pub struct Page {
    /// At most as many as were asked for.
    pub assets: Vec<Asset>,
    /// Where the next page begins; there is none if it is missing.
    pub next: Option<u64>,
}

impl Catalog {
    /// Records new assets, each with its event: all of them or none. Their versions are 1 then.
    ///
    /// # Errors
    /// That of the database, also for an id that is taken.
    pub async fn insert_assets(&self, assets: &[Asset], event: EventKind, now: u64) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        for asset in assets {
            insert(&mut tx, asset, Some(event), now).await?;
        }
        self.commit_change(tx, assets.iter().map(|asset| &asset.id)).await
    }

    /// The asset of this id, also one in the trash.
    ///
    /// # Errors
    /// That of the database.
    pub async fn asset(&self, id: &AssetId) -> Result<Option<Asset>, Error> {
        let query = "SELECT * FROM assets WHERE id = $1";
        let row: Option<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(id.to_string())
            .fetch_optional(pool)
            .await)?;
        row.map(Row::asset).transpose()
    }

    /// Reads an asset, changes it, and writes it with the next version and its event: as one step, whoever else
    /// does so. What `change` refuses has not happened. Gives the asset as it is then.
    ///
    /// # Errors
    /// [`Error::NoSuchAsset`], [`Error::AssetDeleted`], [`Error::Conflict`] if a version was expected and it is
    /// another one, that of `change`, or that of the database.
    pub async fn change_asset<E: From<Error>>(
        &self,
        id: &AssetId,
        expected: Option<u64>,
        event: Option<EventKind>,
        now: u64,
        change: impl FnOnce(&mut Asset) -> Result<(), E>,
    ) -> Result<Asset, E> {
        let mut tx = self.db.begin().await?;
        let asset = change_in(&mut tx, id, expected, event, now, change).await?;
        self.commit_change(tx, [id]).await?;
        Ok(asset)
    }

    /// The assets that came before the one that `cursor` names, the newest first; none in the trash.
    ///
    /// # Errors
    /// That of the database.
    pub async fn assets_page(&self, cursor: Option<u64>, limit: u32) -> Result<Page, Error> {
        let query = "SELECT * FROM assets WHERE seq < $1 AND deleted_at IS NULL ORDER BY seq DESC LIMIT $2";
        let before = cursor.and_then(|cursor| i64::try_from(cursor).ok()).unwrap_or(i64::MAX);
        // One more tells whether there are more.
        let mut rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(before)
            .bind(i64::from(limit) + 1)
            .fetch_all(pool)
            .await)?;
        let is_last = rows.len() <= limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| !is_last).map(|row| row.seq.cast_unsigned());
        Ok(Page { assets: rows.into_iter().map(Row::asset).collect::<Result<_, _>>()?, next })
    }
}

/// [`Catalog::insert_assets`] for one, inside a transaction; without an event, nobody is told yet.
pub(in crate::metadata) async fn insert(
    tx: &mut Tx,
    asset: &Asset,
    event: Option<EventKind>,
    now: u64,
) -> Result<(), Error> {
    let asset = Asset { version: 1, ..asset.clone() };
    let seq = write(tx, INSERT, &asset).await?;
    search::index(tx, seq, &asset).await?;
    match event {
        Some(event) => outbox::record(tx, event, &asset.id, 1, &asset.event_body(event), now).await,
        None => Ok(()),
    }
}

/// [`Catalog::change_asset`] inside a transaction.
pub(in crate::metadata) async fn change_in<E: From<Error>>(
    tx: &mut Tx,
    id: &AssetId,
    expected: Option<u64>,
    event: Option<EventKind>,
    now: u64,
    change: impl FnOnce(&mut Asset) -> Result<(), E>,
) -> Result<Asset, E> {
    let change = |asset: &mut Asset| match asset.deleted_at {
        Some(_) => Err(Error::AssetDeleted(*id).into()),
        None => change(asset),
    };
    let asset = changed(tx, id, expected, now, change).await?;
    if let Some(event) = event {
        outbox::record(tx, event, id, asset.version, &asset.event_body(event), now).await?;
    }
    Ok(asset)
}

/// The step of [`Catalog::change_asset`] inside a transaction, for assets in the trash too, without an event.
pub(super) async fn changed<E: From<Error>>(
    tx: &mut Tx,
    id: &AssetId,
    expected: Option<u64>,
    now: u64,
    change: impl FnOnce(&mut Asset) -> Result<(), E>,
) -> Result<Asset, E> {
    let before = held(tx, id).await?;
    if expected.is_some_and(|expected| expected != before.version) {
        return Err(Error::Conflict { version: before.version }.into());
    }
    let mut asset = before.clone();
    change(&mut asset)?;
    asset.version = before.version + 1;
    asset.update_time = now;
    let seq = write(tx, UPDATE, &asset).await?;
    let is_found_the_same = asset.name == before.name
        && asset.data == before.data
        && asset.data_schema_id == before.data_schema_id;
    if !is_found_the_same {
        search::index(tx, seq, &asset).await?;
    }
    Ok(asset)
}

/// Reads an asset that nobody else changes until the transaction ends.
pub(super) async fn held(tx: &mut Tx, id: &AssetId) -> Result<Asset, Error> {
    let hold =
        tx.dialect("SELECT * FROM assets WHERE id = $1", "SELECT * FROM assets WHERE id = $1 FOR UPDATE");
    let row: Option<Row> = on!(tx.connection(), connection => sqlx::query_as(hold)
        .bind(id.to_string())
        .fetch_optional(connection)
        .await)?;
    row.ok_or(Error::NoSuchAsset(*id))?.asset()
}

async fn write(tx: &mut Tx, statement: &'static str, asset: &Asset) -> Result<i64, Error> {
    Ok(on!(tx.connection(), connection => sqlx::query_scalar(statement)
        .bind(asset.id.to_string())
        .bind(asset.status.as_str())
        .bind(&asset.name)
        .bind(asset.name.to_lowercase())
        .bind(asset.size.cast_signed())
        .bind(&asset.md5)
        .bind(&asset.sha256)
        .bind(&asset.content_type)
        .bind(&asset.declared_type)
        .bind(&asset.provider)
        .bind(&asset.storage_type)
        .bind(&asset.bucket)
        .bind(asset.key.as_ref().map(|key| key.as_str()))
        .bind(asset.public)
        .bind(&asset.creator_id)
        .bind(&asset.upload_source)
        .bind(asset.upload_time.cast_signed())
        .bind(&asset.update_user_id)
        .bind(asset.update_time.cast_signed())
        .bind(asset.data_schema_id)
        .bind(text(&asset.metadata)?)
        .bind(text(&asset.data)?)
        .bind(text(&asset.conversions)?)
        .bind(asset.version.cast_signed())
        .bind(asset.content.cast_signed())
        .bind(asset.deleted_at.map(u64::cast_signed))
        .fetch_one(connection)
        .await)?)
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    seq: i64,
    id: String,
    status: String,
    name: String,
    size: i64,
    md5: Option<String>,
    sha256: Option<String>,
    content_type: String,
    declared_type: Option<String>,
    provider: String,
    storage_type: String,
    bucket: String,
    object_key: Option<String>,
    public: bool,
    creator_id: Option<String>,
    upload_source: Option<String>,
    upload_time: i64,
    update_user_id: Option<String>,
    update_time: i64,
    data_schema_id: i64,
    metadata: String,
    data: String,
    conversions: String,
    version: i64,
    content: i64,
    deleted_at: Option<i64>,
}

impl Row {
    fn asset(self) -> Result<Asset, Error> {
        let damaged = |what: &str| Error::Damaged(format!("asset {}: {what}", self.id));
        Ok(Asset {
            id: self.id.parse().map_err(|_| damaged("id"))?,
            status: self.status.parse()?,
            key: self.object_key.map(ObjectKey::new).transpose().map_err(|_| damaged("object_key"))?,
            metadata: json(&self.metadata)?,
            data: json(&self.data)?,
            conversions: json(&self.conversions)?,
            name: self.name,
            size: self.size.cast_unsigned(),
            md5: self.md5,
            sha256: self.sha256,
            content_type: self.content_type,
            declared_type: self.declared_type,
            provider: self.provider,
            storage_type: self.storage_type,
            bucket: self.bucket,
            public: self.public,
            creator_id: self.creator_id,
            upload_source: self.upload_source,
            upload_time: self.upload_time.cast_unsigned(),
            update_user_id: self.update_user_id,
            update_time: self.update_time.cast_unsigned(),
            data_schema_id: self.data_schema_id,
            version: self.version.cast_unsigned(),
            content: self.content.cast_unsigned(),
            deleted_at: self.deleted_at.map(i64::cast_unsigned),
        })
    }
}

fn text(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Damaged(format!("JSON of an asset: {error}")))
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(format!("JSON of an asset: {error}")))
}
