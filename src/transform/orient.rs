//! Turning and mirroring: the eight symmetries of a rectangle.
//!
//! EXIF orientation, `rotate` and `flip` are elements of one group of eight (D4), and
//! [`Orientation`] is that element. So however many turns a picture has to make, its pixels are
//! moved once, and they are moved last, when there are few of them left.

use crate::transform::geometry::Area;
use crate::transform::operation::{Flip, Rotation, Size};
use crate::transform::pixels::{Layout, Orientation, Pixels, Scratch};

/// Side of the square blocks in which a quarter turn copies, so that both its reads and its writes
/// stay within the first-level cache.
const BLOCK: usize = 32;

impl From<Rotation> for Orientation {
    fn from(rotation: Rotation) -> Self {
        let quarter_turns = match rotation {
            Rotation::None => 0,
            Rotation::Quarter => 1,
            Rotation::Half => 2,
            Rotation::ThreeQuarters => 3,
        };
        Self { mirrored: false, quarter_turns }
    }
}

impl From<Flip> for Orientation {
    fn from(flip: Flip) -> Self {
        // Top and bottom change places by mirroring left and right and then turning by a half.
        Self { mirrored: flip.horizontal != flip.vertical, quarter_turns: if flip.vertical { 2 } else { 0 } }
    }
}

impl Orientation {
    /// This one first, `next` after it, as one.
    pub(crate) fn then(self, next: Self) -> Self {
        // Mirroring turns a clockwise turn into a counter-clockwise one.
        let turns = if next.mirrored { 4 - self.quarter_turns % 4 } else { self.quarter_turns % 4 };
        Self { mirrored: self.mirrored != next.mirrored, quarter_turns: (next.quarter_turns % 4 + turns) % 4 }
    }

    /// What undoes this one.
    pub(crate) fn inverse(self) -> Self {
        let quarter_turns =
            if self.mirrored { self.quarter_turns % 4 } else { (4 - self.quarter_turns % 4) % 4 };
        Self { mirrored: self.mirrored, quarter_turns }
    }

    /// Whether width and height change places.
    pub(crate) fn swaps_sides(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// The size of a picture of `size` after this.
    pub(crate) fn size(self, size: Size) -> Size {
        if self.swaps_sides() { Size { width: size.height, height: size.width } } else { size }
    }

    /// Where an area of a picture of `size` lies after this.
    pub(crate) fn area(self, area: Area, size: Size) -> Area {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let x = if self.mirrored { width - area.x - area.width } else { area.x };
        let (right, below) = (width - x - area.width, height - area.y - area.height);
        match self.quarter_turns % 4 {
            0 => Area { x, ..area },
            1 => Area { x: below, y: x, width: area.height, height: area.width },
            2 => Area { x: right, y: below, ..area },
            _ => Area { x: area.y, y: right, width: area.height, height: area.width },
        }
    }
}

/// Turns and mirrors a picture.
pub(crate) fn turn(pixels: Pixels, by: Orientation, scratch: &mut Scratch) -> Pixels {
    if by == Orientation::default() {
        return pixels;
    }
    let size = by.size(Size { width: pixels.width, height: pixels.height });
    let mut data = scratch.take(pixels.data.len());
    match pixels.layout {
        Layout::Rgb => turn_pixels::<3>(&pixels, by, &mut data),
        Layout::Rgba => turn_pixels::<4>(&pixels, by, &mut data),
    }
    let turned = Pixels { width: size.width, height: size.height, layout: pixels.layout, data };
    scratch.give(pixels.data);
    turned
}

fn turn_pixels<const N: usize>(source: &Pixels, by: Orientation, target: &mut [u8]) {
    let (from, _) = source.data.as_chunks::<N>();
    let (to, _) = target.as_chunks_mut::<N>();
    let (width, height) = (source.width as usize, source.height as usize);
    let (across, down) = if by.swaps_sides() { (height, width) } else { (width, height) };
    // Where the pixel that ends at (x, y) comes from: the turn undone, then the mirroring.
    let source_at = |x: usize, y: usize| {
        let (x, y) = match by.quarter_turns % 4 {
            0 => (x, y),
            1 => (y, height - 1 - x),
            2 => (width - 1 - x, height - 1 - y),
            _ => (width - 1 - y, x),
        };
        y * width + if by.mirrored { width - 1 - x } else { x }
    };
    // That is linear along a row, so a first index and a step are enough for a run of pixels.
    let step = if across > 1 { source_at(1, 0).wrapping_sub(source_at(0, 0)) } else { 0 };
    for top in (0..down).step_by(BLOCK) {
        for left in (0..across).step_by(BLOCK) {
            let right = (left + BLOCK).min(across);
            for y in top..(top + BLOCK).min(down) {
                let mut at = source_at(left, y);
                for pixel in &mut to[y * across + left..y * across + right] {
                    *pixel = from[at];
                    at = at.wrapping_add(step);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> impl Iterator<Item = Orientation> {
        (0..8).map(|i| Orientation { mirrored: i >= 4, quarter_turns: i % 4 })
    }

    /// Every pixel tells its own place.
    fn numbered(width: u32, height: u32, layout: Layout) -> Pixels {
        let data = (0..height)
            .flat_map(|y| (0..width).map(move |x| [x as u8, y as u8, 7, 255]))
            .flat_map(|pixel| pixel.into_iter().take(layout.channels()))
            .collect();
        Pixels { width, height, layout, data }
    }

    fn turned(pixels: &Pixels, by: Orientation) -> Pixels {
        turn(pixels.clone(), by, &mut Scratch::default())
    }

    #[test]
    fn mirrors_first_and_then_turns_clockwise() {
        // 1 2
        // 3 4
        let pixels = Pixels {
            width: 2,
            height: 2,
            layout: Layout::Rgb,
            data: [1, 2, 3, 4].into_iter().flat_map(|n| [n; 3]).collect(),
        };
        for (mirrored, quarter_turns, expected) in [
            (false, 0, [1, 2, 3, 4]),
            (false, 1, [3, 1, 4, 2]),
            (false, 2, [4, 3, 2, 1]),
            (false, 3, [2, 4, 1, 3]),
            (true, 0, [2, 1, 4, 3]),
            (true, 1, [4, 2, 3, 1]),
            (true, 2, [3, 4, 1, 2]),
            (true, 3, [1, 3, 2, 4]),
        ] {
            let by = Orientation { mirrored, quarter_turns };
            let corners: Vec<u8> = turned(&pixels, by).data.chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(corners, expected, "{by:?}");
        }
    }

    #[test]
    fn flips_mirror_the_picture_as_seen() {
        let vertical = Orientation::from(Flip { horizontal: false, vertical: true });
        let pixels = numbered(3, 2, Layout::Rgb);
        let rows: Vec<&[u8]> = pixels.data.chunks(9).rev().collect();
        assert_eq!(turned(&pixels, vertical).data, rows.concat(), "rows in reverse order");
        let both = Orientation::from(Flip { horizontal: true, vertical: true });
        assert_eq!(both, Orientation::from(Rotation::Half), "both mirrorings are a half turn");
    }

    #[test]
    fn is_a_group() {
        let none = Orientation::default();
        for a in all() {
            assert_eq!(a.then(none), a, "{a:?} then nothing");
            assert_eq!(none.then(a), a, "nothing then {a:?}");
            assert_eq!(a.then(a.inverse()), none, "{a:?} undone");
            assert_eq!(a.inverse().then(a), none, "{a:?} undone before");
            for b in all() {
                for c in all() {
                    assert_eq!(a.then(b).then(c), a.then(b.then(c)), "{a:?} {b:?} {c:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn turning_twice_is_turning_by_both(a in 0_u8..8, b in 0_u8..8, width in 1_u32..70, height in 1_u32..70, alpha: bool) {
            let (a, b) = (
                Orientation { mirrored: a >= 4, quarter_turns: a % 4 },
                Orientation { mirrored: b >= 4, quarter_turns: b % 4 },
            );
            let pixels = numbered(width, height, if alpha { Layout::Rgba } else { Layout::Rgb });
            prop_assert_eq!(turned(&turned(&pixels, a), b), turned(&pixels, a.then(b)));
        }

        #[test]
        fn areas_move_with_their_pixels(by in 0_u8..8, width in 1_u32..20, height in 1_u32..20, x in 0_u32..20, y in 0_u32..20) {
            let by = Orientation { mirrored: by >= 4, quarter_turns: by % 4 };
            let (x, y) = (x % width, y % height);
            let size = Size { width, height };
            let area = by.area(Area { x: x.into(), y: y.into(), width: 1.0, height: 1.0 }, size);
            let result = turned(&numbered(width, height, Layout::Rgb), by);
            let at = (area.y as usize * result.width as usize + area.x as usize) * 3;
            prop_assert_eq!(&result.data[at..at + 2], &[x as u8, y as u8]);
            prop_assert_eq!(by.inverse().area(area, by.size(size)), Area { x: x.into(), y: y.into(), width: 1.0, height: 1.0 });
        }
    }
}
