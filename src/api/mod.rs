//! HTTP faces that are not the public edge: the internal upstream and the admin listener, on axum.

mod admin;
mod config;
mod internal;
mod refusal;

pub use admin::{Admin, admin_routes};
pub use config::Config;
pub use internal::{Internal, internal_routes};
