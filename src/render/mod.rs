//! One variant: get the source, probe it, plan, transform.

mod pool;

pub use pool::{Booking, Lost, Pool, Refused, Ticket};
