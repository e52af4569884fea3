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
    let output = width.div_ceil(divisor).saturating_mul(height.div_ceil(divisor));
    let output = output.saturating_mul(if components == 4 { 4 } else { 3 });
    // Coefficients have 2 bytes. How far chroma is subsampled is not known here: assume not at all.
    let coefficients = width.saturating_mul(height).saturating_mul(components * 2);
    let coefficients = if probe.is_progressive { coefficients } else { 0 };
    // A row of blocks of each component before and after upsampling, and some context.
    output.saturating_add(coefficients).saturating_add(width * components * 64)
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
    let decompress =
        |format, pixels: &mut [u8]| match decompress(source, shrink, format, (width, height), pixels) {
            Err(turbojpeg::Error::TurboJpegError(words)) if is_harmless(&words) && !head.has_restarts() => {
                Ok(())
            }
            other => other.map_err(|error| FORMAT.corrupt(error.to_string())),
        };
    let profile = head.profile();
    let profile = profile.as_deref().map(Profile::Icc);
    let channels = if head.components() == 4 { 4 } else { 3 };
    let buffer = take(scratch, width, height, channels);
    let data = fill(buffer, scratch, |buffer, _| match head.components() {
        1 => {
            let pixels = buffer.len() / 3;
            decompress(PixelFormat::GRAY, &mut buffer[2 * pixels..])?;
            to_srgb(FORMAT, Samples::Gray, profile, buffer)
        }
        4 => {
            decompress(PixelFormat::CMYK, buffer)?;
            cmyk_to_srgb(head.is_adobe(), profile, buffer)
        }
        _ => {
            decompress(PixelFormat::RGB, buffer)?;
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
) -> turbojpeg::Result<()> {
    let (width, height) = (width as usize, height as usize);
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(MAX_SCANS)?;
    decompressor.set_scaling_factor(match shrink {
        Shrink::One => ScalingFactor::ONE,
        Shrink::Half => ScalingFactor::ONE_HALF,
        Shrink::Quarter => ScalingFactor::ONE_QUARTER,
        Shrink::Eighth => ScalingFactor::ONE_EIGHTH,
    })?;
    decompressor.decompress(source, Image { pixels, width, pitch: width * format.size(), height, format })
}

/// Warnings are failures: a source that ends early gives no more than one, over a half-grey
/// picture. Of a decoder's warnings the first is kept, so harmless can only be one after which no
/// picture data follow: here, bytes before the end marker (0xD9), which some cameras pad with.
/// With restart intervals it can also mean that intervals are missing.
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

#[cfg(test)]
mod tests {
    use moxcms::ColorProfile;
    use turbojpeg::{Compressor, Subsamp};

    use super::*;
    use crate::transform::probe::probe;
    use crate::transform::samples::{self, HEIGHT, WIDTH};

    fn run(source: &[u8], shrink: Shrink) -> Result<Pixels, Error> {
        decode(source, &probe(source, true)?, shrink, &mut Scratch::default())
    }

    fn mean(pixels: &Pixels, expected: &[u8]) -> f64 {
        samples::difference(&pixels.data, expected).1
    }

    #[test]
    fn each_shrink_rounds_its_sides_up() {
        for is_progressive in [false, true] {
            let source = samples::jpeg(PixelFormat::RGB, &samples::rgb(), Subsamp::Sub2x2, is_progressive);
            for shrink in [Shrink::One, Shrink::Half, Shrink::Quarter, Shrink::Eighth] {
                let pixels = run(&source, shrink).unwrap();
                let size = (WIDTH.div_ceil(shrink.divisor()), HEIGHT.div_ceil(shrink.divisor()));
                assert_eq!((pixels.width, pixels.height), size, "{shrink:?}");
                assert_eq!(pixels.data.len() as u32, size.0 * size.1 * 3, "{shrink:?}");
                // The middle of a cell, on the gradient.
                let value = |at: u32, of: u32| (2 * at + 1) * shrink.divisor() * 255 / (2 * of);
                for (at, pixel) in pixels.data.chunks(3).enumerate() {
                    let (x, y) = (
                        value(at as u32 % size.0, WIDTH).min(255),
                        value(at as u32 / size.0, HEIGHT).min(255),
                    );
                    let off = x.abs_diff(pixel[0].into()).max(y.abs_diff(pixel[1].into()));
                    assert!(off < 40, "{shrink:?} is off the gradient by {off} at {at}");
                }
            }
        }
    }

    #[test]
    fn grey_becomes_three_equal_channels() {
        let gray = samples::picture(|x, _| vec![x]);
        let source = samples::jpeg(PixelFormat::GRAY, &gray, Subsamp::Gray, false);
        let expected = samples::picture(|x, _| vec![x; 3]);
        assert!(mean(&run(&source, Shrink::One).unwrap(), &expected) < 2., "grey stays grey");
        let profile = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let linear = run(&samples::with_profile(&source, &profile, 60_000), Shrink::One).unwrap();
        let middle = linear.data.chunks(3).nth(WIDTH as usize / 2).unwrap();
        assert!(
            middle[0].abs_diff(188) < 8 && middle[0] == middle[2],
            "half of linear light is {middle:?} in sRGB"
        );
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        let neutral = run(&samples::with_profile(&source, &p3, 60_000), Shrink::One).unwrap();
        assert!(mean(&neutral, &expected) < 2., "grey in an RGB profile is neutral");
    }

    #[test]
    fn a_profile_in_parts_is_put_together_and_applied() {
        let profile = ColorProfile::new_display_p3().encode().unwrap();
        let red = samples::picture(|_, _| vec![200, 60, 60]);
        let source = samples::jpeg(PixelFormat::RGB, &red, Subsamp::None, false);
        let whole = run(&samples::with_profile(&source, &profile, 60_000), Shrink::One).unwrap();
        assert!(whole.data[0] > 207 && whole.data[1] < 55, "P3's red is redder: {:?}", &whole.data[..3]);
        let parts = run(&samples::with_profile(&source, &profile, 100), Shrink::One).unwrap();
        assert!(whole == parts, "order is by number, not by place");
        let broken = run(&samples::with_profile(&source, &profile[..200], 60_000), Shrink::One).unwrap();
        assert_eq!(broken, run(&source, Shrink::One).unwrap(), "a broken profile is ignored");
    }

    #[test]
    fn ink_becomes_light() {
        // As libjpeg-turbo writes it: an Adobe marker, and the numbers count light.
        let light = samples::picture(|x, y| vec![x, y, 128, 200]);
        let source = samples::jpeg(PixelFormat::CMYK, &light, Subsamp::None, false);
        let expected = samples::picture(|x, y| [x, y, 128].iter().map(|ink| multiply(*ink, 200)).collect());
        let pixels = run(&source, Shrink::One).unwrap();
        assert_eq!(pixels.data.len(), expected.len(), "three of four channels are left");
        assert!(mean(&pixels, &expected) < 3., "without a profile inks multiply");
        assert_eq!(probe(&source, true).unwrap().components, 4, "four components are planned for");

        let profile = samples::cmyk_profile();
        let pixels = run(&samples::with_profile(&source, &profile, 60_000), Shrink::One).unwrap();
        assert!(
            pixels.data.chunks(3).all(|p| p[0].abs_diff(p[1]) < 3 && p[1].abs_diff(p[2]) < 3),
            "the profile's inks are grey"
        );
        let (first, last) = (pixels.data[0], pixels.data[pixels.data.len() - 1]);
        assert!(first < last, "more ink is darker: {first} and {last}");
    }

    #[test]
    fn ink_without_adobes_marker_is_not_inverted() {
        let light = samples::picture(|_, _| vec![255, 0, 0, 255]);
        let mut source = samples::jpeg(PixelFormat::CMYK, &light, Subsamp::None, false);
        let pixels = run(&source, Shrink::One).unwrap();
        assert!(
            pixels.data[0] > 250 && pixels.data[1] < 5,
            "light of the first ink is red: {:?}",
            &pixels.data[..3]
        );
        // YCCK without the marker is read as CMYK, so all that can be asked is the other sense.
        let at = source.windows(5).position(|window| window == b"Adobe").unwrap();
        source[at] = b'X';
        let turned = run(&source, Shrink::One).unwrap();
        assert!(
            turned.data.iter().all(|value| *value < 5),
            "full black ink leaves no light: {:?}",
            &turned.data[..3]
        );
    }

    #[test]
    fn forms_that_are_not_read_are_named() {
        let mut compressor = Compressor::new().unwrap();
        compressor.set_arithmetic(true).unwrap();
        let pixels = samples::rgb();
        let (width, height) = (WIDTH as usize, HEIGHT as usize);
        let image = Image { pixels: &pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
        let arithmetic = compressor.compress_to_vec(image).unwrap();
        assert_eq!(run(&arithmetic, Shrink::One), Err(FORMAT.unsupported("arithmetic coding")));

        let mut deep = samples::plain_jpeg();
        let frame = deep.windows(2).position(|window| window == [0xFF, 0xC0]).unwrap();
        deep[frame + 4] = 12;
        assert_eq!(run(&deep, Shrink::One), Err(FORMAT.unsupported("samples of other than 8 bits")));
    }

    #[test]
    fn thousands_of_scans_are_refused() {
        let source = samples::jpeg(PixelFormat::RGB, &samples::rgb(), Subsamp::None, true);
        let scans: Vec<_> = (0..source.len() - 1).filter(|at| source[*at..*at + 2] == [0xFF, 0xDA]).collect();
        let end = source.len() - 2;
        // The first scan again and again: it holds the coarse values of all components.
        let first = &source[scans[0]..scans[1]];
        let first =
            &first[..first.windows(2).position(|window| window == [0xFF, 0xC4]).unwrap_or(first.len())];
        let bomb = [&source[..end], &first.repeat(2000), &source[end..]].concat();
        let error = run(&bomb, Shrink::One).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { reason, .. } if reason.contains("scans")), "{error}");
    }

    #[test]
    fn padding_before_the_end_is_harmless() {
        let source = samples::plain_jpeg();
        let end = source.len() - 2;
        let padded = [&source[..end], &[0; 100], &source[end..]].concat();
        assert_eq!(run(&padded, Shrink::One), run(&source, Shrink::One), "zeros before the end marker");
        let cut = [&source[..end - 300], &source[end..]].concat();
        assert!(run(&cut, Shrink::One).is_err(), "an end marker over missing data deceives nobody");
    }

    #[test]
    fn a_second_scan_is_planned_for() {
        let mut source = samples::plain_jpeg();
        let scan = source.windows(2).position(|window| window == [0xFF, 0xDA]).unwrap();
        source[scan + 4] = 1;
        assert!(
            probe(&source, true).unwrap().is_progressive,
            "scans of one component each need all coefficients"
        );
    }
}
