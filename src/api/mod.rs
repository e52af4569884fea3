//! HTTP faces that are not the public edge: the admin listener, on axum.

mod admin;
mod config;

pub use admin::{Admin, admin_routes};
pub use config::Config;
