//! WebP by libwebp, more than twice as fast as what there is in Rust.

mod libwebp;

use crate::transform::color::{Profile, Samples};
use crate::transform::decode::{fill, take, to_srgb};
use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{Probe, SourceFormat, WebpFile};

const FORMAT: SourceFormat = SourceFormat::Webp;

/// Decodes a still picture, or the first frame of an animation on a transparent canvas.
pub(super) fn decode(source: &[u8], probe: &Probe, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let file = WebpFile::read(source)?;
    if file.size != (probe.width, probe.height) || file.has_alpha != probe.has_alpha {
        return Err(FORMAT.corrupt("not the picture that was probed"));
    }
    let (layout, samples) =
        if file.has_alpha { (Layout::Rgba, Samples::Rgba) } else { (Layout::Rgb, Samples::Rgb) };
    let channels = layout.channels();
    let stride = file.size.0 as usize * channels;
    let buffer = take(scratch, probe.width, probe.height, channels);
    let data = fill(buffer, scratch, |buffer, _| {
        let Some(frame) = file.frame else {
            libwebp::decode(source, file.size, layout, buffer, stride)?;
            return to_srgb(FORMAT, samples, file.profile.map(Profile::Icc), buffer);
        };
        let coded = source.get(frame.offset..).and_then(|rest| rest.get(..frame.len));
        let coded = coded.ok_or_else(|| FORMAT.corrupt("ends within its first frame"))?;
        if frame.size != file.size {
            buffer.fill(0);
        }
        let start = frame.origin.1 as usize * stride + frame.origin.0 as usize * channels;
        libwebp::decode(coded, frame.size, layout, &mut buffer[start..], stride)?;
        to_srgb(FORMAT, samples, file.profile.map(Profile::Icc), buffer)
    })?;
    Ok(Pixels { width: probe.width, height: probe.height, layout, data })
}
