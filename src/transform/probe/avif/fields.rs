//! The grammar of boxes (ISO 14496-12, section 4.2).

use crate::transform::error::Error;
use crate::transform::probe::avif::FORMAT;
use crate::transform::probe::bytes::Bytes;

/// The header of a box.
pub(super) struct BoxHeader {
    /// Its type.
    pub(super) kind: [u8; 4],
    /// Bytes of its content; `None`: to the end of the file.
    pub(super) len: Option<u64>,
}

impl BoxHeader {
    /// Its content, if that has an end.
    pub(super) fn content<'a>(&self, bytes: &mut Bytes<'a>) -> Result<&'a [u8], Error> {
        let len = self.len.ok_or_else(|| FORMAT.corrupt("a header without an end"))?;
        bytes.take(usize::try_from(len).map_err(|_| Error::NeedMore)?)
    }
}

/// Reads the header of the next box.
pub(super) fn next_box(bytes: &mut Bytes) -> Result<BoxHeader, Error> {
    let size = bytes.u32()?;
    let kind = bytes.array()?;
    let len = match size {
        0 => None,
        1 => Some(bytes.u64()?.checked_sub(16)),
        size => Some(u64::from(size).checked_sub(8)),
    };
    match len {
        Some(None) => Err(FORMAT.corrupt("a box smaller than its header")),
        Some(Some(len)) => Ok(BoxHeader { kind, len: Some(len) }),
        None => Ok(BoxHeader { kind, len: None }),
    }
}

/// Visits the boxes within a box.
pub(super) fn each_box<'a>(
    content: &'a [u8],
    mut visit: impl FnMut([u8; 4], &'a [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut bytes = Bytes::new(content);
    while bytes.len() > 0 {
        let header = next_box(&mut bytes)?;
        let content = match header.len {
            Some(_) => header.content(&mut bytes)?,
            None => bytes.take(bytes.len())?,
        };
        visit(header.kind, content)?;
    }
    Ok(())
}

/// The version of a full box; its flags are skipped.
pub(super) fn version(bytes: &mut Bytes) -> Result<u8, Error> {
    bytes.array().map(|[version, _, _, _]| version)
}

/// An item's number, of 2 or 4 bytes.
pub(super) fn read_id(bytes: &mut Bytes, is_long: bool) -> Result<u32, Error> {
    if is_long { bytes.u32() } else { bytes.u16().map(u32::from) }
}

/// A number of 0, 4 or 8 bytes.
pub(super) fn read_number(bytes: &mut Bytes, size: u8) -> Result<u64, Error> {
    match size {
        0 => Ok(0),
        4 => bytes.u32().map(u64::from),
        8 => bytes.u64(),
        _ => Err(FORMAT.corrupt("numbers of a size that does not exist")),
    }
}
