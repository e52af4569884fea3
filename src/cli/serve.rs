//! `kinora serve`: hands the settings to the server.

use crate::cli::Error;
use crate::config::Config;

pub(super) fn run(config: Config) -> Result<(), Error> {
    config.data.prepare()?;
    Err(Error::Arguments("serving is wired in server::run".to_owned()))
}
