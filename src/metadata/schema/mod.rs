//! Schemas of what owners say about their assets.

mod json_schema;

use serde_json::{Map, Value};

use crate::metadata::db::{Tx, on};
use crate::metadata::{Catalog, Error};

pub use json_schema::JsonSchema;

/// A schema of `data`, with a number.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetSchema {
    /// From 1 on.
    pub id: i64,
    /// Names by language: `{"en": "Press photo"}`.
    pub name: Map<String, Value>,
    /// Whether assets may begin to use it.
    pub is_active: bool,
    /// The rules.
    pub schema: JsonSchema,
    /// Unix seconds.
    pub created_at: u64,
    /// Unix seconds.
    pub updated_at: u64,
}

impl Catalog {
    /// Records a new schema, whose number and times are given here; gives it back with them.
    ///
    /// # Errors
    /// That of the database.
    pub async fn create_schema(&self, wish: AssetSchema, now: u64) -> Result<AssetSchema, Error> {
        let schema = AssetSchema { created_at: now, updated_at: now, ..wish };
        let insert = "INSERT INTO asset_schemas (name, status, schema, created_at, updated_at)
                      VALUES ($1, $2, $3, $4, $5) RETURNING id";
        let id = on!(self.db.writer(), pool => sqlx::query_scalar(insert)
            .bind(Value::from(schema.name.clone()).to_string())
            .bind(schema.status())
            .bind(schema.schema.value().to_string())
            .bind(now.cast_signed())
            .bind(now.cast_signed())
            .fetch_one(pool)
            .await)?;
        Ok(AssetSchema { id, ..schema })
    }

    /// The schema of this number.
    ///
    /// # Errors
    /// [`Error::NoSuch`] or that of the database.
    pub async fn schema(&self, id: i64) -> Result<AssetSchema, Error> {
        let row: Option<Row> = on!(self.db.reader(), pool => sqlx::query_as(BY_ID)
            .bind(id)
            .fetch_optional(pool)
            .await)?;
        row.ok_or(Error::NoSuch("data schema"))?.schema()
    }

    /// Schemas whose number is above `after`, in the order of their numbers.
    ///
    /// # Errors
    /// That of the database.
    pub async fn schemas(&self, after: i64, limit: u32) -> Result<Vec<AssetSchema>, Error> {
        let query = "SELECT * FROM asset_schemas WHERE id > $1 ORDER BY id LIMIT $2";
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(Row::schema).collect()
    }

    /// Replaces the schema of this number. Assets that use it are held to it, and found by it, when their data
    /// is written the next time.
    ///
    /// # Errors
    /// [`Error::NoSuch`] or that of the database.
    pub async fn replace_schema(&self, schema: AssetSchema, now: u64) -> Result<AssetSchema, Error> {
        let update =
            "UPDATE asset_schemas SET name = $1, status = $2, schema = $3, updated_at = $4 WHERE id = $5";
        let count = on!(self.db.writer(), pool => sqlx::query(update)
            .bind(Value::from(schema.name.clone()).to_string())
            .bind(schema.status())
            .bind(schema.schema.value().to_string())
            .bind(now.cast_signed())
            .bind(schema.id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        if count == 0 {
            Err(Error::NoSuch("data schema"))
        } else {
            Ok(AssetSchema { updated_at: now, ..schema })
        }
    }
}

/// The schema of this number, as it is in this transaction; none for 0, or if it is gone.
pub(super) async fn schema_within(tx: &mut Tx, id: i64) -> Result<Option<JsonSchema>, Error> {
    if id == 0 {
        return Ok(None);
    }
    let row: Option<Row> = on!(tx.connection(), connection => sqlx::query_as(BY_ID)
        .bind(id)
        .fetch_optional(connection)
        .await)?;
    Ok(row.map(Row::schema).transpose()?.map(|schema| schema.schema))
}

const BY_ID: &str = "SELECT * FROM asset_schemas WHERE id = $1";

impl AssetSchema {
    /// The word for whether it is active, in the catalogue and in JSON.
    pub fn status(&self) -> &'static str {
        if self.is_active { "ACTIVE" } else { "INACTIVE" }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    name: String,
    status: String,
    schema: String,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn schema(self) -> Result<AssetSchema, Error> {
        let damaged = |error: serde_json::Error| Error::Damaged(format!("schema {}: {error}", self.id));
        Ok(AssetSchema {
            id: self.id,
            name: serde_json::from_str(&self.name).map_err(damaged)?,
            is_active: self.status == "ACTIVE",
            // It was checked before it was written.
            schema: JsonSchema::trusted(serde_json::from_str(&self.schema).map_err(damaged)?),
            created_at: self.created_at.cast_unsigned(),
            updated_at: self.updated_at.cast_unsigned(),
        })
    }
}
