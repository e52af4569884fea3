//! Video: what an MP4 holds, and what is made of it.
//!
//! All of it is made from a [`Source`]: one version of a file, read in parts. Who reads, from where and with
//! which cache in between, is not known here.

mod error;
mod source;

pub use error::Error;
pub use source::{OriginSource, Source, read};
