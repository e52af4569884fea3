//! Jobs: work that outlives the request that asked for it, or that nobody asks for.
//!
//! A job is a row of the catalogue ([`crate::metadata`]), taken under a lease. [`Runner`] takes one after the
//! other, hands it to the [`Work`] of its kind, tells how far it is, and gives it up when somebody has asked for
//! that. A process that dies leaves a lease that ends; whoever comes next begins the job anew, so work must be
//! such that a second time does no harm.

mod config;
mod import;
mod runner;
mod sweep;
mod work;

pub use config::Config;
pub use import::{BadPlace, Import, ImportConfig, Place};
pub use runner::Runner;
pub use sweep::{Sweep, UploadSweep};
pub use work::{Fault, Tally, Work};
