//! What the first bytes of a source say about it.

use crate::transform::error::Error;
use crate::transform::pixels::Orientation;

/// A picture format that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
    /// AVIF.
    Avif,
}

/// The facts of a source's header: enough to plan all work and its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What it is.
    pub format: SourceFormat,
    /// Stored pixels across, before orientation.
    pub width: u32,
    /// Stored pixels down, before orientation.
    pub height: u32,
    /// How it should be seen.
    pub orientation: Orientation,
    /// Whether it has an alpha channel or transparent entries.
    pub has_alpha: bool,
    /// JPEG: all coefficients stay in memory while decoding.
    pub is_progressive: bool,
    /// Components as stored (JPEG: 1, 3 or 4; others 1..=4), for the estimate of memory.
    pub components: u8,
    /// Bits of one stored sample.
    pub bits: u8,
}

/// Reads the header of a source from its first bytes. `whole` says that no more will come.
///
/// # Errors
/// [`Error::NeedMore`] while the header is not complete, [`Error::UnsupportedFormat`] as soon as the
/// first bytes cannot be a picture, [`Error::Corrupt`] if the header contradicts itself.
pub fn probe(head: &[u8], whole: bool) -> Result<Probe, Error> {
    let _ = (head, whole);
    Err(Error::UnsupportedFormat)
}
