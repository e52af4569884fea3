//! WebP chunks (RFC 9649): where the first frame is, and its colour profile.

use crate::transform::error::Error;
use crate::transform::pixels::Orientation;
use crate::transform::probe::bytes::Bytes;
use crate::transform::probe::{Probe, SourceFormat, exif};

const FORMAT: SourceFormat = SourceFormat::Webp;
const HAS_ANIMATION: u8 = 0x02;
const HAS_EXIF: u8 = 0x08;
const HAS_ALPHA: u8 = 0x10;

/// A WebP taken apart, as far as it has been seen.
#[derive(Debug)]
pub(in crate::transform) struct WebpFile<'a> {
    /// Size of the canvas.
    pub(in crate::transform) size: (u32, u32),
    /// Whether there can be transparent pixels.
    pub(in crate::transform) has_alpha: bool,
    /// The ICC profile.
    pub(in crate::transform) profile: Option<&'a [u8]>,
    /// The first frame of an animation; `None` for a still picture.
    pub(in crate::transform) frame: Option<Frame>,
    /// The orientation, if it had to be looked for.
    orientation: Orientation,
}

/// The first frame of an animation.
#[derive(Debug, Clone, Copy)]
pub(in crate::transform) struct Frame {
    /// Its left and upper edge on the canvas.
    pub(in crate::transform) origin: (u32, u32),
    /// Its size; it lies on the canvas.
    pub(in crate::transform) size: (u32, u32),
    /// Where in the source its own chunks begin.
    pub(in crate::transform) offset: usize,
    /// How long its own chunks are; they may not have been seen.
    pub(in crate::transform) len: usize,
}

/// Reads what the plan needs.
pub(super) fn probe(head: &[u8]) -> Result<Probe, Error> {
    let file = WebpFile::read(head)?;
    Ok(Probe {
        format: FORMAT,
        width: file.size.0,
        height: file.size.1,
        orientation: file.orientation,
        has_alpha: file.has_alpha,
        is_progressive: false,
        components: if file.has_alpha { 4 } else { 3 },
        bits: 8,
    })
}

impl<'a> WebpFile<'a> {
    /// Takes a source apart.
    pub(in crate::transform) fn read(source: &'a [u8]) -> Result<Self, Error> {
        let mut bytes = Bytes::new(source);
        bytes.skip(4)?;
        let mut chunks = Chunks { left: bytes.u32_le()?.saturating_sub(4).into(), bytes };
        chunks.bytes.skip(4)?;
        let first = chunks.next()?.ok_or_else(|| FORMAT.corrupt("no chunk"))?;
        let bytes = &mut chunks.bytes;
        let (size, has_alpha) = match &first.kind {
            b"VP8 " => (lossy_size(bytes)?, false),
            b"VP8L" => lossless_size(bytes)?,
            b"VP8X" if first.len == 10 => {
                let flags = bytes.u8()?;
                bytes.skip(3)?;
                let size = (bytes.u24_le()? + 1, bytes.u24_le()? + 1);
                let mut file = Self::new(size, flags & HAS_ALPHA != 0);
                file.read_chunks(source.len(), chunks, flags)?;
                return Ok(file);
            }
            _ => return Err(FORMAT.corrupt("no header in its first chunk")),
        };
        Ok(Self::new(size, has_alpha))
    }

    fn new(size: (u32, u32), has_alpha: bool) -> Self {
        Self { size, has_alpha, profile: None, frame: None, orientation: Orientation::default() }
    }

    /// Reads what follows the extended header, up to the first frame or the EXIF behind it.
    fn read_chunks(&mut self, source_len: usize, mut chunks: Chunks<'a>, flags: u8) -> Result<(), Error> {
        let is_animated = flags & HAS_ANIMATION != 0;
        let mut has_picture = false;
        while let Some(chunk) = chunks.next()? {
            match &chunk.kind {
                b"ICCP" if !has_picture => self.profile = Some(chunks.take(&chunk)?),
                b"EXIF" => {
                    self.orientation = exif::orientation(chunks.take(&chunk)?);
                    if has_picture {
                        return Ok(());
                    }
                }
                b"ANMF" if is_animated => {
                    let frame = Frame::read(source_len, &mut chunks.bytes, chunk.len, self.size)?;
                    // What the first frame leaves of the canvas stays transparent.
                    self.has_alpha |= frame.size != self.size;
                    self.frame = Some(frame);
                    return Ok(());
                }
                b"VP8 " | b"VP8L" if !is_animated => {
                    has_picture = true;
                    if flags & HAS_EXIF == 0 {
                        return Ok(());
                    }
                    chunks.skip(&chunk)?;
                }
                _ => chunks.skip(&chunk)?,
            }
        }
        if has_picture { Ok(()) } else { Err(FORMAT.corrupt("no picture")) }
    }
}

impl Frame {
    fn read(source_len: usize, bytes: &mut Bytes, len: usize, canvas: (u32, u32)) -> Result<Self, Error> {
        let origin = (bytes.u24_le()? * 2, bytes.u24_le()? * 2);
        let size = (bytes.u24_le()? + 1, bytes.u24_le()? + 1);
        bytes.skip(4)?;
        if origin.0 + size.0 > canvas.0 || origin.1 + size.1 > canvas.1 {
            return Err(FORMAT.corrupt("a frame beyond its canvas"));
        }
        let len = len.checked_sub(16).ok_or_else(|| FORMAT.corrupt("a frame without data"))?;
        Ok(Self { origin, size, offset: source_len - bytes.len(), len })
    }
}

/// The chunks of a RIFF file.
struct Chunks<'a> {
    bytes: Bytes<'a>,
    /// What the file header says is left.
    left: u64,
}

struct Chunk {
    kind: [u8; 4],
    len: usize,
    padding: u64,
}

impl<'a> Chunks<'a> {
    /// The header of the next chunk; its content must be taken or skipped.
    fn next(&mut self) -> Result<Option<Chunk>, Error> {
        let Some(left) = self.left.checked_sub(8) else { return Ok(None) };
        let kind = self.bytes.array()?;
        let len = self.bytes.u32_le()?;
        self.left =
            left.checked_sub(len.into()).ok_or_else(|| FORMAT.corrupt("a chunk longer than the file"))?;
        // The byte that makes a length even is often forgotten at the end.
        let padding = u64::from(len & 1).min(self.left);
        self.left -= padding;
        Ok(Some(Chunk { kind, len: len as usize, padding }))
    }

    fn take(&mut self, chunk: &Chunk) -> Result<&'a [u8], Error> {
        let content = self.bytes.take(chunk.len)?;
        self.bytes.skip(chunk.padding)?;
        Ok(content)
    }

    fn skip(&mut self, chunk: &Chunk) -> Result<(), Error> {
        self.bytes.skip(chunk.len as u64 + chunk.padding)
    }
}

/// Size in a lossy bitstream's header (RFC 6386, section 9.1).
fn lossy_size(bytes: &mut Bytes) -> Result<(u32, u32), Error> {
    bytes.skip(3)?;
    if bytes.array()? != [0x9D, 0x01, 0x2A] {
        return Err(FORMAT.corrupt("no key frame"));
    }
    let (width, height) = (bytes.u16_le()? & 0x3FFF, bytes.u16_le()? & 0x3FFF);
    if width == 0 || height == 0 {
        return Err(FORMAT.corrupt("no width or no height"));
    }
    Ok((width.into(), height.into()))
}

/// Size, and whether alpha is used, in a lossless bitstream's header (RFC 9649, section 3.4).
fn lossless_size(bytes: &mut Bytes) -> Result<((u32, u32), bool), Error> {
    if bytes.u8()? != 0x2F {
        return Err(FORMAT.corrupt("no lossless signature"));
    }
    let header = bytes.u32_le()?;
    let size = ((header & 0x3FFF) + 1, ((header >> 14) & 0x3FFF) + 1);
    Ok((size, (header >> 28) & 1 == 1))
}
