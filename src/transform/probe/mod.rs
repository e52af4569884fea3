//! What the first bytes of a source say about it.
//!
//! One file per container. Each is a function of the bytes that it has looked at, in order, so a
//! longer prefix never changes an answer: it only turns [`Error::NeedMore`] into one.

mod avif;
mod bytes;
mod exif;
mod gif;
mod jpeg;
mod png;
mod webp;

use crate::transform::error::Error;
use crate::transform::pixels::Orientation;

pub(in crate::transform) use avif::{AvifFile, Item as AvifItem, Nclx};
#[cfg(test)]
pub(in crate::transform) use exif::tiff;
pub(in crate::transform) use jpeg::JpegHead;
pub(in crate::transform) use webp::WebpFile;

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

impl SourceFormat {
    /// Its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::Gif => "GIF",
            Self::Avif => "AVIF",
        }
    }

    /// Decides by the magic numbers.
    fn sniff(head: &[u8]) -> Result<Self, Error> {
        let mut is_open = false;
        for (format, magic) in MAGIC {
            let fits = magic.iter().zip(head).all(|(expected, byte)| expected.is_none_or(|e| e == *byte));
            if fits && head.len() >= magic.len() {
                return Ok(format);
            }
            is_open |= fits;
        }
        Err(if is_open { Error::NeedMore } else { Error::UnsupportedFormat })
    }

    /// An [`Error::Corrupt`] of this format.
    pub(in crate::transform) fn corrupt(self, reason: impl Into<String>) -> Error {
        Error::Corrupt { format: self.name(), reason: reason.into() }
    }

    /// An [`Error::UnsupportedFeature`] of this format.
    pub(in crate::transform) fn unsupported(self, what: &'static str) -> Error {
        Error::UnsupportedFeature { format: self.name(), what }
    }
}

/// How the formats begin; `None` is any byte.
const MAGIC: [(SourceFormat, &[Option<u8>]); 6] = [
    (SourceFormat::Jpeg, &[Some(0xFF), Some(0xD8), Some(0xFF)]),
    (SourceFormat::Png, &magic(*b"\x89PNG\r\n\x1A\n")),
    (SourceFormat::Gif, &magic(*b"GIF87a")),
    (SourceFormat::Gif, &magic(*b"GIF89a")),
    (SourceFormat::Webp, &magic(*b"RIFF????WEBP")),
    // The first box is always shorter than 16 MiB.
    (SourceFormat::Avif, &magic(*b"\0???ftyp")),
];

const fn magic<const N: usize>(text: [u8; N]) -> [Option<u8>; N] {
    let mut bytes = [None; N];
    let mut i = 0;
    while i < N {
        if text[i] != b'?' {
            bytes[i] = Some(text[i]);
        }
        i += 1;
    }
    bytes
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
/// How far it must see: JPEG to the first scan, PNG to the first `IDAT`, GIF and animated WebP to
/// the first frame, AVIF to the end of `meta`. Only a still WebP that announces EXIF must be seen
/// to its end, because the format stores the orientation behind the picture.
///
/// # Errors
/// [`Error::NeedMore`] while the header is not complete, [`Error::UnsupportedFormat`] as soon as the
/// first bytes cannot be a picture, [`Error::UnsupportedFeature`] for forms that are not read,
/// [`Error::Corrupt`] if the header contradicts itself or the whole source ends within it.
pub fn probe(head: &[u8], whole: bool) -> Result<Probe, Error> {
    let format = match SourceFormat::sniff(head) {
        Err(Error::NeedMore) if whole => return Err(Error::UnsupportedFormat),
        other => other?,
    };
    let answer = match format {
        SourceFormat::Jpeg => jpeg::probe(head),
        SourceFormat::Png => png::probe(head),
        SourceFormat::Webp => webp::probe(head),
        SourceFormat::Gif => gif::probe(head),
        SourceFormat::Avif => avif::probe(head),
    };
    match answer {
        Err(Error::NeedMore) if whole => Err(format.corrupt("ends within its header")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::samples::{self, HEIGHT, WIDTH};

    #[test]
    fn each_format_is_known_with_its_size() {
        use SourceFormat::{Avif, Gif, Jpeg, Png, Webp};
        let expected = [Jpeg, Jpeg, Jpeg, Png, Png, Gif, Webp, Webp, Webp, Webp, Webp, Avif];
        for ((name, source), format) in samples::all().into_iter().zip(expected) {
            let probe = probe(&source, true).unwrap();
            let size = if name == "animated webp" { (WIDTH + 4, HEIGHT + 8) } else { (WIDTH, HEIGHT) };
            assert_eq!((probe.format, (probe.width, probe.height)), (format, size), "{name}");
            let has_alpha =
                matches!(name, "png" | "lossless webp" | "webp with alpha" | "animated webp" | "avif");
            assert_eq!(probe.has_alpha, has_alpha, "{name} has alpha");
            let turns = if name.ends_with("exif") { 1 } else { 0 };
            assert_eq!(probe.orientation.quarter_turns, turns, "{name} is turned");
            assert_eq!(probe.is_progressive, name == "progressive jpeg", "{name} keeps coefficients");
        }
    }

    #[test]
    fn no_prefix_answers_otherwise_than_the_whole() {
        for (name, source) in samples::all() {
            let answer = probe(&source, true);
            let mut needed = 0;
            for len in 0..=source.len() {
                match probe(&source[..len], false) {
                    Err(Error::NeedMore) => needed = len + 1,
                    early => assert_eq!(early, answer, "{name} at {len}"),
                }
                let cut = probe(&source[..len], true);
                assert_ne!(cut, Err(Error::NeedMore), "{name} at {len} has nothing more to come");
                assert!(cut == answer || len < needed, "{name} at {len} is known");
            }
            let is_early = needed < source.len() * 4 / 5;
            assert!(
                is_early || name.contains("exif") || name == "gif",
                "{name} needs {needed} of {}",
                source.len()
            );
        }
    }

    #[test]
    fn other_files_are_refused_at_once() {
        for other in [
            &b"%PDF-1.7"[..],
            b"<svg xmlns",
            b"BM\x36\0",
            b"II*\0",
            b"RIFF\0\0\0\0WAVE",
            b"GIF90a",
            b"\xFF\xD8\xFE",
        ] {
            assert_eq!(probe(other, false), Err(Error::UnsupportedFormat), "{other:?}");
        }
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        assert_eq!(probe(heic, false), Err(Error::UnsupportedFormat), "HEIC begins as AVIF does");
        assert_eq!(probe(b"", false), Err(Error::NeedMore), "nothing is not yet known");
        assert_eq!(probe(b"\x89PN", true), Err(Error::UnsupportedFormat), "three bytes are no picture");
    }

    proptest! {
        #[test]
        fn damaged_sources_never_panic_and_prefixes_agree(
            which in 0..12usize,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let (_, mut source) = SAMPLES.with(|samples| samples[which].clone());
            for (at, value) in flips {
                let at = at.index(source.len());
                source[at] = value;
            }
            let whole = probe(&source, true);
            let early = probe(&source[..cut.index(source.len())], false);
            prop_assert!(early == Err(Error::NeedMore) || early == whole, "{early:?} and {whole:?}");
        }

        #[test]
        fn noise_behind_magic_never_panics(which in 0..MAGIC.len(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut source: Vec<u8> = MAGIC[which].1.iter().map(|byte| byte.unwrap_or(0)).collect();
            source.extend(noise);
            let _ = (probe(&source, false), probe(&source, true));
        }
    }

    thread_local! {
        static SAMPLES: Vec<(&'static str, Vec<u8>)> = samples::all();
    }
}
