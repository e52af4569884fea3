//! Image work as a pure function: source bytes and a plan in, bytes out.
//!
//! Nothing here knows HTTP, the time, the configuration or a runtime. The way of a picture:
//! [`probe`] reads its header, [`plan`] turns [`Operations`] into exact numbers and an estimate of
//! memory, [`run`] does the work step by step with the buffers of a [`Scratch`].

mod background;
mod color;
mod decode;
mod encode;
mod error;
mod geometry;
mod operation;
mod orient;
mod pipeline;
mod pixels;
mod plan;
mod probe;
mod resize;
#[cfg(test)]
mod samples;
mod trim;

pub use error::Error;
pub use operation::{
    Box2, Color, Fit, Flip, Format, Geometry, Gravity, Operations, PerMyriad, Quality, Region, Rotation,
    Size, Target, Tolerance,
};
pub use pipeline::{Output, Step, run};
pub use pixels::{Layout, Orientation, Pixels, Scratch};
pub use plan::{Limits, Plan, plan};
pub use probe::{Probe, SourceFormat, probe};
