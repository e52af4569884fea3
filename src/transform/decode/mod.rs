//! Source bytes to pixels.

use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{Probe, SourceFormat};

/// How far a JPEG is shrunk while decoding; other formats know only [`Shrink::One`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shrink {
    /// Not at all.
    One,
    /// To a half of each side.
    Half,
    /// To a quarter of each side.
    Quarter,
    /// To an eighth of each side.
    Eighth,
}

/// Decodes a source in its stored orientation.
pub(crate) fn decode(
    source: &[u8],
    probe: &Probe,
    shrink: Shrink,
    scratch: &mut Scratch,
) -> Result<Pixels, Error> {
    let corrupt = |reason: String| Error::Corrupt { format: "picture", reason };
    if probe.format == SourceFormat::Jpeg {
        let factor = match shrink {
            Shrink::One => turbojpeg::ScalingFactor::ONE,
            Shrink::Half => turbojpeg::ScalingFactor::ONE_HALF,
            Shrink::Quarter => turbojpeg::ScalingFactor::ONE_QUARTER,
            Shrink::Eighth => turbojpeg::ScalingFactor::ONE_EIGHTH,
        };
        let mut decompressor = turbojpeg::Decompressor::new().map_err(|e| corrupt(e.to_string()))?;
        decompressor.set_scaling_factor(factor).map_err(|e| corrupt(e.to_string()))?;
        let (width, height) = (factor.scale(probe.width as usize), factor.scale(probe.height as usize));
        let mut data = scratch.take(width * height * 3);
        let image = turbojpeg::Image {
            pixels: &mut data[..],
            width,
            pitch: width * 3,
            height,
            format: turbojpeg::PixelFormat::RGB,
        };
        decompressor.decompress(source, image).map_err(|e| corrupt(e.to_string()))?;
        return Ok(Pixels { width: width as u32, height: height as u32, layout: Layout::Rgb, data });
    }
    let image = image::load_from_memory(source).map_err(|e| corrupt(e.to_string()))?;
    let (width, height) = (image.width(), image.height());
    let (layout, data) = if probe.has_alpha {
        (Layout::Rgba, image.into_rgba8().into_raw())
    } else {
        (Layout::Rgb, image.into_rgb8().into_raw())
    };
    Ok(Pixels { width, height, layout, data })
}

/// Peak bytes of decoding, its result included.
pub(crate) fn decode_memory(probe: &Probe, shrink: Shrink) -> u64 {
    let _ = shrink;
    u64::from(probe.width) * u64::from(probe.height) * 8
}
