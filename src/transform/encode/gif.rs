//! GIF, one frame: at most 256 colours by NeuQuant, transparency on or off.

use ::gif::{Encoder, EncodingError, Frame};

use crate::transform::encode::failed;
use crate::transform::error::Error;
use crate::transform::operation::Format;
use crate::transform::pixels::{Layout, Pixels, Scratch};

/// NeuQuant looks at every tenth pixel: its authors' compromise of time and quality.
const SAMPLING: i32 = 10;

/// What is less visible than this vanishes.
const VISIBLE: u8 = 128;

pub(super) fn encode(pixels: &Pixels, scratch: &mut Scratch) -> Result<Vec<u8>, Error> {
    let (Ok(width), Ok(height)) = (u16::try_from(pixels.width), u16::try_from(pixels.height)) else {
        return Err(failed(Format::Gif)(&"a side is too long"));
    };
    let mut rgba = scratch.take(pixels.width as usize * pixels.height as usize * 4);
    widen(pixels, &mut rgba);
    let mut frame = Frame::from_rgba_speed(width, height, &mut rgba, SAMPLING);
    keep_visible(&mut frame, &rgba);
    scratch.give(rgba);
    write(&frame).map_err(|error| failed(Format::Gif)(&error))
}

fn write(frame: &Frame<'_>) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::with_capacity(frame.buffer.len() + 1024);
    let mut encoder = Encoder::new(&mut bytes, frame.width, frame.height, &[])?;
    encoder.write_frame(frame)?;
    // The trailer is written as the encoder goes.
    drop(encoder);
    Ok(bytes)
}

/// To four channels whose alpha is all or nothing.
fn widen(pixels: &Pixels, rgba: &mut [u8]) {
    let (to, _) = rgba.as_chunks_mut::<4>();
    match pixels.layout {
        Layout::Rgb => {
            for (to, &[red, green, blue]) in to.iter_mut().zip(pixels.data.as_chunks::<3>().0) {
                *to = [red, green, blue, 255];
            }
        }
        Layout::Rgba => {
            for (to, &[red, green, blue, alpha]) in to.iter_mut().zip(pixels.data.as_chunks::<4>().0) {
                *to = if alpha < VISIBLE { [0; 4] } else { [red, green, blue, 255] };
            }
        }
    }
}

/// The quantiser may give a dark visible pixel the entry that means transparent: such pixels get
/// the nearest other entry, or the picture would have holes.
fn keep_visible(frame: &mut Frame<'_>, rgba: &[u8]) {
    let (Some(clear), Some(palette)) = (frame.transparent, frame.palette.as_deref()) else { return };
    let (palette, _) = palette.as_chunks::<3>();
    let nearest = |pixel: &[u8; 4]| {
        let distance = |entry: &[u8; 3]| -> u32 {
            entry.iter().zip(pixel).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
        };
        let others = palette.iter().zip(0_u8..=255).filter(|&(_, index)| index != clear);
        others.min_by_key(|(entry, _)| distance(entry)).map_or(clear, |(_, index)| index)
    };
    for (index, pixel) in frame.buffer.to_mut().iter_mut().zip(rgba.as_chunks::<4>().0) {
        if *index == clear && pixel[3] != 0 {
            *index = nearest(pixel);
        }
    }
}
