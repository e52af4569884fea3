//! Calls to addresses that a user has named: whom they may reach, and how.

mod address;
mod guard;

pub use address::is_public;
pub use guard::{Guard, Guarded, Refusal, SystemNames, was_refused};
