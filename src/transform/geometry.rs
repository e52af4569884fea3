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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Size = Size { width: 2048, height: 1536 };

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn both(width: u32, height: u32, fit: Fit) -> Geometry {
        Geometry::Resize { size: Box2::Both(size(width, height)), fit }
    }

    fn crop_to(width: u32, height: u32, gravity: Gravity) -> Geometry {
        Geometry::Crop { size: size(width, height), gravity }
    }

    #[test]
    fn sizes_are_those_of_sharp() {
        use Fit::{Contain, Cover, Fill, Inside, Outside};
        let width = |width| Geometry::Resize { size: Box2::Width(width), fit: Inside };
        let height = |height| Geometry::Resize { size: Box2::Height(height), fit: Inside };
        let crop = |width, height| crop_to(width, height, Gravity::Center);
        // Source, what is asked for, size of the picture, size of its canvas.
        let cases = [
            ((4000, 3000), both(800, 600, Inside), (800, 600), None),
            ((3000, 4000), both(800, 600, Inside), (450, 600), None),
            ((4000, 3000), width(800), (800, 600), None),
            ((4000, 3000), height(600), (800, 600), None),
            ((1632, 1224), width(801), (801, 601), None),
            ((1333, 1000), width(500), (500, 375), None),
            ((1920, 1080), both(800, 800, Inside), (800, 450), None),
            ((4001, 3001), both(800, 600, Inside), (800, 600), None),
            ((3, 2), width(1), (1, 1), None),
            ((3, 1), both(2, 2, Inside), (2, 1), None),
            ((10_000, 1), width(100), (100, 1), None),
            ((1, 10_000), both(100, 100, Inside), (1, 100), None),
            ((1, 1), both(1, 1, Inside), (1, 1), None),
            ((100, 80), both(800, 600, Inside), (100, 80), None),
            ((100, 80), width(800), (100, 80), None),
            ((4000, 3000), Geometry::Limits, (2048, 1536), None),
            ((640, 480), Geometry::Limits, (640, 480), None),
            ((9000, 9), Geometry::Limits, (2048, 2), None),
            ((4000, 3000), both(9000, 9000, Inside), (2048, 1536), None),
            ((4000, 3000), both(400, 400, Outside), (533, 400), None),
            ((3000, 4000), both(400, 400, Outside), (400, 533), None),
            ((300, 4000), both(400, 400, Outside), (115, 1536), None),
            ((300, 300), both(400, 200, Outside), (300, 300), None),
            ((8000, 100), both(50, 50, Outside), (2048, 26), None),
            ((4000, 3000), both(400, 400, Cover), (400, 400), None),
            ((300, 300), both(400, 200, Cover), (300, 150), None),
            ((4000, 3000), both(400, 400, Contain), (400, 300), Some((400, 400))),
            ((100, 50), both(400, 300, Contain), (100, 50), Some((400, 300))),
            ((4000, 3000), both(800, 600, Contain), (800, 600), Some((800, 600))),
            ((4000, 3000), both(5000, 600, Contain), (800, 600), Some((2048, 600))),
            ((4000, 3000), both(100, 400, Fill), (100, 400), None),
            ((50, 3000), both(100, 400, Fill), (50, 400), None),
            ((4000, 3000), both(9000, 10, Fill), (2048, 10), None),
            ((4000, 3000), crop(300, 300), (300, 300), None),
            ((4000, 3000), crop(1, 1), (1, 1), None),
            ((200, 100), crop(400, 400), (100, 100), None),
            ((200, 100), crop(150, 300), (50, 100), None),
            ((200, 100), crop(2000, 1), (200, 1), None),
            ((9000, 9000), crop(4096, 4096), (1536, 1536), None),
        ];
        for (source, geometry, picture, canvas) in cases {
            let framing = frame(size(source.0, source.1), geometry, LIMITS);
            let expected = size(picture.0, picture.1);
            assert_eq!(framing.picture, expected, "picture of {source:?} by {geometry:?}");
            let canvas = canvas.map_or(expected, |canvas: (u32, u32)| size(canvas.0, canvas.1));
            assert_eq!(framing.canvas, canvas, "canvas of {source:?} by {geometry:?}");
        }
    }

    #[test]
    fn cuts_keep_what_gravity_says() {
        let focal = |x, y| Gravity::Focal { x: PerMyriad(x), y: PerMyriad(y) };
        // Of 4000 x 3000, 300 x 300 is cut from 3000 x 3000; 400 x 100 from 4000 x 1000.
        let cases = [
            ((300, 300), Gravity::Center, (500.0, 0.0)),
            ((300, 300), Gravity::Left, (0.0, 0.0)),
            ((300, 300), Gravity::Top, (500.0, 0.0)),
            ((300, 300), Gravity::BottomRight, (1000.0, 0.0)),
            ((300, 300), focal(0, 10_000), (0.0, 0.0)),
            ((300, 300), focal(4000, 0), (100.0, 0.0)),
            ((400, 100), Gravity::Bottom, (0.0, 2000.0)),
            ((400, 100), Gravity::TopRight, (0.0, 0.0)),
            ((400, 100), Gravity::BottomLeft, (0.0, 2000.0)),
            ((400, 100), focal(9_999, 5000), (0.0, 1000.0)),
            ((400, 100), focal(0, 10_000), (0.0, 2000.0)),
            ((400, 100), Gravity::TopLeft, (0.0, 0.0)),
            ((400, 100), Gravity::Right, (0.0, 1000.0)),
        ];
        for ((width, height), gravity, (x, y)) in cases {
            let cut = frame(size(4000, 3000), crop_to(width, height, gravity), LIMITS).cut;
            assert_eq!((cut.x, cut.y), (x, y), "{width} x {height} {gravity:?}");
        }
        let cut = frame(size(101, 50), crop_to(40, 30, Gravity::Center), LIMITS).cut;
        assert_eq!(cut, Area { x: (101.0 - 200.0 / 3.0) / 2.0, y: 0.0, width: 200.0 / 3.0, height: 50.0 });
    }

    #[test]
    fn what_is_not_scaled_is_cut_at_whole_pixels() {
        for (source, want) in [((101, 50), (40, 50)), ((101, 51), (200, 200)), ((7, 5), (7, 2))] {
            let framing = frame(size(source.0, source.1), crop_to(want.0, want.1, Gravity::Center), LIMITS);
            assert_eq!(framing.cut.size(), framing.picture, "{source:?} {want:?}");
            assert_eq!((framing.cut.x.fract(), framing.cut.y.fract()), (0.0, 0.0), "{source:?} {want:?}");
        }
    }

    #[test]
    fn regions_are_clipped_to_the_source() {
        let pixels = |x, y, width, height| Region::Pixels { x, y, width, height };
        let shares = |x, y, width, height| Region::Shares {
            x: PerMyriad(x),
            y: PerMyriad(y),
            width: PerMyriad(width),
            height: PerMyriad(height),
        };
        let cases = [
            (pixels(10, 20, 30, 40), Some((10, 20, 30, 40))),
            (pixels(190, 90, 30, 40), Some((190, 90, 10, 10))),
            (pixels(0, 0, u32::MAX, u32::MAX), Some((0, 0, 200, 100))),
            (pixels(199, 99, u32::MAX, 1), Some((199, 99, 1, 1))),
            (pixels(200, 0, 1, 1), None),
            (pixels(0, u32::MAX, 1, u32::MAX), None),
            (shares(0, 0, 10_000, 10_000), Some((0, 0, 200, 100))),
            (shares(2500, 5000, 5000, 2500), Some((50, 50, 100, 25))),
            (shares(9999, 9900, 10_000, 10_000), None),
            (shares(9900, 9900, 10_000, 10_000), Some((198, 99, 2, 1))),
            (shares(0, 0, 1, 1), Some((0, 0, 1, 1))),
            (shares(10_000, 0, 1, 1), None),
        ];
        for (asked, expected) in cases {
            let expected = expected.map(|(x, y, width, height): (u32, u32, u32, u32)| Area {
                x: x.into(),
                y: y.into(),
                width: width.into(),
                height: height.into(),
            });
            assert_eq!(region(asked, size(200, 100)), expected, "{asked:?}");
        }
    }

    pub(crate) fn geometries() -> impl Strategy<Value = Geometry> {
        let side = || prop_oneof![1_u32..20, 1_u32..5000, Just(u32::MAX)];
        let sides = prop_oneof![
            side().prop_map(Box2::Width),
            side().prop_map(Box2::Height),
            (side(), side()).prop_map(|(width, height)| Box2::Both(size(width, height))),
        ];
        let fit = prop_oneof![
            Just(Fit::Inside),
            Just(Fit::Outside),
            Just(Fit::Cover),
            Just(Fit::Contain),
            Just(Fit::Fill)
        ];
        let gravity = prop_oneof![
            Just(Gravity::Center),
            Just(Gravity::TopLeft),
            Just(Gravity::BottomRight),
            (0_u16..=10_000, 0_u16..=10_000)
                .prop_map(|(x, y)| Gravity::Focal { x: PerMyriad(x), y: PerMyriad(y) }),
        ];
        prop_oneof![
            Just(Geometry::Limits),
            (sides, fit).prop_map(|(size, fit)| Geometry::Resize { size, fit }),
            (side(), side(), gravity)
                .prop_map(|(width, height, gravity)| Geometry::Crop { size: size(width, height), gravity }),
        ]
    }

    fn sizes() -> impl Strategy<Value = Size> {
        let side = || prop_oneof![1_u32..20, 1_u32..20_000];
        (side(), side()).prop_map(|(width, height)| size(width, height))
    }

    fn is_within(inner: Size, outer: Size) -> bool {
        smaller(inner, outer) == inner
    }

    proptest! {
        #[test]
        fn nothing_is_enlarged_and_nothing_exceeds_the_limits(source in sizes(), geometry in geometries(), limits in sizes()) {
            let Framing { cut, picture, canvas } = frame(source, geometry, limits);
            prop_assert!(is_within(picture, source), "{picture:?}");
            prop_assert!(is_within(picture, canvas) && is_within(canvas, limits), "{picture:?} {canvas:?}");
            prop_assert!(picture.width >= 1 && picture.height >= 1);
            prop_assert!(cut.x >= 0.0 && cut.x + cut.width <= f64::from(source.width) + 1e-9, "{cut:?}");
            prop_assert!(cut.y >= 0.0 && cut.y + cut.height <= f64::from(source.height) + 1e-9, "{cut:?}");
            prop_assert!(cut.width >= f64::from(picture.width) - 1e-9, "{cut:?} {picture:?}");
            prop_assert!(cut.height >= f64::from(picture.height) - 1e-9, "{cut:?} {picture:?}");
        }

        #[test]
        fn the_aspect_is_kept_within_a_pixel(source in sizes(), geometry in geometries()) {
            let is_fill = matches!(geometry, Geometry::Resize { size: Box2::Both(_), fit: Fit::Fill });
            let Framing { cut, picture, .. } = frame(source, geometry, size(4096, 4096));
            // There is one scale that explains both sides, each within a pixel.
            let scales = |by: f64| ((f64::from(picture.width) + by) / cut.width, (f64::from(picture.height) + by) / cut.height);
            let (least, most) = (scales(-1.0), scales(1.0));
            prop_assert!(is_fill || least.0.max(least.1) <= most.0.min(most.1), "{cut:?} {picture:?}");
        }

        #[test]
        fn a_crop_is_exact_where_the_source_suffices(source in sizes(), width in 1_u32..3000, height in 1_u32..3000) {
            let want = size(width, height);
            let picture = frame(source, crop_to(width, height, Gravity::Center), size(4096, 4096)).picture;
            if is_within(want, source) {
                prop_assert_eq!(picture, want);
            } else {
                prop_assert!(picture.width == source.width || picture.height == source.height, "{picture:?}");
            }
        }

        #[test]
        fn the_bound_holds_for_every_part_of_the_source(source in sizes(), part in sizes(), geometry in geometries(), limits in sizes()) {
            let canvas = frame(smaller(part, source), geometry, limits).canvas;
            prop_assert!(is_within(canvas, bound(source, geometry, limits)), "{canvas:?}");
        }
    }
}
