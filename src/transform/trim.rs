//! Finds the border of one colour that `trim` cuts away.

use crate::transform::geometry::Area;
use crate::transform::operation::Tolerance;
use crate::transform::pixels::{Layout, Pixels};

/// What is left of `area` (whole pixels) without its border. The border is whatever is within
/// `tolerance` of the pixel at `corner` in every channel, alpha included and colour premultiplied,
/// so that invisible colours do not count. A picture of one colour alone is all border; it is
/// `None`, to be left as it is.
pub(crate) fn find(pixels: &Pixels, area: Area, corner: Area, tolerance: Tolerance) -> Option<Area> {
    match pixels.layout {
        Layout::Rgb => Border::<3>::new(pixels, area, corner, tolerance).content(),
        Layout::Rgba => Border::<4>::new(pixels, area, corner, tolerance).content(),
    }
}

struct Border<'a, const N: usize> {
    pixels: &'a [[u8; N]],
    stride: usize,
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    color: [u8; N],
    tolerance: u8,
}

impl<'a, const N: usize> Border<'a, N> {
    fn new(pixels: &'a Pixels, area: Area, corner: Area, tolerance: Tolerance) -> Self {
        let (data, _) = pixels.data.as_chunks::<N>();
        let stride = pixels.width as usize;
        let (left, top) = (area.x as usize, area.y as usize);
        Self {
            pixels: data,
            stride,
            left,
            top,
            right: left + area.width as usize,
            bottom: top + area.height as usize,
            color: premultiplied(data[corner.y as usize * stride + corner.x as usize]),
            tolerance: tolerance.0,
        }
    }

    fn row(&self, y: usize) -> &[[u8; N]] {
        &self.pixels[y * self.stride + self.left..y * self.stride + self.right]
    }

    fn is_content(&self, pixel: [u8; N]) -> bool {
        let pixel = premultiplied(pixel);
        pixel.iter().zip(&self.color).any(|(a, b)| a.abs_diff(*b) > self.tolerance)
    }

    fn content(&self) -> Option<Area> {
        let has_content = |&y: &usize| self.row(y).iter().any(|&pixel| self.is_content(pixel));
        let top = (self.top..self.bottom).find(has_content)?;
        let bottom = (top..self.bottom).rfind(has_content)? + 1;
        let (mut first, mut end) = (self.right - self.left, 0);
        for y in top..bottom {
            // Only what lies outside of the content found so far can widen it.
            let row = self.row(y);
            if let Some(x) = row[..first].iter().position(|&pixel| self.is_content(pixel)) {
                first = x;
            }
            if let Some(x) = row[end..].iter().rposition(|&pixel| self.is_content(pixel)) {
                end += x + 1;
            }
        }
        Some(Area {
            x: (self.left + first) as f64,
            y: top as f64,
            width: (end - first) as f64,
            height: (bottom - top) as f64,
        })
    }
}

fn premultiplied<const N: usize>(mut pixel: [u8; N]) -> [u8; N] {
    if let [color @ .., alpha] = &mut pixel[..]
        && N == 4
        && *alpha < 255
    {
        for channel in color {
            *channel = (u16::from(*channel) * u16::from(*alpha) / 255) as u8;
        }
    }
    pixel
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORNER: Area = Area { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };

    fn picture(rows: &[&[u8]]) -> Pixels {
        let data = rows.iter().flat_map(|row| row.iter().flat_map(|&n| [n; 3])).collect();
        Pixels { width: rows[0].len() as u32, height: rows.len() as u32, layout: Layout::Rgb, data }
    }

    fn found(pixels: &Pixels, tolerance: u8) -> Option<[f64; 4]> {
        let area = Area { x: 0.0, y: 0.0, width: f64::from(pixels.width), height: f64::from(pixels.height) };
        find(pixels, area, CORNER, Tolerance(tolerance)).map(|area| [area.x, area.y, area.width, area.height])
    }

    #[test]
    fn finds_what_differs_by_more_than_the_tolerance() {
        let pixels = picture(&[&[9, 9, 9, 9], &[9, 9, 19, 9], &[9, 30, 9, 9], &[9, 9, 9, 9], &[9, 9, 9, 9]]);
        assert_eq!(found(&pixels, 9), Some([1.0, 1.0, 2.0, 2.0]), "both pixels differ");
        assert_eq!(found(&pixels, 10), Some([1.0, 2.0, 1.0, 1.0]), "only one differs by more than 10");
        assert_eq!(found(&pixels, 21), None, "all is border");
    }

    #[test]
    fn content_may_touch_every_edge() {
        let pixels = picture(&[&[0, 99, 0], &[99, 0, 99], &[0, 99, 0]]);
        assert_eq!(found(&pixels, 1), Some([0.0, 0.0, 3.0, 3.0]));
        let pixels = picture(&[&[0, 0, 0], &[0, 0, 99]]);
        assert_eq!(found(&pixels, 1), Some([2.0, 1.0, 1.0, 1.0]));
    }

    #[test]
    fn starts_from_the_corner_that_is_named_and_stays_in_its_area() {
        let pixels = picture(&[&[1, 1, 1, 50], &[1, 80, 80, 50], &[50, 50, 50, 50]]);
        let area = Area { x: 1.0, y: 0.0, width: 3.0, height: 3.0 };
        let corner = Area { x: 3.0, y: 2.0, ..CORNER };
        let content = find(&pixels, area, corner, Tolerance(10));
        assert_eq!(content, Some(Area { x: 1.0, y: 0.0, width: 2.0, height: 2.0 }));
    }

    #[test]
    fn invisible_colours_do_not_count() {
        let data = [[255, 0, 0, 0], [0, 255, 0, 0], [10, 20, 30, 255], [9, 9, 9, 4]].concat();
        let pixels = Pixels { width: 4, height: 1, layout: Layout::Rgba, data };
        assert_eq!(found(&pixels, 10), Some([2.0, 0.0, 1.0, 1.0]));
    }
}
