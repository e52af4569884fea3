//! JPEG markers up to the first scan (ITU T.81, annex B).

use std::borrow::Cow;

use crate::transform::error::Error;
use crate::transform::pixels::Orientation;
use crate::transform::probe::bytes::Bytes;
use crate::transform::probe::{Probe, SourceFormat, exif};

const FORMAT: SourceFormat = SourceFormat::Jpeg;

/// All that stands before the first scan.
#[derive(Debug)]
pub(in crate::transform) struct JpegHead<'a> {
    frame: Frame,
    orientation: Orientation,
    has_many_scans: bool,
    is_adobe: bool,
    has_restarts: bool,
    profile: Vec<(u8, &'a [u8])>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    width: u16,
    height: u16,
    components: u8,
    is_progressive: bool,
}

/// Reads what the plan needs.
pub(super) fn probe(head: &[u8]) -> Result<Probe, Error> {
    let head = JpegHead::read(head)?;
    Ok(Probe {
        format: FORMAT,
        width: head.frame.width.into(),
        height: head.frame.height.into(),
        orientation: head.orientation,
        has_alpha: false,
        is_progressive: head.frame.is_progressive || head.has_many_scans,
        components: head.frame.components,
        bits: 8,
    })
}

impl<'a> JpegHead<'a> {
    /// Walks over the markers up to the first scan.
    pub(in crate::transform) fn read(source: &'a [u8]) -> Result<Self, Error> {
        let mut bytes = Bytes::new(source);
        bytes.skip(2)?;
        let mut frame = None;
        let mut orientation = None;
        let (mut is_adobe, mut has_restarts) = (false, false);
        let mut profile = Vec::new();
        loop {
            let marker = next_marker(&mut bytes)?;
            if matches!(marker, 0x01 | 0xD0..=0xD7) {
                continue;
            }
            if matches!(marker, 0xD8 | 0xD9) {
                return Err(FORMAT.corrupt("no picture between its markers"));
            }
            let len =
                bytes.u16()?.checked_sub(2).ok_or_else(|| FORMAT.corrupt("a segment of negative length"))?;
            let segment = bytes.take(len.into())?;
            match marker {
                0xC4 | 0xCC => {}
                0xC0..=0xCF if frame.is_some() => return Err(FORMAT.corrupt("two frame headers")),
                0xC0..=0xC2 => frame = Some(Frame::read(segment, marker == 0xC2)?),
                0xC3 | 0xC5..=0xC8 => return Err(FORMAT.unsupported("lossless or hierarchical coding")),
                0xC9..=0xCF => return Err(FORMAT.unsupported("arithmetic coding")),
                0xE1 if orientation.is_none() && segment.starts_with(b"Exif\0\0") => {
                    orientation = Some(exif::orientation(segment));
                }
                0xE2 => {
                    if let Some([number, _, part @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0") {
                        profile.push((*number, part));
                    }
                }
                0xDD => has_restarts |= segment != [0, 0],
                0xEE => is_adobe |= segment.starts_with(b"Adobe"),
                0xDA => {
                    let frame: Frame =
                        frame.ok_or_else(|| FORMAT.corrupt("a scan before the frame header"))?;
                    let in_scan = segment.first().copied().unwrap_or_default();
                    let has_many_scans = in_scan < frame.components;
                    let orientation = orientation.unwrap_or_default();
                    return Ok(Self { frame, orientation, has_many_scans, is_adobe, has_restarts, profile });
                }
                _ => {}
            }
        }
    }

    /// Pixels across and down.
    pub(in crate::transform) fn size(&self) -> (u32, u32) {
        (self.frame.width.into(), self.frame.height.into())
    }

    /// Grey 1, colour 3, CMYK or YCCK 4.
    pub(in crate::transform) fn components(&self) -> u8 {
        self.frame.components
    }

    /// Whether Adobe wrote it, who stores CMYK inverted.
    pub(in crate::transform) fn is_adobe(&self) -> bool {
        self.is_adobe
    }

    /// Whether the coded data are in intervals that end with markers.
    pub(in crate::transform) fn has_restarts(&self) -> bool {
        self.has_restarts
    }

    /// The ICC profile, put together if it came in parts.
    pub(in crate::transform) fn profile(&self) -> Option<Cow<'a, [u8]>> {
        match self.profile.as_slice() {
            [] => None,
            [(_, part)] => Some(Cow::Borrowed(part)),
            parts => {
                let mut parts = parts.to_vec();
                parts.sort_by_key(|(number, _)| *number);
                Some(Cow::Owned(parts.iter().flat_map(|(_, part)| part.iter().copied()).collect()))
            }
        }
    }
}

impl Frame {
    fn read(segment: &[u8], is_progressive: bool) -> Result<Self, Error> {
        let short = |_| FORMAT.corrupt("a frame header that ends early");
        let mut bytes = Bytes::new(segment);
        let bits = bytes.u8().map_err(short)?;
        let height = bytes.u16().map_err(short)?;
        let width = bytes.u16().map_err(short)?;
        let components = bytes.u8().map_err(short)?;
        if bits != 8 {
            return Err(FORMAT.unsupported("samples of other than 8 bits"));
        }
        if height == 0 {
            return Err(FORMAT.unsupported("a height that stands behind the first scan"));
        }
        if width == 0 {
            return Err(FORMAT.corrupt("no width"));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(FORMAT.unsupported("other than 1, 3 or 4 components"));
        }
        Ok(Self { width, height, components, is_progressive })
    }
}

/// The next marker's code; any number of fill bytes may stand before it.
fn next_marker(bytes: &mut Bytes) -> Result<u8, Error> {
    if bytes.u8()? != 0xFF {
        return Err(FORMAT.corrupt("no marker where one is due"));
    }
    loop {
        match bytes.u8()? {
            0xFF => {}
            0x00 => return Err(FORMAT.corrupt("no marker where one is due")),
            marker => return Ok(marker),
        }
    }
}
