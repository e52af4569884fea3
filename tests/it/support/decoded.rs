//! Pictures as they come out: decoded by other decoders than the program's own, and compared.
//!
//! JPEG is read by zune-jpeg and WebP by image-webp, which the program does not use. AV1 has one
//! decoder in Rust, so only the container and the way to RGB are other code here.

use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use image::ImageFormat;
use kinora::transform::Format;
use re_rav1d::dav1d::{Decoder, Picture as Av1, PixelLayout, PlanarImageComponent as Component, Settings};
use zune_jpeg::JpegDecoder;

/// 8-bit sRGB with straight alpha.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgba: Vec<u8>,
}

impl Picture {
    /// Decodes an answer; its metadata is not looked at, for there must be none that matters.
    pub(crate) fn decode(bytes: &[u8], format: Format) -> Self {
        match format {
            Format::Jpeg => jpeg(bytes),
            Format::Png => by_image(bytes, ImageFormat::Png),
            Format::Webp => by_image(bytes, ImageFormat::WebP),
            Format::Gif => by_image(bytes, ImageFormat::Gif),
            Format::Avif => avif(bytes),
        }
    }

    /// Red, green, blue and alpha of one pixel.
    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 4] {
        let start = (y * self.width + x) * 4;
        self.rgba[start..start + 4].try_into().expect("four bytes")
    }

    /// Mean red, green, blue and alpha of a part.
    pub(crate) fn mean(&self, (left, top): (usize, usize), (width, height): (usize, usize)) -> [f64; 4] {
        let mut sum = [0.0; 4];
        for y in top..top + height {
            for x in left..left + width {
                sum.iter_mut().zip(self.at(x, y)).for_each(|(sum, value)| *sum += f64::from(value));
            }
        }
        sum.map(|sum| sum / (width * height) as f64)
    }

    /// Whether any pixel is not opaque.
    pub(crate) fn has_transparency(&self) -> bool {
        self.rgba.chunks_exact(4).any(|pixel| pixel[3] < 255)
    }

    /// SSIMULACRA2 of `other` against this one, the worse of two backgrounds: 100 is equal, 90 not to
    /// be told apart, 70 high quality.
    pub(crate) fn similarity(&self, other: &Self) -> f64 {
        assert_eq!((self.width, self.height), (other.width, other.height), "the pictures have one size");
        let on = |back| {
            let (one, two) = (self.over(back), other.over(back));
            let slice = |pixels| {
                let (width, height) = (self.width.max(8) as u32, self.height.max(8) as u32);
                PixelSlice::new(pixels, width, height, width as usize * 3, PixelDescriptor::RGB8_SRGB)
            };
            let (one, two) = (slice(&one).expect("a slice"), slice(&two).expect("a slice"));
            compute_ssimulacra2(&one, &two).expect("comparable pictures")
        };
        if self.has_transparency() || other.has_transparency() { on(20).min(on(235)) } else { on(0) }
    }

    /// Peak signal-to-noise ratio in decibels over all four channels; infinite if equal.
    pub(crate) fn psnr(&self, other: &Self) -> f64 {
        assert_eq!((self.width, self.height), (other.width, other.height), "the pictures have one size");
        let squares: f64 = self.differences(other).map(|difference| f64::from(difference).powi(2)).sum();
        10.0 * (255.0f64.powi(2) * self.rgba.len() as f64 / squares).log10()
    }

    /// The largest difference of any sample; the colour of what nobody sees does not count.
    pub(crate) fn largest_difference(&self, other: &Self) -> u8 {
        self.differences(other).max().unwrap_or(0)
    }

    fn differences(&self, other: &Self) -> impl Iterator<Item = u8> {
        self.rgba.chunks_exact(4).zip(other.rgba.chunks_exact(4)).flat_map(|(a, b)| match (a[3], b[3]) {
            (0, 0) => [0; 4],
            _ => [0, 1, 2, 3].map(|channel| a[channel].abs_diff(b[channel])),
        })
    }

    /// RGB on a grey ground; at least 8 x 8, less than which cannot be compared.
    fn over(&self, back: u8) -> Vec<u8> {
        let mut pixels = Vec::new();
        for y in 0..self.height.max(8) {
            for x in 0..self.width.max(8) {
                let [r, g, b, alpha] = self.at(x.min(self.width - 1), y.min(self.height - 1));
                let blend = |v: u8| {
                    let alpha = u32::from(alpha);
                    ((u32::from(v) * alpha + u32::from(back) * (255 - alpha) + 127) / 255) as u8
                };
                pixels.extend([blend(r), blend(g), blend(b)]);
            }
        }
        pixels
    }
}

fn jpeg(bytes: &[u8]) -> Picture {
    let mut decoder = JpegDecoder::new(std::io::Cursor::new(bytes));
    let pixels = decoder.decode().expect("a JPEG");
    let (width, height) = decoder.dimensions().expect("decoded");
    let channels = pixels.len() / (width * height);
    let rgba = pixels.chunks_exact(channels).flat_map(|p| match p {
        [v] => [*v, *v, *v, 255],
        [r, g, b] => [*r, *g, *b, 255],
        _ => panic!("{channels} channels in an answer"),
    });
    Picture { width, height, rgba: rgba.collect() }
}

fn by_image(bytes: &[u8], format: ImageFormat) -> Picture {
    let image = image::load_from_memory_with_format(bytes, format).expect("a picture").into_rgba8();
    Picture { width: image.width() as usize, height: image.height() as usize, rgba: image.into_raw() }
}

fn avif(bytes: &[u8]) -> Picture {
    let file = avif_parse::read_avif(&mut &*bytes).expect("an AVIF container");
    let color = av1(&file.primary_item);
    let alpha = file.alpha_item.as_ref().map(|item| av1(item));
    let (width, height) = (color.width() as usize, color.height() as usize);
    let mut rgba = Vec::with_capacity(width * height * 4);
    for y in 0..height {
        for x in 0..width {
            // BT.601 of the full range: what the program writes.
            let luma = sample(&color, Component::Y, x, y);
            let (u, v) = (chroma(&color, Component::U, x, y), chroma(&color, Component::V, x, y));
            let colors = [luma + 1.402 * v, luma - 0.344_136 * u - 0.714_136 * v, luma + 1.772 * u];
            rgba.extend(colors.map(|value| value.round().clamp(0.0, 255.0) as u8));
            rgba.push(alpha.as_ref().map_or(255, |alpha| sample(alpha, Component::Y, x, y).round() as u8));
        }
    }
    Picture { width, height, rgba }
}

fn av1(coded: &[u8]) -> Av1 {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    let mut decoder = Decoder::with_settings(&settings).expect("a decoder");
    decoder.send_data(coded.to_vec(), None, None, None).expect("AV1 data");
    decoder.get_picture().expect("an AV1 picture")
}

/// A sample of a plane of any depth, in 0..255.
fn sample(picture: &Av1, component: Component, x: usize, y: usize) -> f64 {
    let (plane, stride) = (picture.plane(component), picture.stride(component) as usize);
    if picture.bit_depth() == 8 {
        return f64::from(plane[y * stride + x]);
    }
    let start = y * stride + x * 2;
    let value = u16::from_le_bytes([plane[start], plane[start + 1]]);
    f64::from(value) * 255.0 / f64::from((1u16 << picture.bit_depth()) - 1)
}

/// Chroma around zero, of whatever sampling.
fn chroma(picture: &Av1, component: Component, x: usize, y: usize) -> f64 {
    let (x, y) = match picture.pixel_layout() {
        PixelLayout::I400 => return 0.0,
        PixelLayout::I420 => (x / 2, y / 2),
        PixelLayout::I422 => (x / 2, y),
        PixelLayout::I444 => (x, y),
    };
    sample(picture, component, x, y) - 128.0
}
