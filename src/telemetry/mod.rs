//! Logs and metrics.

mod cache;
mod config;
mod log;
mod metrics;
mod page;

pub use cache::{CacheLevels, CacheMetrics, DiskCondition, DiskLevels, Tier, TierLevels};
pub use config::{Config, LogFormat};
pub use log::start_log;
pub use metrics::{Levels, METRICS, MetricRow, Metrics, Outcome, metrics_table};
pub use page::Page;
