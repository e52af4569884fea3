//! Search: what was asked for as one statement, and what it found as pages that stay as they are.

mod index;
mod query;
#[cfg(test)]
mod tests;
mod words;

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::metadata::db::on;
use crate::metadata::key::{HEX, draw};
use crate::metadata::{Catalog, Error};
use crate::request::AssetId;

pub(super) use index::index;

use query::{Argument, Query};

/// A search finds at most so many assets, the first ones in the order that was asked for.
const MAX_FOUND: usize = 10_000;

/// So long, in seconds, are pages of a search there.
const KEPT_SECONDS: u64 = 60 * 60;

/// So many results are kept, the newest.
const KEPT_RESULTS: i64 = 1000;

/// What is looked for: assets for which all of this holds.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Words, each somewhere in the name or the data; `*` at the end of one stands for any ending.
    pub keyword: Option<String>,
    /// The name.
    pub file_name: Option<Pattern>,
    /// One of these is the type.
    pub content_types: Vec<Pattern>,
    /// The id of the key that it was handed over with.
    pub creator_id: Option<String>,
    /// Unix seconds.
    pub upload_time: Span,
    /// Bytes.
    pub file_size: Span,
    /// Values in `data`.
    pub criteria: Option<Criteria>,
    /// Look in the trash instead.
    pub trashed: bool,
    /// The order.
    pub sort: Option<Sort>,
    /// Assets of a page, from 1 on.
    pub per_page: u32,
}

/// A text, or the beginning of one; the case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

/// From `start` to `end`, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Open if missing.
    pub start: Option<u64>,
    /// Open if missing.
    pub end: Option<u64>,
}

/// Values that fields of `data` have. They must be searchable by the schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Criteria {
    /// The schema of the data.
    pub schema_id: i64,
    /// Field and value; of a list, any item.
    pub fields: Vec<(String, Value)>,
}

/// An order; without one, what came last is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// What decides.
    pub by: SortBy,
    /// From the largest on.
    pub is_descending: bool,
}

/// What an order goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// When it was handed over.
    UploadTime,
    /// When it was changed last.
    UpdateTime,
    /// Its name.
    FileName,
    /// Its size.
    FileSize,
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Assets in order. Those that were purged since are left out.
    pub ids: Vec<AssetId>,
    /// Names the results, to ask for other pages.
    pub result_id: String,
    /// Pages are counted from 1.
    pub total_pages: u64,
}

impl Pattern {
    /// A text that may end with `*`, which stands for any ending.
    pub fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        match text.strip_suffix('*') {
            Some(beginning) => Self { text: beginning.to_owned(), is_prefix: true },
            None => Self { text, is_prefix: false },
        }
    }
}

impl Catalog {
    /// Looks for assets and gives the first page. What was found is kept for an hour.
    ///
    /// # Errors
    /// That of the database.
    pub async fn search(&self, search: &Search, now: u64) -> Result<Found, Error> {
        let Query { text, arguments } = Query::of(search, &self.db, MAX_FOUND);
        let found: Option<String> = on!(self.db.reader(), pool => {
            let mut query = sqlx::query_scalar(AssertSqlSafe(text));
            for argument in arguments {
                query = match argument {
                    Argument::Text(text) => query.bind(text),
                    Argument::Number(number) => query.bind(number),
                };
            }
            query.fetch_one(pool).await
        })?;
        let (result_id, found) = (draw(HEX, 32)?, found.unwrap_or_default());
        self.keep(&result_id, &found, search.per_page, now).await?;
        self.page_of(result_id, &found, search.per_page, 1).await
    }

    /// Another page of what was found, from 1 on; one beyond the last is empty.
    ///
    /// # Errors
    /// [`Error::NoSuch`] or that of the database.
    pub async fn search_page(&self, result_id: &str, page: u64, now: u64) -> Result<Found, Error> {
        let query = "SELECT found, per_page FROM search_results WHERE id = $1 AND created_at > $2";
        let row: Option<(String, i64)> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(result_id)
            .bind(now.saturating_sub(KEPT_SECONDS).cast_signed())
            .fetch_optional(pool)
            .await)?;
        let (found, per_page) = row.ok_or(Error::NoSuch("search result"))?;
        let per_page = u32::try_from(per_page).unwrap_or(1);
        self.page_of(result_id.to_owned(), &found, per_page, page).await
    }

    async fn keep(&self, id: &str, found: &str, per_page: u32, now: u64) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let insert = "INSERT INTO search_results (id, found, per_page, created_at)
                      VALUES ($1, $2, $3, $4) RETURNING seq";
        let seq: i64 = on!(tx.connection(), connection => sqlx::query_scalar(insert)
            .bind(id)
            .bind(found)
            .bind(i64::from(per_page))
            .bind(now.cast_signed())
            .fetch_one(connection)
            .await)?;
        let forget = "DELETE FROM search_results WHERE seq <= $1 OR created_at <= $2";
        on!(tx.connection(), connection => sqlx::query(forget)
            .bind(seq - KEPT_RESULTS)
            .bind(now.saturating_sub(KEPT_SECONDS).cast_signed())
            .execute(connection)
            .await
            .map(drop))?;
        tx.commit().await
    }

    async fn page_of(
        &self,
        result_id: String,
        found: &str,
        per_page: u32,
        page: u64,
    ) -> Result<Found, Error> {
        let found: Vec<i64> = found.split(',').filter_map(|seq| seq.parse().ok()).collect();
        let per_page = per_page.max(1) as usize;
        let total_pages = found.len().div_ceil(per_page) as u64;
        let skip = usize::try_from(page.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(per_page);
        let wanted: Vec<i64> = found.iter().skip(skip).take(per_page).copied().collect();
        // There is no asset 0, and no empty list in PostgreSQL.
        let places: String = (1..=wanted.len()).map(|place| format!(", ${place}")).collect();
        let text = format!("SELECT seq, id FROM assets WHERE seq IN (0{places})");
        let rows: Vec<(i64, String)> = on!(self.db.reader(), pool => {
            let mut query = sqlx::query_as(AssertSqlSafe(text));
            for seq in &wanted {
                query = query.bind(seq);
            }
            query.fetch_all(pool).await
        })?;
        let id = |seq: &i64| rows.iter().find(|(of, _)| of == seq)?.1.parse().ok();
        Ok(Found { ids: wanted.iter().filter_map(id).collect(), result_id, total_pages })
    }
}
