//! `kinora serve`: hands the settings to the server.

use crate::cli::Error;
use crate::config::Config;
use crate::server;

pub(super) fn run(config: &Config, upgrade: bool) -> Result<(), Error> {
    Ok(server::run(config, upgrade)?)
}
