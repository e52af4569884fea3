//! The cache: what is kept of answers, where, for how long, and who waits for what is on its way.
//!
//! Whole answers live in the memory tier and on the disk; a [`Fill`] is a body that still arrives;
//! [`Flights`] join equal misses. The flow that uses them is in `proxy/`, and for [`Originals`], which
//! many variants are made of, here.

mod admission;
mod assets;
mod config;
mod disk;
mod entry;
mod fill;
mod flight;
mod generation;
mod key;
mod memory;
mod originals;
mod policy;
mod purges;
mod record;
mod segments;
mod selection;
mod store;

pub use assets::{Assets, Unknown};
pub use config::Config;
pub use disk::{
    Disk, DiskCounts, DiskObject, DiskOptions, DiskState, Flaw as DiskFlaw, ObjectHead,
    ReadError as DiskReadError,
};
pub use entry::{Body, Entry, Freshness, Head, Usability};
pub use fill::{Fill, FillBudget, Writer};
pub use flight::{Broken, Flight, Flights, Joined, Landing, Pilot};
pub use generation::{Generations, Subject, Verdict};
pub use key::Key;
pub use memory::{Memory, MemoryCounts};
pub use originals::Originals;
pub use policy::Policy;
pub use purges::{Purger, follow_purges};
pub use segments::Segments;
pub use selection::Selection;
pub use store::Store;

use crate::origin;

/// Why the bytes of a stored answer will not come.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The origin broke off, or sent another length than it had announced.
    #[error("the fill of this answer failed")]
    FillFailed,
    /// The origin has another version of the object now.
    #[error("the object has changed at the origin")]
    Changed,
    /// The origin, as it or we had it.
    #[error("the fill of this answer failed: {0}")]
    Origin(origin::Error),
    /// The disk.
    #[error("the stored bytes cannot be read: {0}")]
    Disk(#[from] disk::ReadError),
}
