//! The catalogue as one SQLite file.
//!
//! One connection writes, a few read, and one only watches: `PRAGMA data_version` changes on it
//! whenever any other connection, of this process or another, has written. The file, its `-wal` and
//! its `-shm` are readable by our own user alone, because secrets of signing keys are in them.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqlitePool};

use crate::metadata::Error;
use crate::metadata::db::{Change, migrated};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The connections to one file.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    watcher: SqlitePool,
}

impl Pools {
    pub(super) fn new(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            // The secret of a revoked key must not linger in a free page.
            .pragma("secure_delete", "ON");
        let pool = |connections| pool(connections).connect_lazy_with(options.clone());
        Self { writer: pool(1), readers: pool(READERS), watcher: pool(1) }
    }

    pub(super) async fn change(&self) -> Result<Change, Error> {
        let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&self.watcher).await?;
        Ok(Change(version.to_string()))
    }

    pub(super) async fn close(&self) {
        self.watcher.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

pub(super) async fn migrate(writer: &SqlitePool) -> Result<(), Error> {
    // Several processes may start at the same moment, and SQLite has no lock around all migrations: one
    // fails on what another has just made, and finds one migration less to do next time.
    let mut connection = first_connection(writer).await?;
    let mut outcome = run(&mut connection).await;
    for _ in MIGRATIONS.iter() {
        if !matches!(outcome, Err(MigrateError::ExecuteMigration(..) | MigrateError::Execute(_))) {
            break;
        }
        outcome = run(&mut connection).await;
    }
    migrated(&MIGRATIONS, outcome)
}

/// Waits for others who make the same file: its change to the write-ahead log fails at once where all else
/// waits for [`BUSY_TIMEOUT`].
async fn first_connection(writer: &SqlitePool) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match writer.acquire().await {
            Err(sqlx::Error::Database(error)) if is_busy(&*error) && Instant::now() < until => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// SQLITE_BUSY, whatever the extended part of the code says.
fn is_busy(error: &dyn DatabaseError) -> bool {
    error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

async fn run(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    // `Migrator::run` makes a future that no service can hold: its `Send` is not seen through `Acquire`.
    MIGRATIONS.run_direct(None, connection, false).await
}

/// Connections stay open, as the watcher's number means nothing on another connection; a file does not go away
/// from under them, so they need no test before each use.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Makes directory and file with tight rights before SQLite would make them with loose ones; it
/// gives its `-wal` and `-shm` the rights of the file.
///
/// An existing file is never opened here: closing it would drop the locks that this process may
/// already hold on it through another connection.
pub(super) fn protect(path: &Path) -> io::Result<()> {
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
