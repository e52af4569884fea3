//! The database below the catalogue: SQLite or PostgreSQL, which read one SQL text.
//!
//! [`Db::reader`], [`Db::writer`] and [`Tx::connection`] give what a statement runs on, as an [`Either`]; [`on!`]
//! writes the statement once for both. The text keeps to what both understand: `$1`, `RETURNING`, `ON CONFLICT`;
//! truth values are `BOOLEAN` or 0 and 1, JSON is text, times are Unix seconds. `rowid` is the order of insertion,
//! which PostgreSQL gets as a column of this name.

mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Postgres, Sqlite, Transaction};
use tokio::sync::watch;

use crate::metadata::Error;

/// One of the two databases, or what belongs to it.
#[derive(Debug, Clone)]
pub(crate) enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// Runs one expression on whichever database there is:
/// `on!(self.db.reader(), pool => sqlx::query("..").bind(x).fetch_all(pool).await)?`.
macro_rules! on {
    ($place:expr, $it:ident => $run:expr) => {
        match $place {
            $crate::metadata::db::Either::Sqlite($it) => $run,
            $crate::metadata::db::Either::Postgres($it) => $run,
        }
    };
}
pub(crate) use on;

/// Where the database is.
pub(crate) type Address = Either<PathBuf, PgConnectOptions>;

/// Connections to one database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Db(Either<sqlite::Pools, PgPool>, Arc<watch::Sender<()>>);

/// What has changed since is told by comparing two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change(String);

impl Db {
    /// Makes the database if it is a file and there is none, and brings its schema up to date.
    pub(crate) async fn open(address: &Address) -> Result<Self, Error> {
        if let Either::Sqlite(path) = address {
            sqlite::protect(path).map_err(|error| Error::File { path: path.display().to_string(), error })?;
        }
        let db = Self::reopen(address);
        match &db.0 {
            Either::Sqlite(pools) => sqlite::migrate(&pools.writer).await?,
            Either::Postgres(pool) => postgres::migrate(pool).await?,
        }
        Ok(db)
    }

    /// Nothing is looked at now; it is connected to at the first question.
    pub(crate) fn reopen(address: &Address) -> Self {
        let pools = match address {
            Either::Sqlite(path) => Either::Sqlite(sqlite::Pools::new(path)),
            Either::Postgres(options) => Either::Postgres(postgres::pool(options)),
        };
        Self(pools, Arc::new(watch::channel(()).0))
    }

    /// For statements that only read.
    pub(crate) fn reader(&self) -> Either<&SqlitePool, &PgPool> {
        match &self.0 {
            Either::Sqlite(pools) => Either::Sqlite(&pools.readers),
            Either::Postgres(pool) => Either::Postgres(pool),
        }
    }

    /// For a statement that writes and is all there is to write.
    pub(crate) fn writer(&self) -> Either<&SqlitePool, &PgPool> {
        match &self.0 {
            Either::Sqlite(pools) => Either::Sqlite(&pools.writer),
            Either::Postgres(pool) => Either::Postgres(pool),
        }
    }

    /// Begins to write. SQLite has one writer at a time, so it waits for others here; PostgreSQL waits at the rows
    /// that another transaction has changed. What is dropped uncommitted has not happened.
    pub(crate) async fn begin(&self) -> Result<Tx, Error> {
        let transaction = match &self.0 {
            // A transaction that reads first and writes then would find the file changed in between.
            Either::Sqlite(pools) => Either::Sqlite(pools.writer.begin_with("BEGIN IMMEDIATE").await?),
            Either::Postgres(pool) => Either::Postgres(pool.begin().await?),
        };
        Ok(Tx(transaction, Arc::clone(&self.1)))
    }

    /// Another one as soon as any transaction was committed, by whomever.
    pub(crate) async fn change(&self) -> Result<Change, Error> {
        match &self.0 {
            Either::Sqlite(pools) => pools.change().await,
            Either::Postgres(pool) => postgres::change(pool).await,
        }
    }

    /// Wakes whoever waits for it at every [`Tx::commit`] of this process.
    pub(crate) fn commits(&self) -> watch::Receiver<()> {
        self.1.subscribe()
    }

    /// Finishes what is under way and closes all connections.
    pub(crate) async fn close(&self) {
        match &self.0 {
            Either::Sqlite(pools) => pools.close().await,
            Either::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction that writes.
pub(crate) struct Tx(
    Either<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>,
    Arc<watch::Sender<()>>,
);

impl Tx {
    /// What its statements run on.
    pub(crate) fn connection(&mut self) -> Either<&mut SqliteConnection, &mut PgConnection> {
        match &mut self.0 {
            Either::Sqlite(transaction) => Either::Sqlite(&mut *transaction),
            Either::Postgres(transaction) => Either::Postgres(&mut *transaction),
        }
    }

    /// The text for SQLite or the one for PostgreSQL, where one cannot serve both.
    pub(crate) fn dialect(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.0 {
            Either::Sqlite(_) => sqlite,
            Either::Postgres(_) => postgres,
        }
    }

    /// It is on the disk when this returns.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        on!(self.0, transaction => transaction.commit().await)?;
        self.1.send_replace(());
        Ok(())
    }
}

/// What `catalog.url` says; a relative path starts at `data_dir`.
pub(crate) fn address(url: &str, data_dir: &Path) -> Option<Address> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        // A query or a database in memory would quietly be another thing than the file we protect.
        let is_file =
            !path.is_empty() && !path.ends_with('/') && !path.starts_with(':') && !path.contains('?');
        return is_file.then(|| Either::Sqlite(data_dir.join(path)));
    }
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let options: PgConnectOptions = is_postgres.then(|| url.parse().ok()).flatten()?;
    // Without a name the server would take that of the user.
    options.get_database().is_some().then_some(Either::Postgres(options))
}

/// What a run of migrations means to whoever opens the catalogue.
fn migrated(migrations: &Migrator, outcome: Result<(), MigrateError>) -> Result<(), Error> {
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or_default();
    match outcome {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) if found > known => Err(Error::NewerSchema { found, known }),
        Err(error) => Err(Error::Migration(error.to_string())),
    }
}
