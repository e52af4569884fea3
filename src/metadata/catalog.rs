//! Opening the catalogue, on whichever database.

use std::path::Path;

use tokio::sync::watch;

use crate::metadata::asset::Changes;
use crate::metadata::db::{Change, Db, Either};
use crate::metadata::{Config, Error};

/// An open catalogue. Cheap to clone. What it can do stands beside each subject.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) db: Db,
    pub(crate) changes: Changes,
}

impl Catalog {
    /// Opens the catalogue, makes it if it is a file and there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] for a catalogue of a newer version, else as the system has it.
    pub async fn open(config: &Config, data_dir: &Path) -> Result<Self, Error> {
        let address = config.address(data_dir).ok_or(Error::UnknownUrl)?;
        Ok(Self { db: Db::open(&address).await?, changes: Changes::default() })
    }

    /// A catalogue that [`Catalog::open`] has brought up to date before: nothing is looked at now, it
    /// is connected to at the first question.
    ///
    /// # Errors
    /// [`Error::UnknownUrl`].
    pub fn reopen(config: &Config, data_dir: &Path) -> Result<Self, Error> {
        let address = config.address(data_dir).ok_or(Error::UnknownUrl)?;
        Ok(Self { db: Db::reopen(&address), changes: Changes::default() })
    }

    /// Whether there already is a catalogue to open. A server is there whether it answers or not.
    pub fn exists(config: &Config, data_dir: &Path) -> bool {
        match config.address(data_dir) {
            Some(Either::Sqlite(path)) => path.exists(),
            Some(Either::Postgres(_)) => true,
            None => false,
        }
    }

    /// Another one as soon as anything in the catalogue was changed, by this process or another.
    /// Cheap enough to be asked twice a second. (Other databases of the same PostgreSQL change it too.)
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn change(&self) -> Result<Change, Error> {
        self.db.change().await
    }

    /// Wakes whoever waits for it when something was committed through this catalogue or a clone of it,
    /// and has not only written one row.
    pub fn commits(&self) -> watch::Receiver<()> {
        self.db.commits()
    }

    /// Finishes what is under way and closes all connections.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
