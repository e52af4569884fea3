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
        Format::Webp => webp::encode(&pixels, quality),
        Format::Avif => avif::encode(&pixels, quality),
        Format::Gif => gif::encode(&pixels, scratch),
    };
    scratch.give(pixels.data);
    bytes
}

/// Peak bytes of [`encode`] with the result, without the pixels: fixed costs of the encoder and
/// what it holds per pixel. The figures are the peaks of resident memory measured from 64 x 64 to
/// 2048 x 1536 on noise, the worst case, rounded up.
pub(crate) fn encode_memory(size: Size, format: Format, has_alpha: bool) -> u64 {
    let pixels = u64::from(size.width) * u64::from(size.height);
    let (fixed, per_pixel) = match format {
        // Coefficients of the whole picture (for the optimal Huffman tables) and the output twice.
        Format::Jpeg => (1 << 20, 12),
        Format::Png => (1 << 20, if has_alpha { 13 } else { 10 }),
        Format::Webp => (2 << 20, if has_alpha { 20 } else { 14 }),
        Format::Avif => (8 << 20, if has_alpha { 64 } else { 48 }),
        Format::Gif => (1 << 20, 16),
    };
    fixed + pixels * per_pixel
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
