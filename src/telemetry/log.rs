//! The log: one line an event, on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::telemetry::config::{Config, LogFormat};

/// Pingora logs every failed request a second time and every closed connection as an error; the access
/// log has said it already. Its connectors call it an error when two threads race for a pooled
/// connection and one of them opens another; what really fails there comes back as a request's failure.
const QUIET: &str = "pingora_core=error";

/// Starts the log of this process. The second and later calls change nothing.
pub fn start_log(config: &Config) {
    let directives = format!("{QUIET},{}", config.level);
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    let log = log.with_ansi(stderr().is_terminal());
    // A failure means that a log is set up already, by an embedding program or a test.
    let _ = match config.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
