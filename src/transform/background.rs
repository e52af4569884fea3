//! What lies behind a picture: transparency filled, padding added, needless alpha dropped.

use crate::transform::operation::{Color, Size};
use crate::transform::pixels::{Layout, Pixels, Scratch};

const OPAQUE: u8 = 255;

impl Color {
    /// What JPEG shows where nothing else was asked for.
    pub(crate) const WHITE: Self = Self { red: 255, green: 255, blue: 255, alpha: OPAQUE };
    /// Nothing.
    pub(crate) const CLEAR: Self = Self { red: 0, green: 0, blue: 0, alpha: 0 };

    /// This colour in front of `behind`.
    pub(crate) fn over(self, behind: Self) -> Self {
        let [red, green, blue, alpha] = over(self.channels(), behind);
        Self { red, green, blue, alpha }
    }

    fn channels(self) -> [u8; 4] {
        [self.red, self.green, self.blue, self.alpha]
    }
}

/// Whether every pixel is fully opaque.
pub(crate) fn is_opaque(pixels: &Pixels) -> bool {
    let (data, _) = pixels.data.as_chunks::<4>();
    // In blocks, so that the compiler can use vectors within and stop early between them.
    pixels.layout == Layout::Rgb
        || data.chunks(256).all(|block| block.iter().fold(OPAQUE, |all, pixel| all & pixel[3]) == OPAQUE)
}

/// Forgets alpha, in place.
pub(crate) fn drop_alpha(pixels: Pixels) -> Pixels {
    narrow(pixels, |[red, green, blue, _]| [red, green, blue])
}

/// Puts `color` behind everything; afterwards there is alpha only if the colour itself has some.
pub(crate) fn fill(mut pixels: Pixels, color: Color) -> Pixels {
    if pixels.layout == Layout::Rgb {
        return pixels;
    }
    if color.alpha == OPAQUE {
        return narrow(pixels, |pixel| {
            let [red, green, blue, _] = over(pixel, color);
            [red, green, blue]
        });
    }
    for pixel in pixels.data.as_chunks_mut::<4>().0 {
        *pixel = over(*pixel, color);
    }
    pixels
}

/// Centres the picture on a canvas of `color`, which must not be smaller than it.
pub(crate) fn pad(pixels: Pixels, canvas: Size, color: Color, scratch: &mut Scratch) -> Pixels {
    if (canvas.width, canvas.height) == (pixels.width, pixels.height) {
        return pixels;
    }
    let pixels = if color.alpha < OPAQUE { add_alpha(pixels, scratch) } else { pixels };
    let channels = pixels.layout.channels();
    let (stride, row) = (canvas.width as usize * channels, pixels.width as usize * channels);
    let mut data = scratch.take(stride * canvas.height as usize);
    for pixel in data.chunks_exact_mut(channels) {
        pixel.copy_from_slice(&color.channels()[..channels]);
    }
    let left = (canvas.width.saturating_sub(pixels.width) / 2) as usize * channels;
    let top = (canvas.height.saturating_sub(pixels.height) / 2) as usize;
    for (to, from) in data.chunks_exact_mut(stride).skip(top).zip(pixels.data.chunks_exact(row)) {
        to[left..left + row].copy_from_slice(from);
    }
    scratch.give(pixels.data);
    Pixels { width: canvas.width, height: canvas.height, layout: pixels.layout, data }
}

fn add_alpha(pixels: Pixels, scratch: &mut Scratch) -> Pixels {
    if pixels.layout == Layout::Rgba {
        return pixels;
    }
    let mut data = scratch.take(pixels.data.len() / 3 * 4);
    for (to, &[red, green, blue]) in
        data.as_chunks_mut::<4>().0.iter_mut().zip(pixels.data.as_chunks::<3>().0)
    {
        *to = [red, green, blue, OPAQUE];
    }
    scratch.give(pixels.data);
    Pixels { layout: Layout::Rgba, data, ..pixels }
}

/// Four channels to three within the same buffer: the target never overtakes the source.
fn narrow(mut pixels: Pixels, convert: impl Fn([u8; 4]) -> [u8; 3]) -> Pixels {
    if pixels.layout == Layout::Rgb {
        return pixels;
    }
    let count = pixels.data.len() / 4;
    for i in 0..count {
        let mut pixel = [0; 4];
        pixel.copy_from_slice(&pixels.data[i * 4..i * 4 + 4]);
        pixels.data[i * 3..i * 3 + 3].copy_from_slice(&convert(pixel));
    }
    pixels.data.truncate(count * 3);
    Pixels { layout: Layout::Rgb, ..pixels }
}

/// Porter and Duff's `over` on straight alpha.
fn over(front: [u8; 4], behind: Color) -> [u8; 4] {
    let alpha = u32::from(front[3]);
    if alpha == u32::from(OPAQUE) {
        return front;
    }
    // Both shares are in units of 1/255 of 1/255.
    let front_share = alpha * 255;
    let behind_share = u32::from(behind.alpha) * (255 - alpha);
    let total = front_share + behind_share;
    if total == 0 {
        return [0; 4];
    }
    let mix = |front: u8, behind: u8| {
        ((u32::from(front) * front_share + u32::from(behind) * behind_share + total / 2) / total) as u8
    };
    [
        mix(front[0], behind.red),
        mix(front[1], behind.green),
        mix(front[2], behind.blue),
        ((total + 127) / 255) as u8,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgba(pixels: &[[u8; 4]]) -> Pixels {
        Pixels { width: pixels.len() as u32, height: 1, layout: Layout::Rgba, data: pixels.concat() }
    }

    #[test]
    fn fills_transparency_with_an_opaque_colour() {
        let red = Color { red: 255, green: 0, blue: 0, alpha: 255 };
        let filled = fill(rgba(&[[1, 2, 3, 255], [9, 9, 9, 0], [0, 0, 255, 128]]), red);
        assert_eq!(filled.layout, Layout::Rgb);
        assert_eq!(filled.data, [1, 2, 3, 255, 0, 0, 127, 0, 128]);
    }

    #[test]
    fn a_translucent_colour_leaves_alpha() {
        let half = Color { red: 255, green: 0, blue: 0, alpha: 128 };
        let filled = fill(rgba(&[[1, 2, 3, 255], [9, 9, 9, 0], [0, 0, 255, 128]]), half);
        assert_eq!(filled.data, [1, 2, 3, 255, 255, 0, 0, 128, 85, 0, 170, 192]);
        assert_eq!(half.over(Color::WHITE), Color { red: 255, green: 127, blue: 127, alpha: 255 });
        assert_eq!(fill(rgba(&[[7, 7, 7, 0]]), Color::CLEAR).data, [0, 0, 0, 0]);
    }

    #[test]
    fn pads_around_the_centre() {
        let pixels = Pixels { width: 1, height: 1, layout: Layout::Rgb, data: vec![1, 2, 3] };
        let padded = pad(pixels.clone(), Size { width: 3, height: 2 }, Color::WHITE, &mut Scratch::default());
        assert_eq!(padded.data[..9], [255, 255, 255, 1, 2, 3, 255, 255, 255]);
        assert_eq!(padded.data[9..], [255; 9]);
        let clear = pad(pixels.clone(), Size { width: 1, height: 3 }, Color::CLEAR, &mut Scratch::default());
        assert_eq!((clear.layout, clear.data), (Layout::Rgba, vec![0, 0, 0, 0, 1, 2, 3, 255, 0, 0, 0, 0]));
        let same = pad(pixels.clone(), Size { width: 1, height: 1 }, Color::CLEAR, &mut Scratch::default());
        assert_eq!(same, pixels, "no padding, no alpha");
    }

    #[test]
    fn knows_needless_alpha() {
        assert!(is_opaque(&rgba(&[[0, 0, 0, 255]; 300])));
        let mut pixels = rgba(&[[0, 0, 0, 255]; 300]);
        pixels.data[299 * 4 + 3] = 254;
        assert!(!is_opaque(&pixels));
        assert_eq!(drop_alpha(rgba(&[[1, 2, 3, 255], [4, 5, 6, 7]])).data, [1, 2, 3, 4, 5, 6]);
    }
}
