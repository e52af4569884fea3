//! The catalogue in PostgreSQL, which many processes on many machines share.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::metadata::Error;
use crate::metadata::db::{Change, migrated};

/// They take an advisory lock, so one process at a time brings the schema up to date.
static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

const CONNECTIONS: u32 = 10;

/// Whoever waits longer for a connection is better told to come again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn pool(options: &PgConnectOptions) -> PgPool {
    // What it remarks on is what we mean, such as a table that is there already.
    let options = options.clone().application_name("kinora").options([("client_min_messages", "warning")]);
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Each is tested before it is used. What looks after old ones would need a runtime now, and there is none.
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options)
}

pub(super) async fn migrate(pool: &PgPool) -> Result<(), Error> {
    // The lock belongs to the connection: one that fails is not given back with it.
    let mut connection = pool.acquire().await?.detach();
    migrated(&MIGRATIONS, MIGRATIONS.run_direct(None, &mut connection, false).await)
}

/// A snapshot names exactly the transactions that it sees, so the text is another one after each that was
/// committed. It costs no table and no writer anything, and unlike a counter it cannot be seen too early.
pub(super) async fn change(pool: &PgPool) -> Result<Change, Error> {
    Ok(Change(sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(pool).await?))
}
