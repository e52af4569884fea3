//! The cache: Pingora's mechanism with tiers, keys and rules of our own.

mod body;
mod entry;
mod fill;
mod memory;

pub use memory::{Memory, Occupancy};
