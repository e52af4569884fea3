//! What the tests of the catalogue run on: both databases, each test on one of its own.

#[path = "../../tests/it/support/postgres.rs"]
mod postgres;

use tempfile::TempDir;

use crate::metadata::db::on;
use crate::metadata::{Catalog, Config, Error};
use crate::setting::Secret;

/// A catalogue that is there for one test, to be opened as often as it likes.
pub(crate) struct Place {
    directory: TempDir,
    config: Config,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::at("sqlite:kinora.sqlite".to_owned())
    }

    pub(crate) async fn postgres() -> Self {
        Self::at(postgres::database().await)
    }

    fn at(url: String) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, config: Config { url: Secret::new(url) } }
    }

    pub(crate) async fn open(&self) -> Catalog {
        self.try_open().await.expect("open")
    }

    pub(crate) async fn try_open(&self) -> Result<Catalog, Error> {
        Catalog::open(&self.config, self.directory.path()).await
    }
}

/// Runs statements that no part of the catalogue would.
pub(crate) async fn execute(catalog: &Catalog, statement: &'static str) {
    on!(catalog.db.writer(), pool => sqlx::query(statement).execute(pool).await.map(drop)).expect("done");
}

/// Makes of each `async fn NAME(place: Place)` a test on SQLite and one on PostgreSQL.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::$name($crate::metadata::on_both::Place::sqlite()).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$name($crate::metadata::on_both::Place::postgres().await).await;
            }
        }
    )*};
}
pub(crate) use on_both_databases;
