//! Colour to sRGB: ICC profiles and the numbers of ITU-T H.273, by moxcms.
//!
//! A profile that cannot be used (broken, or of another colour model than the picture) is ignored,
//! as browsers do: a picture in slightly wrong colours is better than none.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout, MatrixCoefficients,
    TransferCharacteristics, Transform8BitExecutor, TransformOptions,
};
use sha2::{Digest as _, Sha256};

use crate::transform::error::Error;
use crate::transform::probe::SourceFormat;

/// What says how the numbers of a picture are meant.
#[derive(Debug, Clone, Copy)]
pub(in crate::transform) enum Profile<'a> {
    /// An ICC profile.
    Icc(&'a [u8]),
    /// H.273's `ColourPrimaries` and `TransferCharacteristics`.
    Numbers(u8, u8),
}

const SRGB_CURVE: u8 = 13;

impl Profile<'_> {
    /// A profile from H.273's numbers; `None` for sRGB and for what is not specified.
    ///
    /// The curves of video (BT.601, 709, 2020) are taken for sRGB's, which encoders of stills mean
    /// by them; HLG is made to be shown so. PQ is not, and there is no tone mapping here.
    pub(in crate::transform) fn from_numbers(
        format: SourceFormat,
        primaries: u8,
        transfer: u8,
    ) -> Result<Option<Self>, Error> {
        let transfer = match transfer {
            16 => return Err(format.unsupported("the HDR curve PQ")),
            4 | 5 | 8 => transfer,
            _ => SRGB_CURVE,
        };
        let primaries = if matches!(primaries, 4..=9 | 11 | 12 | 22) { primaries } else { 1 };
        Ok(((primaries, transfer) != (1, SRGB_CURVE)).then_some(Self::Numbers(primaries, transfer)))
    }

    fn read(self) -> Option<ColorProfile> {
        match self {
            Self::Icc(bytes) => ColorProfile::new_from_slice(bytes).ok(),
            Self::Numbers(primaries, transfer) => Some(ColorProfile::new_from_cicp(CicpProfile {
                color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
                transfer_characteristics: TransferCharacteristics::try_from(transfer).ok()?,
                matrix_coefficients: MatrixCoefficients::Identity,
                full_range: true,
            })),
        }
    }
}

/// What the samples of one pixel are, before they become RGB (or RGBA, where there is alpha).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::transform) enum Samples {
    /// One of grey.
    Gray,
    /// Grey and alpha.
    GrayAlpha,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue and alpha.
    Rgba,
    /// Ink: 255 is full.
    Cmyk,
}

impl Samples {
    /// Bytes of a pixel before and after.
    pub(in crate::transform) fn channels(self) -> (usize, usize) {
        match self {
            Self::Gray => (1, 3),
            Self::GrayAlpha => (2, 4),
            Self::Rgb => (3, 3),
            Self::Rgba => (4, 4),
            Self::Cmyk => (4, 3),
        }
    }

    /// The layouts before and after, in moxcms' words, and the colour model.
    fn layouts(self) -> (Layout, Layout, DataColorSpace) {
        match self {
            Self::Gray => (Layout::Gray, Layout::Rgb, DataColorSpace::Gray),
            Self::GrayAlpha => (Layout::GrayAlpha, Layout::Rgba, DataColorSpace::Gray),
            Self::Rgb => (Layout::Rgb, Layout::Rgb, DataColorSpace::Rgb),
            Self::Rgba => (Layout::Rgba, Layout::Rgba, DataColorSpace::Rgb),
            Self::Cmyk => (Layout::Rgba, Layout::Rgb, DataColorSpace::Cmyk),
        }
    }
}

/// A way to sRGB; Gray and CMYK become RGB on it.
#[derive(Clone)]
pub(in crate::transform) struct ToSrgb(Arc<Transform8BitExecutor>);

/// Pixels that go through a transform at once: small enough for the first cache.
const CHUNK_PIXELS: usize = 1024;

impl ToSrgb {
    /// `None` where nothing is to be done: already sRGB, or not usable.
    pub(in crate::transform) fn find(profile: Profile, samples: Samples) -> Option<Self> {
        let key = Key::of(profile, samples);
        if let Some(known) = known().find(&key) {
            return known;
        }
        // Not under the lock: this takes up to some milliseconds.
        let made = Self::make(profile, samples);
        known().keep(key, made.clone());
        made
    }

    fn make(profile: Profile, samples: Samples) -> Option<Self> {
        let (from, to, model) = samples.layouts();
        let source = profile.read()?;
        if source.color_space != model {
            return None;
        }
        let options =
            TransformOptions { rendering_intent: source.rendering_intent, ..TransformOptions::default() };
        let made = Self(source.create_transform_8bit(from, &ColorProfile::new_srgb(), to, options).ok()?);
        let changes = !matches!(samples, Samples::Rgb | Samples::Rgba) || made.changes_colors(samples)?;
        changes.then_some(made)
    }

    /// Whether any colour of a coarse grid moves by more than rounding: most profiles are sRGB's
    /// own, in many spellings.
    fn changes_colors(&self, samples: Samples) -> Option<bool> {
        const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
        let mut grid = Vec::new();
        for red in STEPS {
            for green in STEPS {
                for blue in STEPS {
                    grid.extend_from_slice(&[red, green, blue, 255][..samples.channels().0]);
                }
            }
        }
        let mut moved = vec![0; grid.len()];
        self.0.transform(&grid, &mut moved).ok()?;
        Some(grid.iter().zip(&moved).any(|(before, after)| before.abs_diff(*after) > 1))
    }

    /// Rewrites a buffer, see [`rewrite`].
    pub(in crate::transform) fn apply(&self, samples: Samples, buffer: &mut [u8]) -> Result<(), String> {
        let mut error = None;
        rewrite(samples, buffer, |from, to| {
            if let Err(reason) = self.0.transform(from, to) {
                error = Some(reason.to_string());
            }
        });
        error.map_or(Ok(()), Err)
    }
}

/// Rewrites the pixels within one buffer, chunk by chunk, from what they are to RGB or RGBA.
///
/// Pixels that grow fill the end of the buffer before, and all of it afterwards; pixels that shrink
/// fill all of it before, and its beginning afterwards: so what is written never overtakes what is
/// still to be read.
pub(in crate::transform) fn rewrite(
    samples: Samples,
    buffer: &mut [u8],
    mut step: impl FnMut(&[u8], &mut [u8]),
) {
    let (from, to) = samples.channels();
    let pixels = buffer.len() / from.max(to);
    let start = if from < to { buffer.len() - pixels * from } else { 0 };
    let mut before = [0; CHUNK_PIXELS * 4];
    for first in (0..pixels).step_by(CHUNK_PIXELS) {
        let count = CHUNK_PIXELS.min(pixels - first);
        let before = &mut before[..count * from];
        let read = start + first * from;
        before.copy_from_slice(&buffer[read..read + before.len()]);
        step(before, &mut buffer[first * to..(first + count) * to]);
    }
}

/// The ways that are kept: profiles repeat from picture to picture, and a CMYK table costs
/// milliseconds to make.
static KNOWN: Mutex<Known> = Mutex::new(Known { entries: VecDeque::new() });

/// At most this many ways are kept, the last used first. The largest are tables of about 1 MiB.
const MAX_KNOWN: usize = 16;

struct Known {
    entries: VecDeque<(Key, Option<ToSrgb>)>,
}

#[derive(PartialEq, Eq)]
enum Key {
    Icc(Samples, [u8; 32]),
    Numbers(Samples, u8, u8),
}

impl Key {
    fn of(profile: Profile, samples: Samples) -> Self {
        match profile {
            Profile::Icc(bytes) => Self::Icc(samples, Sha256::digest(bytes).into()),
            Profile::Numbers(primaries, transfer) => Self::Numbers(samples, primaries, transfer),
        }
    }
}

fn known() -> std::sync::MutexGuard<'static, Known> {
    // Nothing that is done under the lock leaves it half done.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    fn find(&mut self, key: &Key) -> Option<Option<ToSrgb>> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        let entry = self.entries.remove(at)?;
        let found = entry.1.clone();
        self.entries.push_front(entry);
        Some(found)
    }

    fn keep(&mut self, key: Key, made: Option<ToSrgb>) {
        self.entries.truncate(MAX_KNOWN - 1);
        self.entries.push_front((key, made));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::samples::cmyk_profile;

    fn find(profile: &ColorProfile, samples: Samples) -> Option<ToSrgb> {
        ToSrgb::find(Profile::Icc(&profile.encode().unwrap()), samples)
    }

    fn convert(profile: &ColorProfile, color: [u8; 3]) -> [u8; 3] {
        let mut color = color;
        if let Some(way) = find(profile, Samples::Rgb) {
            way.apply(Samples::Rgb, &mut color).unwrap();
        }
        color
    }

    #[test]
    fn known_colours_arrive_where_they_should() {
        // By the published primaries and curves; what lies outside of sRGB is cut.
        let cases = [
            ("sRGB", ColorProfile::new_srgb(), [10, 200, 99], [10, 200, 99]),
            ("Display P3", ColorProfile::new_display_p3(), [0, 255, 0], [0, 255, 0]),
            ("Display P3", ColorProfile::new_display_p3(), [128, 128, 128], [128, 128, 128]),
            ("Display P3", ColorProfile::new_display_p3(), [200, 60, 60], [217, 42, 52]),
            ("Display P3", ColorProfile::new_display_p3(), [60, 200, 99], [0, 203, 85]),
            ("Adobe RGB", ColorProfile::new_adobe_rgb(), [128, 128, 128], [129, 129, 129]),
            ("Adobe RGB", ColorProfile::new_adobe_rgb(), [60, 200, 99], [0, 201, 91]),
            ("Adobe RGB", ColorProfile::new_adobe_rgb(), [200, 60, 60], [232, 57, 57]),
        ];
        for (name, profile, before, after) in cases {
            let color = convert(&profile, before);
            let off = color.iter().zip(after).map(|(a, b)| a.abs_diff(b)).max().unwrap();
            assert!(off <= 1, "{name} {before:?} is {color:?}, not {after:?}");
        }
    }

    #[test]
    fn srgb_and_what_cannot_be_used_need_nothing_done() {
        assert!(find(&ColorProfile::new_srgb(), Samples::Rgb).is_none(), "sRGB is sRGB");
        assert!(find(&ColorProfile::new_srgb(), Samples::Rgba).is_none(), "with alpha too");
        assert!(find(&ColorProfile::new_display_p3(), Samples::Gray).is_none(), "RGB's profile for grey");
        assert!(find(&ColorProfile::new_display_p3(), Samples::Cmyk).is_none(), "RGB's profile for ink");
        assert!(ToSrgb::find(Profile::Icc(b"not a profile"), Samples::Rgb).is_none(), "not a profile");
        for transfer in [1, 2, 6, 13, 14] {
            let none = Profile::from_numbers(SourceFormat::Avif, 1, transfer).unwrap();
            assert!(none.is_none(), "BT.709 with curve {transfer}");
        }
    }

    #[test]
    fn alpha_passes_through() {
        let way = find(&ColorProfile::new_display_p3(), Samples::Rgba).unwrap();
        let mut pixels: Vec<u8> = (0..=255).flat_map(|alpha| [200, 60, 60, alpha]).collect();
        way.apply(Samples::Rgba, &mut pixels).unwrap();
        assert!(
            pixels.chunks(4).enumerate().all(|(alpha, pixel)| usize::from(pixel[3]) == alpha),
            "as it was"
        );
        assert!(pixels[0] > 210, "colour does not");
    }

    #[test]
    fn ink_goes_through_its_table() {
        let way = ToSrgb::find(Profile::Icc(&cmyk_profile()), Samples::Cmyk).unwrap();
        // L* of a corner is 100 less 23.5 for each ink, and 0 under black.
        let cases =
            [([0, 0, 0, 0], 255), ([0, 0, 0, 255], 0), ([255, 0, 0, 0], 188), ([0, 255, 255, 0], 126)];
        for (ink, light) in cases {
            let mut pixel = ink;
            way.apply(Samples::Cmyk, &mut pixel).unwrap();
            let off = pixel[..3].iter().map(|value| value.abs_diff(light)).max().unwrap();
            assert!(off <= 5, "{ink:?} is {:?}, not {light}", &pixel[..3]);
        }
    }

    #[test]
    fn rewriting_in_place_never_overtakes_itself() {
        for samples in [Samples::Gray, Samples::GrayAlpha, Samples::Rgb, Samples::Cmyk] {
            let (from, to) = samples.channels();
            for pixels in [0, 1, 2, CHUNK_PIXELS - 1, CHUNK_PIXELS, CHUNK_PIXELS + 1, 3 * CHUNK_PIXELS + 7] {
                let stored: Vec<u8> = (0..pixels * from).map(|i| (i % 251) as u8).collect();
                let mut buffer = vec![0; pixels * from.max(to)];
                let start = if from < to { buffer.len() - stored.len() } else { 0 };
                buffer[start..start + stored.len()].copy_from_slice(&stored);
                rewrite(samples, &mut buffer, |before, after| {
                    for (after, before) in after.chunks_mut(to).zip(before.chunks(from)) {
                        after.fill(before[from - 1]);
                    }
                });
                for (pixel, stored) in buffer.chunks(to).zip(stored.chunks(from)) {
                    assert!(pixel.iter().all(|value| *value == stored[from - 1]), "{samples:?} of {pixels}");
                }
            }
        }
    }

    #[test]
    fn ways_are_kept_but_not_without_end() {
        let first = ColorProfile::new_gray_with_gamma(1.0);
        let (one, two) = (find(&first, Samples::Gray).unwrap(), find(&first, Samples::Gray).unwrap());
        assert!(Arc::ptr_eq(&one.0, &two.0), "made once");
        for i in 0..2 * MAX_KNOWN {
            find(&ColorProfile::new_gray_with_gamma(1.1 + i as f32 / 50.), Samples::Gray).unwrap();
        }
        assert!(known().entries.len() <= MAX_KNOWN, "the oldest are forgotten");
    }

    proptest! {
        #[test]
        fn damaged_profiles_never_panic(
            which in 0..5usize,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            len in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let mut profile = match which {
                0 => ColorProfile::new_display_p3().encode().unwrap(),
                1 => ColorProfile::new_adobe_rgb().encode().unwrap(),
                2 => ColorProfile::new_gray_with_gamma(1.8).encode().unwrap(),
                3 => ColorProfile::new_bt2020_pq().encode().unwrap(),
                _ => cmyk_profile(),
            };
            for (at, value) in flips {
                let at = at.index(profile.len());
                profile[at] = value;
            }
            if is_cut {
                profile.truncate(len.index(profile.len()));
            }
            for samples in [Samples::Gray, Samples::GrayAlpha, Samples::Rgb, Samples::Rgba, Samples::Cmyk] {
                if let Some(way) = ToSrgb::make(Profile::Icc(&profile), samples) {
                    let _ = way.apply(samples, &mut [77; 4 * 50]);
                }
            }
        }
    }
}
