//! PNG chunks up to the first `IDAT`. The decoder checks their sums; here only their lengths count.

use crate::transform::error::Error;
use crate::transform::pixels::Orientation;
use crate::transform::probe::bytes::Bytes;
use crate::transform::probe::{Probe, SourceFormat, exif};

const FORMAT: SourceFormat = SourceFormat::Png;

/// Reads what the plan needs.
pub(super) fn probe(head: &[u8]) -> Result<Probe, Error> {
    let mut bytes = Bytes::new(head);
    bytes.skip(8)?;
    if bytes.array()? != *b"\0\0\0\x0DIHDR" {
        return Err(FORMAT.corrupt("does not begin with its header"));
    }
    let (width, height) = (bytes.u32()?, bytes.u32()?);
    let (bits, color) = (bytes.u8()?, bytes.u8()?);
    bytes.skip(3 + 4)?;
    if !(1..=i32::MAX as u32).contains(&width) || !(1..=i32::MAX as u32).contains(&height) {
        return Err(FORMAT.corrupt("a size out of range"));
    }
    let components = match (color, bits) {
        (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) => 1,
        (2, 8 | 16) => 3,
        (4, 8 | 16) => 2,
        (6, 8 | 16) => 4,
        _ => return Err(FORMAT.corrupt("a colour type or depth that does not exist")),
    };
    let (has_transparent_entries, orientation) = read_chunks(&mut bytes)?;
    Ok(Probe {
        format: FORMAT,
        width,
        height,
        orientation,
        has_alpha: matches!(color, 4 | 6) || has_transparent_entries,
        is_progressive: false,
        components,
        bits,
    })
}

/// Whether there is a `tRNS`, and the orientation of `eXIf`.
fn read_chunks(bytes: &mut Bytes) -> Result<(bool, Orientation), Error> {
    let mut has_transparent_entries = false;
    let mut orientation = Orientation::default();
    loop {
        let len = bytes.u32()?;
        let kind = bytes.array()?;
        if len > i32::MAX as u32 {
            return Err(FORMAT.corrupt("a chunk longer than any can be"));
        }
        match &kind {
            b"IDAT" => return Ok((has_transparent_entries, orientation)),
            b"IEND" => return Err(FORMAT.corrupt("no picture data")),
            b"tRNS" => has_transparent_entries = true,
            b"eXIf" => {
                orientation = exif::orientation(bytes.take(len as usize)?);
                bytes.skip(4)?;
                continue;
            }
            _ => {}
        }
        bytes.skip(u64::from(len) + 4)?;
    }
}
