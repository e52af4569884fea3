//! GIF blocks up to the first frame.

use crate::transform::error::Error;
use crate::transform::pixels::Orientation;
use crate::transform::probe::bytes::Bytes;
use crate::transform::probe::{Probe, SourceFormat};

const FORMAT: SourceFormat = SourceFormat::Gif;

/// Reads what the plan needs.
pub(super) fn probe(head: &[u8]) -> Result<Probe, Error> {
    let mut bytes = Bytes::new(head);
    bytes.skip(6)?;
    let (width, height) = (bytes.u16_le()?, bytes.u16_le()?);
    let flags = bytes.u8()?;
    bytes.skip(2 + palette_len(flags))?;
    if width == 0 || height == 0 {
        return Err(FORMAT.corrupt("no width or no height"));
    }
    let mut is_transparent = false;
    loop {
        match (bytes.u8()?, &mut bytes) {
            (0x21, bytes) => {
                let is_control = bytes.u8()? == 0xF9;
                let first = read_blocks(bytes)?;
                if is_control {
                    is_transparent = first & 1 == 1;
                }
            }
            (0x2C, bytes) => {
                let origin = (bytes.u16_le()?, bytes.u16_le()?);
                let size = (bytes.u16_le()?, bytes.u16_le()?);
                // What the first frame leaves of the screen stays transparent.
                let covers = origin == (0, 0) && size.0 >= width && size.1 >= height;
                return Ok(Probe {
                    format: FORMAT,
                    width: width.into(),
                    height: height.into(),
                    orientation: Orientation::default(),
                    has_alpha: is_transparent || !covers,
                    is_progressive: false,
                    components: 1,
                    bits: 8,
                });
            }
            (0x3B, _) => return Err(FORMAT.corrupt("no frame")),
            _ => return Err(FORMAT.corrupt("a block of unknown kind")),
        }
    }
}

/// Skips a chain of blocks; gives the first byte of the first.
fn read_blocks(bytes: &mut Bytes) -> Result<u8, Error> {
    let mut first = None;
    loop {
        let len = bytes.u8()?;
        if len == 0 {
            return Ok(first.unwrap_or_default());
        }
        let block = bytes.take(len.into())?;
        first = first.or(block.first().copied());
    }
}

/// Bytes of the palette that a flags byte announces.
fn palette_len(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
