//! Logs and metrics.

mod config;
mod log;
mod metrics;

pub use config::{Config, LogFormat};
pub use log::start_log;
pub use metrics::{Levels, METRICS, MetricRow, Metrics, Outcome, metrics_table};
