//! Runs a plan: source bytes in, bytes of the result out.

use crate::transform::background::{fill, pad};
use crate::transform::decode::decode;
use crate::transform::encode::encode;
use crate::transform::error::Error;
use crate::transform::operation::Format;
use crate::transform::orient::turn;
use crate::transform::pixels::{Pixels, Scratch};
use crate::transform::plan::Plan;
use crate::transform::resize::{Work, factor, resize};
use crate::transform::trim;

/// A step whose end can be observed, for `Server-Timing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Bytes to pixels, colour included.
    Decode,
    /// All work on pixels.
    Resize,
    /// Pixels to bytes.
    Encode,
}

/// A picture, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The encoded picture.
    pub bytes: Vec<u8>,
    /// What it is.
    pub format: Format,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Does what the plan says with the source that the plan was made for. `on_step` is called as each
/// step ends.
///
/// # Errors
/// What the decoder says about the source, or [`Error::Encode`].
pub fn run(
    source: &[u8],
    plan: &Plan,
    scratch: &mut Scratch,
    on_step: &mut dyn FnMut(Step),
) -> Result<Output, Error> {
    let pixels = decode(source, &plan.probe, plan.shrink, scratch)?;
    check_size(&pixels, plan)?;
    on_step(Step::Decode);
    let pixels = shape(pixels, plan, scratch)?;
    on_step(Step::Resize);
    let (width, height) = (pixels.width, pixels.height);
    let bytes = encode(pixels, plan.format(), plan.quality, scratch)?;
    on_step(Step::Encode);
    Ok(Output { bytes, format: plan.format(), width, height })
}

/// All work on pixels, in its fixed order as far as it can be seen: the turn comes late because it
/// is cheap on the small result, and the cut has been computed with that in mind.
fn shape(pixels: Pixels, plan: &Plan, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let trimmed = plan.trim.and_then(|tolerance| trim::find(&pixels, plan.area, plan.corner, tolerance));
    let area = trimmed.unwrap_or(plan.area);
    let (framing, cut) = plan.frame(area);
    let work = Work { area, cut, size: plan.turn.inverse().size(framing.picture) };
    let mut pixels = resize(pixels, plan.shrink, &work, scratch)?;
    pixels = turn(pixels, plan.turn, scratch);
    if let Some(color) = plan.matte {
        pixels = fill(pixels, color);
    }
    Ok(pad(pixels, framing.canvas, plan.padding, scratch))
}

/// The plan's numbers hold only for the picture that the header promised.
fn check_size(pixels: &Pixels, plan: &Plan) -> Result<(), Error> {
    let factor = factor(plan.shrink);
    let promised = (plan.probe.width.div_ceil(factor), plan.probe.height.div_ceil(factor));
    let len = promised.0 as usize * promised.1 as usize * pixels.layout.channels();
    if (pixels.width, pixels.height) == promised && pixels.data.len() == len {
        return Ok(());
    }
    Err(Error::Corrupt { format: "picture", reason: "the decoded size differs from the header".to_owned() })
}
