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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::probe::probe;
    use crate::transform::samples::{self, HEIGHT, WIDTH, gif_frame};

    fn run(source: &[u8]) -> Result<Pixels, Error> {
        decode(source, &probe(source, true)?, &mut Scratch::default())
    }

    fn pixel(pixels: &Pixels, x: u32, y: u32) -> &[u8] {
        let channels = pixels.layout.channels();
        &pixels.data[(y * pixels.width + x) as usize * channels..][..channels]
    }

    #[test]
    fn a_frame_that_fills_the_screen_is_opaque() {
        let pixels = run(&samples::plain_gif()).unwrap();
        assert_eq!((pixels.layout, pixels.width, pixels.height), (Layout::Rgb, WIDTH, HEIGHT));
        let colors = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]];
        for x in 0..WIDTH {
            assert_eq!(pixel(&pixels, x, HEIGHT - 1), colors[x as usize % 4], "column {x}");
        }
    }

    #[test]
    fn the_transparent_entry_is_transparent() {
        let frame = gif::Frame { transparent: Some(1), ..gif_frame(0, 0, WIDTH as u16, HEIGHT as u16) };
        let pixels = run(&samples::gif(&[frame])).unwrap();
        assert_eq!(pixel(&pixels, 0, 0), [0, 0, 0, 255], "black is opaque");
        assert_eq!(pixel(&pixels, 1, 0), [0, 0, 0, 0], "the second entry is not");
    }

    #[test]
    fn a_frame_lies_on_its_screen_and_is_cut_to_it() {
        let (width, height) = (WIDTH as u16, HEIGHT as u16);
        for (left, top, across, down) in
            [(5, 3, 10, 10), (width - 4, height - 2, 20, 20), (0, 0, width + 9, height + 9)]
        {
            let pixels = run(&samples::gif(&[gif_frame(left, top, across, down)])).unwrap();
            let fills = left == 0;
            assert_eq!(pixels.layout, if fills { Layout::Rgb } else { Layout::Rgba });
            if !fills {
                assert_eq!(pixel(&pixels, 0, 0), [0; 4], "the rest of the screen is transparent");
            }
            let inside = pixel(&pixels, u32::from(left) + 1, u32::from(top) + 1);
            assert_eq!(inside[..3], [255, 0, 0], "the second column of the frame");
        }
        let outside = run(&samples::gif(&[gif_frame(width + 5, 0, 8, 8)])).unwrap();
        assert!(outside.data.iter().all(|value| *value == 0), "nothing of the frame is on the screen");
        let huge = run(&samples::gif(&[gif_frame(0, 0, 3000, 3000)]));
        assert!(
            matches!(huge, Err(Error::Corrupt { .. })),
            "a screen of 45 x 27 does not pay for 9 million pixels"
        );
    }

    #[test]
    fn its_own_palette_leads_and_interlace_is_undone() {
        let (width, height) = (WIDTH as u16, HEIGHT as u16);
        let rows: Vec<u8> = (0..height).flat_map(|y| vec![y as u8; width.into()]).collect();
        let palette = (0..=255).flat_map(|i| [i, 0, 255 - i]).collect();
        // The encoder stores rows as they come: in the order of the passes.
        let order = (0..height)
            .step_by(8)
            .chain((4..height).step_by(8))
            .chain((2..height).step_by(4))
            .chain((1..height).step_by(2));
        let stored = order.flat_map(|y| vec![y as u8; width.into()]).collect::<Vec<_>>();
        let frame = gif::Frame {
            interlaced: true,
            palette: Some(palette),
            buffer: stored.into(),
            ..gif_frame(0, 0, width, height)
        };
        let pixels = run(&samples::gif(&[frame])).unwrap();
        for (pixel, index) in pixels.data.chunks(3).zip(rows) {
            assert_eq!(pixel, [index, 0, 255 - index], "row {index}");
        }
    }
}
