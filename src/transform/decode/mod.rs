//! From source bytes to pixels: 8 bits, sRGB, as stored (not oriented).
//!
//! One file per format. Each decodes straight into the buffer that becomes [`Pixels::data`], checks
//! that the source is what the probe said, and gives [`Error::Corrupt`] for a source that ends
//! early: half a picture is never shipped as a whole one.

mod avif;
mod gif;
mod jpeg;
mod png;
mod webp;

use crate::transform::color::{Profile, Samples, ToSrgb, rewrite};
use crate::transform::error::Error;
use crate::transform::pixels::{Pixels, Scratch};
use crate::transform::probe::{Probe, SourceFormat};

/// How much smaller a JPEG is decoded than it is stored. Other formats know only [`Shrink::One`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::transform) enum Shrink {
    /// As stored.
    One,
    /// Half of each side, rounded up.
    Half,
    /// A quarter of each side, rounded up.
    Quarter,
    /// An eighth of each side, rounded up.
    Eighth,
}

impl Shrink {
    /// What the sides are divided by.
    pub(in crate::transform) fn divisor(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }
}

/// Decodes a source: the first frame of an animation, on its canvas.
///
/// # Errors
/// [`Error::Corrupt`] with the decoder's words, [`Error::UnsupportedFeature`] for what only the
/// decoder could see.
pub(in crate::transform) fn decode(
    source: &[u8],
    probe: &Probe,
    shrink: Shrink,
    scratch: &mut Scratch,
) -> Result<Pixels, Error> {
    match probe.format {
        SourceFormat::Jpeg => jpeg::decode(source, probe, shrink, scratch),
        SourceFormat::Png => png::decode(source, probe, scratch),
        SourceFormat::Webp => webp::decode(source, probe, scratch),
        SourceFormat::Gif => gif::decode(source, probe, scratch),
        SourceFormat::Avif => avif::decode(source, probe, scratch),
    }
}

/// Bytes that [`decode`] needs at most, its result included and the source not.
pub(in crate::transform) fn decode_memory(probe: &Probe, shrink: Shrink) -> u64 {
    let pixels = u64::from(probe.width) * u64::from(probe.height);
    let samples = pixels.saturating_mul(probe.components.into());
    let output = pixels.saturating_mul(if probe.has_alpha { 4 } else { 3 });
    let wide = if probe.bits > 8 { 2 } else { 1 };
    let row = u64::from(probe.width) * u64::from(probe.components) * wide;
    /// Tables, windows and small buffers of any decoder, and the tables of a colour profile.
    const FIXED: u64 = 1 << 20;
    FIXED.saturating_add(match probe.format {
        SourceFormat::Jpeg => jpeg::memory(probe, shrink),
        // The decoder keeps some rows, and unpacks ahead of them.
        SourceFormat::Png => output.saturating_add(row.saturating_mul(4)).saturating_add(1 << 20),
        // Lossless needs 4 bytes a pixel beside the output, and its alpha planes are as large.
        SourceFormat::Webp => output.saturating_add(pixels.saturating_mul(5)),
        // Its decoder takes frames of up to twice the screen.
        SourceFormat::Gif => output.saturating_add(pixels.saturating_mul(2)),
        // Planes of 16 bits where deeper than 8, then their narrow copy; per block about as much
        // again for filters and modes.
        SourceFormat::Avif => output.saturating_add(samples.saturating_mul(2 * wide + wide - 1)),
    })
}

/// A buffer for a whole picture.
fn take(scratch: &mut Scratch, width: u32, height: u32, channels: usize) -> Vec<u8> {
    scratch.take(width as usize * height as usize * channels)
}

/// Runs a decoder on a buffer, which goes back to the scratch if that fails.
fn fill(
    mut buffer: Vec<u8>,
    scratch: &mut Scratch,
    work: impl FnOnce(&mut Vec<u8>, &mut Scratch) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    match work(&mut buffer, scratch) {
        Ok(()) => Ok(buffer),
        Err(error) => {
            scratch.give(buffer);
            Err(error)
        }
    }
}

/// Brings pixels to sRGB; grey becomes RGB, and lies where [`rewrite`] wants it.
fn to_srgb(
    format: SourceFormat,
    samples: Samples,
    profile: Option<Profile>,
    buffer: &mut [u8],
) -> Result<(), Error> {
    if let Some(way) = profile.and_then(|profile| ToSrgb::find(profile, samples)) {
        return way.apply(samples, buffer).map_err(|reason| format.corrupt(reason));
    }
    let colored = match samples {
        Samples::Gray => {
            rewrite(samples, buffer, |gray, rgb| {
                for (pixel, value) in rgb.chunks_exact_mut(3).zip(gray) {
                    pixel.fill(*value);
                }
            });
            Samples::Rgb
        }
        Samples::GrayAlpha => {
            rewrite(samples, buffer, |gray_alpha, rgba| {
                for (pixel, source) in rgba.chunks_exact_mut(4).zip(gray_alpha.chunks_exact(2)) {
                    pixel.copy_from_slice(&[source[0], source[0], source[0], source[1]]);
                }
            });
            Samples::Rgba
        }
        Samples::Rgb | Samples::Rgba | Samples::Cmyk => return Ok(()),
    };
    // Some grey pictures carry an RGB profile.
    to_srgb(format, colored, profile, buffer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::pixels::Layout;
    use crate::transform::probe::probe;
    use crate::transform::samples;

    /// As a caller does it.
    fn run(source: &[u8], shrink: Shrink) -> Result<Pixels, Error> {
        let probe = probe(source, true)?;
        let pixels = decode(source, &probe, shrink, &mut Scratch::default())?;
        let len = pixels.width as usize * pixels.height as usize * pixels.layout.channels();
        assert_eq!(pixels.data.len(), len, "a picture is as long as it says");
        assert!(pixels.layout == Layout::Rgb || probe.has_alpha, "alpha appears only where the probe said");
        Ok(pixels)
    }

    #[test]
    fn every_form_is_decoded_alike() {
        for (name, source) in samples::all() {
            let pixels = run(&source, Shrink::One).unwrap();
            let probe = probe(&source, true).unwrap();
            assert_eq!((pixels.width, pixels.height), (probe.width, probe.height), "{name}");
            if matches!(name, "gif" | "animated webp") {
                continue;
            }
            let expected = if probe.has_alpha { samples::rgba() } else { samples::rgb() };
            let (_, mean) = samples::difference(&pixels.data, &expected);
            // Lossless WebP drops the colour of what is fully transparent.
            let limit = if name.contains("png") {
                0.
            } else if name.contains("lossless") {
                0.1
            } else {
                4.
            };
            assert!(mean <= limit, "{name} is off by {mean}");
        }
    }

    #[test]
    fn a_source_that_ends_early_is_corrupt() {
        for (name, source) in samples::all() {
            let whole = run(&source, Shrink::One).unwrap();
            for len in (0..source.len()).step_by(7) {
                let is_right = match run(&source[..len], Shrink::One) {
                    Err(Error::Corrupt { .. }) => true,
                    Err(Error::UnsupportedFormat) => len < 12,
                    // What is missing may lie behind the first frame, which is whole.
                    Ok(pixels) => matches!(name, "gif" | "animated webp") && pixels == whole,
                    Err(_) => false,
                };
                assert!(is_right, "{name} at {len} of {}", source.len());
            }
        }
    }

    #[test]
    fn bytes_behind_the_end_do_not_matter() {
        for (name, mut source) in samples::all() {
            let whole = run(&source, Shrink::One).unwrap();
            source.extend(b"and something more");
            assert_eq!(run(&source, Shrink::One).as_ref(), Ok(&whole), "{name}");
        }
    }

    #[test]
    fn a_failure_gives_the_buffer_back() {
        let source = samples::plain_jpeg();
        let probe = probe(&source, true).unwrap();
        let mut scratch = Scratch::default();
        let len = samples::rgb().len();
        let buffer = scratch.take(len);
        let place = buffer.as_ptr();
        scratch.give(buffer);
        decode(&source[..source.len() / 2], &probe, Shrink::One, &mut scratch).unwrap_err();
        let again = scratch.take(len);
        assert_eq!(again.as_ptr(), place, "the same memory serves again");
    }

    #[test]
    fn memory_grows_with_the_picture_and_never_overflows() {
        let source = samples::plain_jpeg();
        let mut probe = probe(&source, true).unwrap();
        (probe.width, probe.height) = (4000, 3000);
        assert!(decode_memory(&probe, Shrink::One) > 36_000_000, "12 megapixels of RGB");
        assert!(decode_memory(&probe, Shrink::Quarter) < 5_000_000, "a sixteenth of them");
        probe.is_progressive = true;
        assert!(decode_memory(&probe, Shrink::Eighth) > 36_000_000, "coefficients do not shrink");
        for format in
            [SourceFormat::Jpeg, SourceFormat::Png, SourceFormat::Webp, SourceFormat::Gif, SourceFormat::Avif]
        {
            let huge = Probe {
                format,
                width: u32::MAX,
                height: u32::MAX,
                components: 4,
                bits: 16,
                has_alpha: true,
                ..probe.clone()
            };
            assert!(decode_memory(&huge, Shrink::Eighth) > 1 << 60, "{format:?} saturates");
        }
    }

    proptest! {
        #[test]
        fn damaged_sources_never_panic(
            which in 0..12usize,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            shrink in 0..4usize,
        ) {
            let (_, mut source) = SAMPLES.with(|samples| samples[which].clone());
            for (at, value) in flips {
                let at = at.index(source.len());
                source[at] = value;
            }
            let shrink = [Shrink::One, Shrink::Half, Shrink::Quarter, Shrink::Eighth][shrink];
            if probe(&source, true).is_ok_and(|probe| decode_memory(&probe, shrink) < 1 << 28) {
                let _ = run(&source, shrink);
            }
        }
    }

    thread_local! {
        static SAMPLES: Vec<(&'static str, Vec<u8>)> = samples::all();
    }
}
