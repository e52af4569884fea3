//! JPEG by libjpeg-turbo, scaled within the inverse cosine transform.

use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

use crate::transform::color::{Profile, Samples, ToSrgb, rewrite};
use crate::transform::decode::{Shrink, fill, take, to_srgb};
use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{JpegHead, Probe, SourceFormat};

const FORMAT: SourceFormat = SourceFormat::Jpeg;

/// Progressive encoders make about 10 scans; each costs a pass over all coefficients, whatever its
/// size, so that a small file with thousands of them could keep a worker busy for minutes.
const MAX_SCANS: u32 = 100;

/// Bytes that decoding needs at most, the result included.
pub(super) fn memory(probe: &Probe, shrink: Shrink) -> u64 {
    let padded = |side: u32| u64::from(side).next_multiple_of(32);
    let (width, height) = (padded(probe.width), padded(probe.height));
    let components = u64::from(probe.components);
    let divisor = u64::from(shrink.divisor());
    let output = width.div_ceil(divisor) * height.div_ceil(divisor) * if components == 4 { 4 } else { 3 };
    // Coefficients have 2 bytes. How far chroma is subsampled is not known here: assume not at all.
    let coefficients = if probe.is_progressive { width * height * components * 2 } else { 0 };
    // A row of blocks of each component before and after upsampling, and some context.
    output + coefficients + width * components * 64
}

/// Decodes at `1 / shrink`.
pub(super) fn decode(
    source: &[u8],
    probe: &Probe,
    shrink: Shrink,
    scratch: &mut Scratch,
) -> Result<Pixels, Error> {
    let head = JpegHead::read(source)?;
    if head.size() != (probe.width, probe.height) || head.components() != probe.components {
        return Err(FORMAT.corrupt("not the picture that was probed"));
    }
    let (width, height) = (probe.width.div_ceil(shrink.divisor()), probe.height.div_ceil(shrink.divisor()));
    let profile = head.profile();
    let profile = profile.as_deref().map(Profile::Icc);
    let channels = if head.components() == 4 { 4 } else { 3 };
    let buffer = take(scratch, width, height, channels);
    let data = fill(buffer, scratch, |buffer, _| match head.components() {
        1 => {
            let pixels = buffer.len() / 3;
            decompress(source, shrink, PixelFormat::GRAY, (width, height), &mut buffer[2 * pixels..])?;
            to_srgb(FORMAT, Samples::Gray, profile, buffer)
        }
        4 => {
            decompress(source, shrink, PixelFormat::CMYK, (width, height), buffer)?;
            cmyk_to_srgb(head.is_adobe(), profile, buffer)
        }
        _ => {
            decompress(source, shrink, PixelFormat::RGB, (width, height), buffer)?;
            to_srgb(FORMAT, Samples::Rgb, profile, buffer)
        }
    })?;
    Ok(Pixels { width, height, layout: Layout::Rgb, data })
}

fn decompress(
    source: &[u8],
    shrink: Shrink,
    format: PixelFormat,
    (width, height): (u32, u32),
    pixels: &mut [u8],
) -> Result<(), Error> {
    let (width, height) = (width as usize, height as usize);
    let image = Image { pixels, width, pitch: width * format.size(), height, format };
    let run = || {
        let mut decompressor = Decompressor::new()?;
        decompressor.set_scan_limit(MAX_SCANS)?;
        decompressor.set_scaling_factor(match shrink {
            Shrink::One => ScalingFactor::ONE,
            Shrink::Half => ScalingFactor::ONE_HALF,
            Shrink::Quarter => ScalingFactor::ONE_QUARTER,
            Shrink::Eighth => ScalingFactor::ONE_EIGHTH,
        })?;
        decompressor.decompress(source, image)
    };
    match run() {
        Ok(()) => Ok(()),
        Err(turbojpeg::Error::TurboJpegError(words)) if is_harmless(&words) => Ok(()),
        Err(error) => Err(FORMAT.corrupt(error.to_string())),
    }
}

/// Warnings are failures: a source that ends early gives no more than one, over a half-grey
/// picture. Of a decoder's warnings the first is kept, so harmless can only be one after which no
/// picture data follow: here, bytes before the end marker (0xD9), which some cameras pad with.
fn is_harmless(words: &str) -> bool {
    words.ends_with("extraneous bytes before marker 0xd9")
}

/// Makes RGB in the first three quarters of a buffer of CMYK, and cuts off the rest.
fn cmyk_to_srgb(is_inverted: bool, profile: Option<Profile>, buffer: &mut Vec<u8>) -> Result<(), Error> {
    let pixels = buffer.len() / 4;
    let way = profile.and_then(|profile| ToSrgb::find(profile, Samples::Cmyk));
    // Profiles count ink; without one it is simplest to count what light the ink leaves.
    if is_inverted == way.is_some() {
        buffer.iter_mut().for_each(|value| *value = !*value);
    }
    match way {
        Some(way) => way.apply(Samples::Cmyk, buffer).map_err(|reason| FORMAT.corrupt(reason))?,
        None => rewrite(Samples::Cmyk, buffer, |light, rgb| {
            for (pixel, light) in rgb.chunks_exact_mut(3).zip(light.chunks_exact(4)) {
                for (value, light_of_ink) in pixel.iter_mut().zip(light) {
                    *value = multiply(*light_of_ink, light[3]);
                }
            }
        }),
    }
    buffer.truncate(pixels * 3);
    Ok(())
}

/// The product of two shares of 255, rounded.
fn multiply(a: u8, b: u8) -> u8 {
    ((u16::from(a) * u16::from(b) + 127) / 255) as u8
}
