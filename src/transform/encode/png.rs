//! PNG by the png crate's `Fast` level, which on photos is no larger than the slow ones.

use ::png::{BitDepth, ColorType, Compression, Encoder, EncodingError, PixelDimensions, Unit};

use crate::transform::encode::failed;
use crate::transform::error::Error;
use crate::transform::operation::Format;
use crate::transform::pixels::{Layout, Pixels};

/// 72 pixels per inch, in pixels per metre.
const DENSITY: u32 = 2835;

pub(super) fn encode(pixels: &Pixels) -> Result<Vec<u8>, Error> {
    // What photos come to; a buffer that is too small only costs a copy.
    let mut bytes = Vec::with_capacity(pixels.data.len() / 2 + 1024);
    write(pixels, &mut bytes).map_err(|error| failed(Format::Png)(&error))?;
    Ok(bytes)
}

fn write(pixels: &Pixels, bytes: &mut Vec<u8>) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(bytes, pixels.width, pixels.height);
    encoder.set_color(match pixels.layout {
        Layout::Rgb => ColorType::Rgb,
        Layout::Rgba => ColorType::Rgba,
    });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_pixel_dims(Some(PixelDimensions { xppu: DENSITY, yppu: DENSITY, unit: Unit::Meter }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels.data)?;
    writer.finish()
}
