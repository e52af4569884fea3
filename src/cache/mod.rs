//! The cache: Pingora's mechanism with tiers, keys and rules of our own.

mod body;
mod config;
mod entry;
mod fill;
mod key;
mod memory;
mod policy;

pub use config::Config;
pub use key::key;
pub use memory::{Memory, Occupancy};
pub use policy::Policy;
