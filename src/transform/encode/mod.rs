//! Pixels to bytes: one file a format, and the table that makes one quality look alike in all.
//!
//! The formats that can say so get the tag of 72 pixels per inch (JPEG's JFIF density, PNG's
//! `pHYs`); no other metadata is ever written. Sizes are checked here once more although plans are
//! bounded, because the C encoders behind some of these must never see a size they cannot hold.

mod avif;
mod gif;
mod jpeg;
mod png;
mod quality;
mod webp;

use crate::transform::error::Error;
use crate::transform::operation::{Format, Quality, Size};
use crate::transform::pixels::{Pixels, Scratch};

/// Encodes a picture and gives its buffer back. Formats without alpha take only
/// [`Layout::Rgb`](crate::transform::Layout::Rgb).
///
/// # Errors
/// [`Error::Encode`].
pub(crate) fn encode(
    pixels: Pixels,
    format: Format,
    quality: Quality,
    scratch: &mut Scratch,
) -> Result<Vec<u8>, Error> {
    check(&pixels, format)?;
    let bytes = match format {
        Format::Jpeg => jpeg::encode(&pixels, quality),
        Format::Png => png::encode(&pixels),
        Format::Webp => webp::encode(&pixels, quality::webp(quality)),
        Format::Avif => avif::encode(&pixels, quality::avif(quality)),
        Format::Gif => gif::encode(&pixels, scratch),
    };
    scratch.give(pixels.data);
    bytes
}

/// Peak bytes of [`encode`] with the result, without the pixels: fixed costs of the encoder and
/// what it holds per pixel. The figures are peaks of resident memory, measured from 64 x 64 to
/// 2048 x 1536 at quality 99 on noise, which is the worst case, and rounded up. AVIF alone depends
/// much on the quality; its steps were measured at 80, 90 and 99.
pub(crate) fn encode_memory(size: Size, format: Format, quality: Quality, has_alpha: bool) -> u64 {
    let pixels = u64::from(size.width) * u64::from(size.height);
    let (fixed, per_pixel, per_alpha) = match format {
        Format::Jpeg => (1 << 20, 8, 0),
        Format::Png => (1 << 20, 12, 2),
        // Lossless alpha keeps chains of matches for every pixel.
        Format::Webp => (2 << 20, 12, 24),
        Format::Avif => match quality.0 {
            0..=80 => (8 << 20, 72, 12),
            81..=90 => (8 << 20, 88, 12),
            _ => (8 << 20, 136, 12),
        },
        Format::Gif => (1 << 20, 12, 0),
    };
    fixed + pixels * (per_pixel + if has_alpha { per_alpha } else { 0 })
}

/// The longest side that a format can express.
pub(crate) fn max_side(format: Format) -> u32 {
    match format {
        Format::Webp => 16_383,
        // JPEG itself would allow 65 535, libjpeg-turbo stops here.
        Format::Jpeg => 65_500,
        Format::Png | Format::Avif | Format::Gif => 65_535,
    }
}

fn check(pixels: &Pixels, format: Format) -> Result<(), Error> {
    let most = max_side(format);
    let is_within = (1..=most).contains(&pixels.width) && (1..=most).contains(&pixels.height);
    let len = u64::from(pixels.width) * u64::from(pixels.height) * pixels.layout.channels() as u64;
    if !is_within || len != pixels.data.len() as u64 {
        let Pixels { width, height, .. } = pixels;
        let reason = format!("{width} x {height} in {} bytes", pixels.data.len());
        return Err(Error::Encode { format: name(format), reason });
    }
    Ok(())
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Jpeg => "JPEG",
        Format::Png => "PNG",
        Format::Webp => "WebP",
        Format::Avif => "AVIF",
        Format::Gif => "GIF",
    }
}

/// An encoder's own words as our error.
fn failed(format: Format) -> impl Fn(&dyn std::fmt::Display) -> Error {
    move |error| Error::Encode { format: name(format), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::pixels::Layout;

    const FORMATS: [Format; 5] = [Format::Jpeg, Format::Png, Format::Webp, Format::Avif, Format::Gif];

    /// Smooth in each channel, with a soft hole if there is alpha.
    fn picture(width: u32, height: u32, layout: Layout) -> Pixels {
        let data = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| {
                [x * 255 / width, y * 255 / height, (x + y) * 2, x * 4].map(|n| n.min(255) as u8)
            })
            .collect::<Vec<u8>>()
            .chunks(4)
            .flat_map(|pixel| &pixel[..layout.channels()])
            .copied()
            .collect();
        Pixels { width, height, layout, data }
    }

    fn encoded(pixels: Pixels, format: Format) -> Vec<u8> {
        encode(pixels, format, Quality(80), &mut Scratch::default()).unwrap()
    }

    #[test]
    fn every_format_starts_with_its_magic() {
        for format in FORMATS {
            for (width, height) in [(1, 1), (3, 2), (1, 40), (100, 75)] {
                let bytes = encoded(picture(width, height, Layout::Rgb), format);
                let expected: (usize, &[u8]) = match format {
                    Format::Jpeg => (0, &[0xff, 0xd8, 0xff]),
                    Format::Png => (0, b"\x89PNG\r\n\x1a\n"),
                    Format::Webp => (8, b"WEBPVP8 "),
                    Format::Avif => (4, b"ftypavif"),
                    Format::Gif => (0, b"GIF89a"),
                };
                assert!(bytes[expected.0..].starts_with(expected.1), "{format:?} {width} x {height}");
            }
        }
    }

    #[test]
    fn jpeg_and_png_carry_72_pixels_per_inch() {
        let jpeg = encoded(picture(8, 8, Layout::Rgb), Format::Jpeg);
        assert_eq!(&jpeg[6..18], b"JFIF\0\x01\x01\x01\x00\x48\x00\x48");
        let png = encoded(picture(8, 8, Layout::Rgb), Format::Png);
        let chunk = b"pHYs\0\0\x0b\x13\0\0\x0b\x13\x01";
        assert!(png.windows(chunk.len()).any(|bytes| bytes == chunk), "pHYs in {png:?}");
    }

    #[test]
    fn pixels_survive_where_the_format_is_lossless() {
        for layout in [Layout::Rgb, Layout::Rgba] {
            let pixels = picture(33, 17, layout);
            let decoded = image::load_from_memory(&encoded(pixels.clone(), Format::Png)).unwrap();
            assert_eq!(decoded.as_bytes(), pixels.data, "{layout:?}");
        }
    }

    #[test]
    fn pixels_come_close_where_it_is_not() {
        for format in [Format::Jpeg, Format::Webp, Format::Gif] {
            let pixels = picture(64, 64, Layout::Rgb);
            let bytes = encoded(pixels.clone(), format);
            let decoded = if format == Format::Jpeg {
                turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB).unwrap().pixels
            } else {
                image::load_from_memory(&bytes).unwrap().into_rgb8().into_raw()
            };
            let distance =
                |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
            let mean = distance(&decoded, &pixels.data) / pixels.data.len() as f64;
            assert!(mean < 9.0, "{format:?} is off by {mean} on average");
        }
    }

    #[test]
    fn transparency_is_kept_where_the_format_has_it() {
        for format in [Format::Png, Format::Webp, Format::Gif] {
            let bytes = encoded(picture(100, 20, Layout::Rgba), format);
            let decoded = image::load_from_memory(&bytes).unwrap().into_rgba8();
            assert!(decoded.get_pixel(1, 1).0[3] < 10, "{format:?} is clear on the left");
            assert_eq!(decoded.get_pixel(99, 1).0[3], 255, "{format:?} is opaque on the right");
        }
        let with = encoded(picture(100, 20, Layout::Rgba), Format::Avif);
        assert!(with.windows(4).any(|bytes| bytes == b"auxC"), "AVIF has an alpha plane");
    }

    #[test]
    fn a_gif_of_dark_pixels_has_no_holes() {
        let mut pixels = picture(128, 128, Layout::Rgba);
        for (i, pixel) in pixels.data.chunks_mut(4).enumerate() {
            let dark = (i % 40) as u8;
            pixel.copy_from_slice(&[dark, dark / 2, (i / 128 % 37) as u8, if i < 64 { 0 } else { 255 }]);
        }
        let decoded = image::load_from_memory(&encoded(pixels, Format::Gif)).unwrap().into_rgba8();
        let clear = decoded.pixels().filter(|pixel| pixel.0[3] == 0).count();
        assert_eq!(clear, 64, "only what was transparent is");
    }

    #[test]
    fn sizes_that_a_format_cannot_hold_are_refused() {
        for (width, height, len) in [(0, 1, 0), (1, 0, 0), (65_536, 1, 65_536 * 3), (2, 2, 11), (2, 2, 13)] {
            for format in FORMATS {
                let pixels = Pixels { width, height, layout: Layout::Rgb, data: vec![0; len] };
                let result = encode(pixels, format, Quality(80), &mut Scratch::default());
                assert!(
                    matches!(result, Err(Error::Encode { .. })),
                    "{format:?} {width} x {height} in {len}"
                );
            }
        }
    }

    #[test]
    fn quality_changes_the_size_everywhere() {
        for format in [Format::Jpeg, Format::Webp, Format::Avif] {
            let sizes = [1, 30, 80, 100].map(|quality| {
                let pixels = picture(128, 96, Layout::Rgb);
                encode(pixels, format, Quality(quality), &mut Scratch::default()).unwrap().len()
            });
            assert!(sizes.is_sorted() && sizes[0] < sizes[3], "{format:?} {sizes:?}");
        }
    }
}
