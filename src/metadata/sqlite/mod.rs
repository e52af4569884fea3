//! The catalogue as one SQLite file.
//!
//! One connection writes, a few read, and one only watches: `PRAGMA data_version` changes on it
//! whenever any other connection, of this process or another, has written. The file, its `-wal` and
//! its `-shm` are readable by our own user alone, because secrets of signing keys are in them.

mod keys;
mod purges;

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::metadata::{Config, Error};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An open catalogue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    writer: SqlitePool,
    readers: SqlitePool,
    watcher: SqlitePool,
}

impl Catalog {
    /// Opens the catalogue, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] for a file of a newer version, else as the system has it.
    pub async fn open(config: &Config, data_dir: &Path) -> Result<Self, Error> {
        let path = config.sqlite_path(data_dir).ok_or(Error::UnknownUrl)?;
        protect(&path).map_err(|error| Error::File { path: path.display().to_string(), error })?;
        let catalog = Self::reopen(config, data_dir)?;
        migrate(&catalog.writer).await?;
        Ok(catalog)
    }

    /// A catalogue that [`Catalog::open`] has brought up to date before: nothing is looked at now, it
    /// is connected to at the first question.
    ///
    /// # Errors
    /// [`Error::UnknownUrl`].
    pub fn reopen(config: &Config, data_dir: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(config.sqlite_path(data_dir).ok_or(Error::UnknownUrl)?)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            // The secret of a revoked key must not linger in a free page.
            .pragma("secure_delete", "ON");
        let pool = |connections| pool(connections).connect_lazy_with(options.clone());
        Ok(Self { writer: pool(1), readers: pool(READERS), watcher: pool(1) })
    }

    /// Whether there already is a catalogue to open.
    pub fn exists(config: &Config, data_dir: &Path) -> bool {
        config.sqlite_path(data_dir).is_some_and(|path| path.exists())
    }

    /// A number that is another one as soon as anything in the catalogue was changed, by this
    /// process or another. Cheap enough to be asked every second.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn change(&self) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(&self.watcher).await?)
    }

    /// Finishes what is under way and closes the file.
    pub async fn close(&self) {
        self.watcher.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Connections stay open: the watcher's number means nothing on another connection.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(connections).idle_timeout(None).max_lifetime(None)
}

/// Makes directory and file with tight rights before SQLite would make them with loose ones; it
/// gives its `-wal` and `-shm` the rights of the file.
///
/// An existing file is never opened here: closing it would drop the locks that this process may
/// already hold on it through another connection.
fn protect(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_loose = std::fs::metadata(path)?.permissions().mode() & 0o077 != 0;
            if is_loose { std::fs::set_permissions(path, Permissions::from_mode(0o600)) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

async fn migrate(writer: &SqlitePool) -> Result<(), Error> {
    // Several processes may start at the same moment, and SQLite has no lock around all migrations: one
    // fails on what another has just made, and finds one migration less to do next time.
    let mut outcome = MIGRATIONS.run(writer).await;
    for _ in MIGRATIONS.iter() {
        if !matches!(outcome, Err(MigrateError::ExecuteMigration(..) | MigrateError::Execute(_))) {
            break;
        }
        outcome = MIGRATIONS.run(writer).await;
    }
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    match outcome {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) if found > known => Err(Error::NewerSchema { found, known }),
        Err(error) => Err(Error::Migration(error.to_string())),
    }
}
