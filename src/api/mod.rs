//! HTTP faces that are not the delivery edge, on axum: the control plane and the admin listener.

mod admin;
mod assets;
mod body;
mod config;
mod control;
mod hooks;
mod keys;
mod links;
mod moment;
mod page;
mod peer;
mod public;
mod purge;
mod upload;

pub use admin::{Admin, admin_routes};
pub use config::Config;
pub use control::{Answer, Control};
pub use peer::Peer;
pub use public::{Public, Uploader, public_routes};
