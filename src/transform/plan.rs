//! Operations and a header become exact numbers: a [`Plan`].
//!
//! A plan knows before any pixel is read how far the decoder may shrink, what it will cost in
//! memory and, unless `trim` has a say in it, how large the result is.

use crate::transform::decode::{Shrink, decode_memory};
use crate::transform::encode::{self, encode_memory};
use crate::transform::error::Error;
use crate::transform::geometry::{self, Area, Framing};
use crate::transform::operation::{
    Color, Fit, Format, Geometry, Operations, Quality, Size, Target, Tolerance,
};
use crate::transform::pixels::Orientation;
use crate::transform::probe::{Probe, SourceFormat};
use crate::transform::resize::{factor, resize_memory};

/// What the server allows, whatever was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the result, in pixels.
    pub max_width: u32,
    /// Of the result, in pixels.
    pub max_height: u32,
    /// Of the source, width x height.
    pub max_source_pixels: u64,
}

/// Everything that [`run`](crate::transform::run) does to one source, decided beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) probe: Probe,
    pub(in crate::transform) shrink: Shrink,
    /// The region to work on, in whole stored pixels.
    pub(crate) area: Area,
    /// The pixel at the upper left of the oriented region, in stored pixels.
    pub(crate) corner: Area,
    pub(crate) trim: Option<Tolerance>,
    /// EXIF orientation, then `rotate`, then `flip`, as one.
    pub(crate) turn: Orientation,
    geometry: Geometry,
    limits: Size,
    /// What fills transparency.
    pub(crate) matte: Option<Color>,
    /// What padding is made of.
    pub(crate) padding: Color,
    pub(crate) quality: Quality,
    format: Format,
    size: Size,
    memory_bytes: u64,
}

/// Plans the work on a source.
///
/// # Errors
/// [`Error::TooManyPixels`] and [`Error::RegionOutside`]; [`Error::Corrupt`] for a source without
/// any pixels.
pub fn plan(probe: &Probe, operations: &Operations, target: Target, limits: &Limits) -> Result<Plan, Error> {
    let pixels = u64::from(probe.width) * u64::from(probe.height);
    if pixels > limits.max_source_pixels {
        return Err(Error::TooManyPixels { pixels, limit: limits.max_source_pixels });
    }
    if pixels == 0 {
        return Err(Error::Corrupt { format: "picture", reason: "it has no pixels".to_owned() });
    }
    let stored = Size { width: probe.width, height: probe.height };
    let seen = probe.orientation.size(stored);
    let region = match operations.region {
        None => Area::whole(seen),
        Some(region) => geometry::region(region, seen)
            .ok_or(Error::RegionOutside { width: seen.width, height: seen.height })?,
    };
    let to_stored = probe.orientation.inverse();
    let format = format(probe, target);
    let largest = encode::max_side(format);
    let background = operations.background;
    let matte = if format == Format::Jpeg {
        Some(background.map_or(Color::WHITE, |color| color.over(Color::WHITE)))
    } else {
        background
    };
    let mut plan = Plan {
        probe: probe.clone(),
        shrink: Shrink::One,
        area: to_stored.area(region, seen),
        corner: to_stored.area(Area { width: 1.0, height: 1.0, ..region }, seen),
        trim: operations.trim,
        turn: probe.orientation.then(operations.rotate.into()).then(operations.flip.into()),
        geometry: operations.geometry,
        limits: Size {
            width: limits.max_width.clamp(1, largest),
            height: limits.max_height.clamp(1, largest),
        },
        matte,
        padding: matte.unwrap_or(Color::CLEAR),
        quality: operations.quality,
        format,
        size: stored,
        memory_bytes: 0,
    };
    plan.shrink = plan.affordable_shrink();
    plan.size = plan.final_size();
    plan.memory_bytes = plan.estimate();
    Ok(plan)
}

impl Plan {
    /// An upper bound of what decoding, pixel work and encoding hold at once, without the source
    /// bytes themselves.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The format of the result.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The size of the result; with `trim`, which is known only after decoding, an upper bound.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How the part of the source that is left after `region` and `trim` is framed, and where its
    /// cut lies in stored pixels.
    pub(crate) fn frame(&self, area: Area) -> (Framing, Area) {
        let seen = self.turn.size(area.size());
        let framing = geometry::frame(seen, self.geometry, self.limits);
        let cut = self.turn.inverse().area(framing.cut, seen);
        (framing, Area { x: cut.x + area.x, y: cut.y + area.y, ..cut })
    }

    fn final_size(&self) -> Size {
        match self.trim {
            None => self.frame(self.area).0.canvas,
            Some(_) => geometry::bound(self.turn.size(self.area.size()), self.geometry, self.limits),
        }
    }

    /// How far a JPEG is shrunk while decoding, by sharp's rule: by the largest of 2, 4, 8 that is
    /// within the ratio, but one step less if the whole part of the ratio is just that number, for
    /// then the resampler would have too little left to work with.
    ///
    /// With `trim` the ratio depends on pixels that nobody has seen yet, and it could be 1; so the
    /// picture is decoded in full.
    fn affordable_shrink(&self) -> Shrink {
        if self.probe.format != SourceFormat::Jpeg || self.trim.is_some() {
            return Shrink::One;
        }
        let (framing, cut) = self.frame(self.area);
        let picture = self.turn.inverse().size(framing.picture);
        let ratio = (cut.width / f64::from(picture.width)).min(cut.height / f64::from(picture.height));
        match ratio as u32 {
            0..=2 => Shrink::One,
            3..=4 => Shrink::Half,
            5..=8 => Shrink::Quarter,
            _ => Shrink::Eighth,
        }
    }

    /// All that is ever held is added up, although decoder and encoder do not work at the same
    /// time: freed memory does not return to the system at once.
    fn estimate(&self) -> u64 {
        let is_padded = matches!(self.geometry, Geometry::Resize { fit: Fit::Contain, .. });
        let has_alpha = self.probe.has_alpha || is_padded && self.padding.alpha < 255;
        let channels = if has_alpha { 4 } else { 3 };
        let area = shrunk(self.area.size(), self.shrink);
        // Before padding the picture may be as large as the canvas, but not larger.
        let resized = resize_memory(area, self.turn.inverse().size(self.size), channels);
        let result = u64::from(self.size.width) * u64::from(self.size.height) * channels;
        // Turned, given alpha and padded, each into a new buffer while the old one is still there.
        let moved = result * (u64::from(self.turn != Orientation::default()) + 2 * u64::from(is_padded));
        let encoder = encode_memory(self.size, self.format, self.quality, has_alpha);
        decode_memory(&self.probe, self.shrink).saturating_add(resized + moved + encoder)
    }
}

/// The size of an area after the decoder has shrunk it; a pixel more for parts at both ends.
fn shrunk(area: Size, shrink: Shrink) -> Size {
    let side = |side: u32| (side / factor(shrink) + 2).min(side);
    Size { width: side(area.width), height: side(area.height) }
}

fn format(probe: &Probe, target: Target) -> Format {
    match target {
        Target::Format(format) => format,
        Target::JpegOrPng if probe.format == SourceFormat::Png || probe.has_alpha => Format::Png,
        Target::JpegOrPng => Format::Jpeg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::operation::{Box2, Gravity, Region, Rotation};

    const LIMITS: Limits = Limits { max_width: 2048, max_height: 1536, max_source_pixels: 50_000_000 };

    fn probe(format: SourceFormat, width: u32, height: u32) -> Probe {
        Probe {
            format,
            width,
            height,
            orientation: Orientation::default(),
            has_alpha: false,
            is_progressive: false,
            components: 3,
            bits: 8,
        }
    }

    fn resize(width: u32, height: u32) -> Operations {
        let size = Box2::Both(Size { width, height });
        Operations { geometry: Geometry::Resize { size, fit: Fit::Inside }, ..Operations::default() }
    }

    fn planned(probe: &Probe, operations: &Operations) -> Plan {
        plan(probe, operations, Target::Format(Format::Webp), &LIMITS).unwrap()
    }

    #[test]
    fn jpegs_are_shrunk_while_decoding_as_sharp_does() {
        let source = probe(SourceFormat::Jpeg, 4000, 3000);
        let cases = [
            (4000, Shrink::One),
            (1900, Shrink::One),
            (1667, Shrink::One),
            (1333, Shrink::Half),
            (1000, Shrink::Half),
            (801, Shrink::Half),
            (800, Shrink::Quarter),
            (500, Shrink::Quarter),
            (445, Shrink::Quarter),
            (444, Shrink::Eighth),
            (10, Shrink::Eighth),
        ];
        for (width, shrink) in cases {
            let plan = planned(&source, &resize(width, 3000));
            assert_eq!(plan.shrink, shrink, "4000 to {width}");
        }
    }

    #[test]
    fn the_ratio_of_the_cut_decides_not_that_of_the_source() {
        let source = probe(SourceFormat::Jpeg, 4000, 3000);
        let mut region = resize(500, 500);
        region.region = Some(Region::Pixels { x: 0, y: 0, width: 1000, height: 1000 });
        assert_eq!(planned(&source, &region).shrink, Shrink::One);
        let size = Size { width: 300, height: 300 };
        let crop =
            Operations { geometry: Geometry::Crop { size, gravity: Gravity::Top }, ..Operations::default() };
        assert_eq!(planned(&source, &crop).shrink, Shrink::Eighth, "3000 to 300 is 10");
        let trim = Operations { trim: Some(Tolerance(10)), ..crop };
        assert_eq!(planned(&source, &trim).shrink, Shrink::One, "unknown before the trim");
        let fill = Operations {
            geometry: Geometry::Resize {
                size: Box2::Both(Size { width: 100, height: 2000 }),
                fit: Fit::Fill,
            },
            ..Operations::default()
        };
        assert_eq!(planned(&source, &fill).shrink, Shrink::One, "the smaller ratio of the two");
        let png = probe(SourceFormat::Png, 4000, 3000);
        assert_eq!(planned(&png, &resize(100, 100)).shrink, Shrink::One, "only JPEG can");
    }

    #[test]
    fn sizes_are_those_of_the_picture_as_seen() {
        let mut source = probe(SourceFormat::Jpeg, 4000, 3000);
        source.orientation = Orientation { mirrored: false, quarter_turns: 1 };
        let plan = planned(&source, &resize(800, 600));
        assert_eq!(plan.size(), Size { width: 450, height: 600 });
        let turned = Operations { rotate: Rotation::ThreeQuarters, ..resize(800, 600) };
        assert_eq!(planned(&source, &turned).size(), Size { width: 800, height: 600 });
        let region = Some(Region::Pixels { x: 0, y: 3000, width: 10, height: 2000 });
        let plan = planned(&source, &Operations { region, ..Operations::default() });
        assert_eq!(plan.size(), Size { width: 10, height: 1000 }, "clipped at 4000 seen rows");
        assert_eq!(plan.area, Area { x: 3000.0, y: 2990.0, width: 1000.0, height: 10.0 });
        assert_eq!((plan.corner.x, plan.corner.y), (3000.0, 2999.0), "seen upper left");
    }

    #[test]
    fn formats_are_negotiated_with_the_source() {
        let cases = [
            (SourceFormat::Jpeg, false, Format::Jpeg),
            (SourceFormat::Png, false, Format::Png),
            (SourceFormat::Webp, true, Format::Png),
            (SourceFormat::Gif, false, Format::Jpeg),
        ];
        for (format, has_alpha, expected) in cases {
            let source = Probe { has_alpha, ..probe(format, 10, 10) };
            let plan = plan(&source, &Operations::default(), Target::JpegOrPng, &LIMITS).unwrap();
            assert_eq!(plan.format(), expected, "{format:?}, alpha {has_alpha}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let source = probe(SourceFormat::Jpeg, 10_000, 5001);
        let error = plan(&source, &Operations::default(), Target::JpegOrPng, &LIMITS);
        assert_eq!(error, Err(Error::TooManyPixels { pixels: 50_010_000, limit: 50_000_000 }));
        let nothing =
            plan(&probe(SourceFormat::Gif, 0, 9), &Operations::default(), Target::JpegOrPng, &LIMITS);
        assert!(matches!(nothing, Err(Error::Corrupt { .. })), "{nothing:?}");
        let region = Some(Region::Pixels { x: 100, y: 0, width: 1, height: 1 });
        let operations = Operations { region, ..Operations::default() };
        let error = plan(&probe(SourceFormat::Png, 100, 50), &operations, Target::JpegOrPng, &LIMITS);
        assert_eq!(error, Err(Error::RegionOutside { width: 100, height: 50 }));
    }

    #[test]
    fn no_format_is_given_a_side_that_it_cannot_hold() {
        let limits = Limits { max_width: u32::MAX, max_height: u32::MAX, max_source_pixels: u64::MAX };
        let source = probe(SourceFormat::Png, 100_000, 10);
        for (format, side) in [(Format::Webp, 16_383), (Format::Jpeg, 65_500), (Format::Gif, 65_535)] {
            let plan = plan(&source, &Operations::default(), Target::Format(format), &limits).unwrap();
            assert_eq!(plan.size().width, side, "{format:?}");
        }
    }

    #[test]
    fn memory_grows_with_the_work() {
        let small = planned(&probe(SourceFormat::Png, 100, 100), &resize(50, 50)).memory_bytes();
        let large = planned(&probe(SourceFormat::Png, 4000, 3000), &resize(50, 50)).memory_bytes();
        assert!(large > small + 4000 * 3000 * 3, "{large} holds the decoded picture");
        let trim = Operations { trim: Some(Tolerance(1)), ..resize(50, 50) };
        let source = probe(SourceFormat::Png, 100, 100);
        assert!(planned(&source, &trim).memory_bytes() >= small, "a bound, whatever is trimmed");
    }
}
