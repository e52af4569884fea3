//! Small pictures with something in them, and what a picture says of itself.

#![allow(dead_code, reason = "each subject uses some of it")]

use kinora::transform::{Probe, probe};

/// A JPEG with gradients and an edge.
pub(crate) fn jpeg(width: usize, height: usize) -> Vec<u8> {
    let pixels = pixels(width, height, 3);
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width,
        pitch: width * 3,
        height,
        format: turbojpeg::PixelFormat::RGB,
    };
    turbojpeg::compress(image, 85, turbojpeg::Subsamp::Sub2x2).expect("a JPEG").to_vec()
}

/// A PNG whose left half is transparent.
pub(crate) fn png(width: usize, height: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels(width, height, 4)).expect("pixels");
    writer.finish().expect("an end");
    bytes
}

/// What the bytes of a whole picture are.
pub(crate) fn read(bytes: &[u8]) -> Probe {
    probe(bytes, true).expect("a picture")
}

fn pixels(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(width * height * channels);
    for y in 0..height {
        for x in 0..width {
            let edge = if (x / 8 + y / 8) % 2 == 0 { 40 } else { 0 };
            let rgba = [
                (x * 200 / width) as u8 + edge,
                (y * 200 / height) as u8,
                ((x + y) * 200 / (width + height)) as u8,
                if x * 2 < width { 0 } else { 255 },
            ];
            pixels.extend_from_slice(&rgba[..channels]);
        }
    }
    pixels
}
