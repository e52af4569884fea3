//! Sizes and cuts: how large the result is and which part of the source it shows.
//!
//! Everything here is arithmetic on sizes as they are seen, after orientation, `region`, `trim`,
//! `rotate` and `flip`. Sides are rounded half up as sharp and libvips round them, in integers,
//! so that 4000 x 3000 in a box of 800 x 600 is 800 x 600 on every machine. Nothing is ever
//! enlarged, no side ever falls below 1, and no result exceeds the limits.

use crate::transform::operation::{Box2, Fit, Geometry, Gravity, PerMyriad, Region, Size};

/// A rectangle of pixels; fractions are parts of a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    /// The whole of a picture of `size`.
    pub(crate) fn whole(size: Size) -> Self {
        Self { x: 0.0, y: 0.0, width: f64::from(size.width), height: f64::from(size.height) }
    }

    /// Size of an area that has no fractions.
    pub(crate) fn size(self) -> Size {
        Size { width: self.width as u32, height: self.height as u32 }
    }
}

/// How a picture comes to its size: `cut` of the source is scaled to `picture`, which is then
/// centred on `canvas`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Framing {
    pub(crate) cut: Area,
    pub(crate) picture: Size,
    pub(crate) canvas: Size,
}

/// Frames a source of this size.
pub(crate) fn frame(source: Size, geometry: Geometry, limits: Size) -> Framing {
    let (size, fit) = match geometry {
        Geometry::Limits => (limits, Fit::Inside),
        Geometry::Crop { size, gravity } => return crop(source, inside(size, limits), gravity),
        Geometry::Resize { size, fit } => match size {
            Box2::Width(width) => (Size { width, ..limits }, Fit::Inside),
            Box2::Height(height) => (Size { height, ..limits }, Fit::Inside),
            Box2::Both(size) if fit == Fit::Cover => {
                return crop(source, inside(size, limits), Gravity::Center);
            }
            Box2::Both(size) => (size, fit),
        },
    };
    let within = smaller(size, limits);
    let picture = match fit {
        Fit::Outside => outside(source, size, limits),
        Fit::Fill => smaller(source, within),
        Fit::Inside | Fit::Cover | Fit::Contain => inside(source, within),
    };
    let canvas = if fit == Fit::Contain { within } else { picture };
    Framing { cut: Area::whole(source), picture, canvas }
}

/// The largest result that any part of `source` can have; what `trim` leaves is not known before.
pub(crate) fn bound(source: Size, geometry: Geometry, limits: Size) -> Size {
    let side = match geometry {
        Geometry::Limits | Geometry::Resize { fit: Fit::Outside, .. } => limits,
        Geometry::Crop { size, .. } => size,
        Geometry::Resize { size: Box2::Width(width), .. } => Size { width, ..limits },
        Geometry::Resize { size: Box2::Height(height), .. } => Size { height, ..limits },
        // The padding may be larger than the source.
        Geometry::Resize { size: Box2::Both(size), fit: Fit::Contain } => return smaller(size, limits),
        Geometry::Resize { size: Box2::Both(size), .. } => size,
    };
    smaller(smaller(side, limits), source)
}

/// The part of a source of `size` that a region means, in whole pixels; what sticks out is cut off.
/// `None` if nothing is left.
pub(crate) fn region(region: Region, size: Size) -> Option<Area> {
    let (x, y) = match region {
        Region::Pixels { x, y, width, height } => {
            (span(x, x.saturating_add(width), size.width)?, span(y, y.saturating_add(height), size.height)?)
        }
        Region::Shares { x, y, width, height } => {
            (share(x, width, size.width)?, share(y, height, size.height)?)
        }
    };
    Some(Area { x: x.0, y: y.0, width: x.1, height: y.1 })
}

/// Start and length of `start..end` within `side`.
fn span(start: u32, end: u32, side: u32) -> Option<(f64, f64)> {
    let length = end.min(side).checked_sub(start).filter(|&length| length > 0)?;
    Some((f64::from(start), f64::from(length)))
}

fn share(start: PerMyriad, length: PerMyriad, side: u32) -> Option<(f64, f64)> {
    let of_side = |share: u32| scaled(side, u64::from(share), 10_000);
    let start = u32::from(start.0);
    let (from, to) = (of_side(start), of_side(start + u32::from(length.0)));
    // However small the share, one pixel is meant.
    span(from, to.max(from + 1), side)
}

/// `side * numerator / denominator`, half up.
fn scaled(side: u32, numerator: u64, denominator: u64) -> u32 {
    let (side, numerator, denominator) =
        (u128::from(side), u128::from(numerator), u128::from(denominator).max(1));
    u32::try_from((2 * side * numerator + denominator) / (2 * denominator)).unwrap_or(u32::MAX)
}

/// Side by side the smaller one.
fn smaller(a: Size, b: Size) -> Size {
    Size { width: a.width.min(b.width), height: a.height.min(b.height) }
}

/// Whether `a` is relatively at least as wide as `b`.
fn is_wider(a: Size, b: Size) -> bool {
    u64::from(a.width) * u64::from(b.height) >= u64::from(a.height) * u64::from(b.width)
}

/// `source` with its width, or its height, brought to that of `area`.
fn to_width(source: Size, area: Size) -> Size {
    Size { width: area.width, height: scaled(source.height, area.width.into(), source.width.into()).max(1) }
}

fn to_height(source: Size, area: Size) -> Size {
    Size { width: scaled(source.width, area.height.into(), source.height.into()).max(1), height: area.height }
}

/// The largest size of the aspect of `source` that fits into `area`, at most `source` itself.
fn inside(source: Size, area: Size) -> Size {
    if source.width <= area.width && source.height <= area.height {
        source
    } else if is_wider(source, area) {
        to_width(source, area)
    } else {
        to_height(source, area)
    }
}

/// The smallest size of the aspect of `source` that covers `area`, at most `source` itself; within
/// `limits` in any case.
fn outside(source: Size, area: Size, limits: Size) -> Size {
    let covering = if source.width <= area.width || source.height <= area.height {
        source
    } else if is_wider(source, area) {
        to_height(source, area)
    } else {
        to_width(source, area)
    };
    if smaller(covering, limits) == covering { covering } else { inside(source, limits) }
}

/// Cuts `source` to `want`, or to the largest cut of its aspect if it is too small for it.
fn crop(source: Size, want: Size, gravity: Gravity) -> Framing {
    let (width, height) = (f64::from(source.width), f64::from(source.height));
    let picture = inside(want, source);
    let (cut_width, cut_height) = if picture != want {
        // Nothing is scaled here: whole pixels are copied.
        (f64::from(picture.width), f64::from(picture.height))
    } else if is_wider(source, want) {
        ((height * f64::from(want.width) / f64::from(want.height)).min(width), height)
    } else {
        (width, (width * f64::from(want.height) / f64::from(want.width)).min(height))
    };
    let is_scaled = cut_width > f64::from(picture.width) || cut_height > f64::from(picture.height);
    let place = |side: f64, cut: f64, anchor: Anchor| {
        let start = anchor.start(side, cut);
        if is_scaled { start } else { start.round() }
    };
    let (across, down) = anchors(gravity);
    let (x, y) = (place(width, cut_width, across), place(height, cut_height, down));
    Framing { cut: Area { x, y, width: cut_width, height: cut_height }, picture, canvas: picture }
}

/// What a cut keeps in one direction.
enum Anchor {
    /// A share of what is cut away lies before the cut.
    Before(f64),
    /// This share of the side is to be in the middle of the cut.
    Middle(f64),
}

impl Anchor {
    fn start(self, side: f64, cut: f64) -> f64 {
        let spare = (side - cut).max(0.0);
        match self {
            Self::Before(share) => spare * share,
            Self::Middle(share) => (side * share - cut / 2.0).clamp(0.0, spare),
        }
    }
}

fn anchors(gravity: Gravity) -> (Anchor, Anchor) {
    let (x, y) = match gravity {
        Gravity::Center => (0.5, 0.5),
        Gravity::Top => (0.5, 0.0),
        Gravity::Bottom => (0.5, 1.0),
        Gravity::Left => (0.0, 0.5),
        Gravity::Right => (1.0, 0.5),
        Gravity::TopLeft => (0.0, 0.0),
        Gravity::TopRight => (1.0, 0.0),
        Gravity::BottomLeft => (0.0, 1.0),
        Gravity::BottomRight => (1.0, 1.0),
        Gravity::Focal { x, y } => {
            let share = |share: PerMyriad| Anchor::Middle(f64::from(share.0) / 10_000.0);
            return (share(x), share(y));
        }
    };
    (Anchor::Before(x), Anchor::Before(y))
}
