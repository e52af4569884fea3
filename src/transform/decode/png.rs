//! PNG by the crate `png`, which unpacks palettes, small and 16-bit samples and `tRNS`.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits, Reader, Transformations};

use crate::transform::color::{Profile, Samples};
use crate::transform::decode::{fill, take, to_srgb};
use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{Probe, SourceFormat};

const FORMAT: SourceFormat = SourceFormat::Png;

/// For what stands beside the picture: an ICC profile is compressed, and may be a bomb.
const MAX_EXTRA_BYTES: usize = 8 << 20;

/// Decodes the picture; of an animation, the one for programs that know no animations.
pub(super) fn decode(source: &[u8], probe: &Probe, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let row_bytes = probe.width as usize * 8;
    let limits = Limits { bytes: MAX_EXTRA_BYTES.saturating_add(row_bytes.saturating_mul(4)) };
    let mut decoder = Decoder::new_with_limits(Cursor::new(source), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|error| corrupt(&error))?;
    let (width, height) = reader.info().size();
    if (width, height) != (probe.width, probe.height) {
        return Err(FORMAT.corrupt("not the picture that was probed"));
    }
    let (color, depth) = reader.output_color_type();
    if depth != BitDepth::Eight {
        return Err(FORMAT.corrupt("samples that did not become 8 bits"));
    }
    let samples = match color {
        ColorType::Grayscale => Samples::Gray,
        ColorType::GrayscaleAlpha => Samples::GrayAlpha,
        ColorType::Rgb => Samples::Rgb,
        ColorType::Rgba => Samples::Rgba,
        ColorType::Indexed => return Err(FORMAT.corrupt("a palette that was not unpacked")),
    };
    let layout = if samples.channels().1 == 4 { Layout::Rgba } else { Layout::Rgb };
    let buffer = take(scratch, width, height, layout.channels());
    let data = fill(buffer, scratch, |buffer, _| {
        let start = buffer.len() - buffer.len() / layout.channels() * samples.channels().0;
        read_frame(&mut reader, &mut buffer[start..])?;
        to_srgb(FORMAT, samples, profile_of(reader.info())?, buffer)
    })?;
    Ok(Pixels { width, height, layout, data })
}

fn read_frame(reader: &mut Reader<Cursor<&[u8]>>, pixels: &mut [u8]) -> Result<(), Error> {
    let frame = reader.next_frame(pixels).map_err(|error| corrupt(&error))?;
    if frame.buffer_size() != pixels.len() {
        return Err(FORMAT.corrupt("a first frame smaller than the picture"));
    }
    // What follows is not needed, but if it is missing, the source was cut off.
    reader.finish().map_err(|error| corrupt(&error))
}

/// What colour the picture is in: `cICP` leads, then `sRGB`, then `iCCP` (PNG 3, section 4.3).
fn profile_of<'a>(info: &'a Info) -> Result<Option<Profile<'a>>, Error> {
    if let Some(cicp) = info.coding_independent_code_points {
        return Profile::from_numbers(FORMAT, cicp.color_primaries, cicp.transfer_function);
    }
    if info.srgb.is_some() {
        return Ok(None);
    }
    Ok(info.icc_profile.as_deref().map(Profile::Icc))
}

fn corrupt(error: &DecodingError) -> Error {
    FORMAT.corrupt(error.to_string())
}
