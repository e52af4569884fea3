//! Typed header values, by RFC section: their grammar only, never a decision what to send.

pub mod accept;
pub mod api_key;
pub mod cache_control;
pub mod cache_status;
pub mod conditional;
pub mod content_disposition;
pub mod freshness;
mod list;
pub mod range;
pub mod retry_after;
mod structured;

pub use accept::FormatClass;
