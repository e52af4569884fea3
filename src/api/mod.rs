//! HTTP faces that are not the delivery edge, on axum: the control plane and the admin listener.

mod admin;
mod assets;
mod body;
mod config;
mod control;
mod hooks;
mod idempotency;
mod import;
mod jobs;
mod keys;
mod limits;
mod links;
mod moment;
mod openapi;
mod page;
mod peer;
mod public;
mod purge;
mod upload;

pub use admin::{Admin, admin_routes};
pub use config::Config;
pub use control::{Answer, Control};
pub use limits::{Limits, LimitsConfig};
pub use peer::Peer;
pub use public::{Public, Uploader, public_routes};
