//! GIF by the crate `gif`: the first frame on its logical screen, the rest of which is transparent.

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};

use crate::transform::decode::{fill, take};
use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{Probe, SourceFormat};

const FORMAT: SourceFormat = SourceFormat::Gif;

/// Decodes the first frame. What follows it is not looked at: cut-off animations are common, and
/// their first frame is whole.
pub(super) fn decode(source: &[u8], probe: &Probe, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let screen = (probe.width as usize, probe.height as usize);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.allow_unknown_blocks(true);
    // Frames larger than the screen are cut to it, but must not need much more memory.
    let limit = NonZeroU64::new(2 * screen.0 as u64 * screen.1 as u64).unwrap_or(NonZeroU64::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(limit.saturating_add(64 << 10)));
    let mut decoder = options.read_info(source).map_err(|error| corrupt(&error))?;
    if (usize::from(decoder.width()), usize::from(decoder.height())) != screen {
        return Err(FORMAT.corrupt("not the picture that was probed"));
    }
    let frame = decoder.next_frame_info().map_err(|error| corrupt(&error))?;
    let frame = frame.ok_or_else(|| FORMAT.corrupt("no frame"))?;
    let place = Place {
        origin: (frame.left.into(), frame.top.into()),
        size: (frame.width.into(), frame.height.into()),
        screen,
        transparent: frame.transparent,
    };
    let indexes_len = place.size.0 * place.size.1;
    if indexes_len as u64 > limit.get() {
        return Err(FORMAT.corrupt("a frame much larger than the screen"));
    }
    let indexes = scratch.take(indexes_len);
    let indexes = fill(indexes, scratch, |indexes, _| {
        decoder.read_into_buffer(indexes).map_err(|error| corrupt(&error))
    })?;
    let layout = if probe.has_alpha { Layout::Rgba } else { Layout::Rgb };
    let mut data = take(scratch, probe.width, probe.height, layout.channels());
    let painted = paint(&decoder, &indexes, &place, layout, &mut data);
    scratch.give(indexes);
    painted?;
    Ok(Pixels { width: probe.width, height: probe.height, layout, data })
}

struct Place {
    origin: (usize, usize),
    size: (usize, usize),
    screen: (usize, usize),
    transparent: Option<u8>,
}

/// Paints a frame of palette indexes on an empty screen.
fn paint(
    decoder: &Decoder<&[u8]>,
    indexes: &[u8],
    place: &Place,
    layout: Layout,
    screen: &mut [u8],
) -> Result<(), Error> {
    let mut colors = [[0, 0, 0, 255]; 256];
    let palette = decoder.palette().map_err(|error| corrupt(&error))?;
    for (color, entry) in colors.iter_mut().zip(palette.chunks_exact(3)) {
        color[..3].copy_from_slice(entry);
    }
    if let Some(index) = place.transparent {
        colors[usize::from(index)] = [0; 4];
    }
    let channels = layout.channels();
    screen.fill(0);
    let width = place.size.0.min(place.screen.0.saturating_sub(place.origin.0));
    let rows = screen.chunks_exact_mut(place.screen.0 * channels).skip(place.origin.1);
    if width == 0 {
        return Ok(());
    }
    for (row, indexes) in rows.zip(indexes.chunks_exact(place.size.0)) {
        let row = &mut row[place.origin.0 * channels..(place.origin.0 + width) * channels];
        for (pixel, index) in row.chunks_exact_mut(channels).zip(indexes) {
            pixel.copy_from_slice(&colors[usize::from(*index)][..channels]);
        }
    }
    Ok(())
}

fn corrupt(error: &DecodingError) -> Error {
    FORMAT.corrupt(error.to_string())
}
