//! HTTP faces that are not the delivery edge, on axum: the control plane and the admin listener.

mod admin;
mod config;
mod public;
mod purge;

pub use admin::{Admin, admin_routes};
pub use config::Config;
pub use public::{Control, Public, public_routes};
