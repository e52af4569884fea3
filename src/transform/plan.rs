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
use crate::transform::resize::resize_memory;

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
    pub(crate) shrink: Shrink,
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
/// [`Error::TooManyPixels`] and [`Error::RegionOutside`].
pub fn plan(probe: &Probe, operations: &Operations, target: Target, limits: &Limits) -> Result<Plan, Error> {
    let pixels = u64::from(probe.width) * u64::from(probe.height);
    if pixels > limits.max_source_pixels {
        return Err(Error::TooManyPixels { pixels, limit: limits.max_source_pixels });
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
        let area = self.area.size();
        // Before padding the picture may be as large as the canvas, but not larger.
        let resized = resize_memory(area, self.turn.inverse().size(self.size), channels);
        let result = u64::from(self.size.width) * u64::from(self.size.height) * channels;
        // Turned, given alpha and padded, each into a new buffer while the old one is still there.
        let moved = result * (u64::from(self.turn != Orientation::default()) + 2 * u64::from(is_padded));
        decode_memory(&self.probe, self.shrink)
            + resized
            + moved
            + encode_memory(self.size, self.format, has_alpha)
    }
}

fn format(probe: &Probe, target: Target) -> Format {
    match target {
        Target::Format(format) => format,
        Target::JpegOrPng if probe.format == SourceFormat::Png || probe.has_alpha => Format::Png,
        Target::JpegOrPng => Format::Jpeg,
    }
}
