//! Whole transforms, and what each step of them costs.
//!
//! Sources are generated, so that the figures need no files: smooth gradients, edges and fine
//! noise, which costs codecs about what a photograph of that size costs. One thread, as in a slot
//! of the render pool.

use std::cell::RefCell;
use std::sync::OnceLock;

use divan::Bencher;
use kinora::transform::{
    Box2, Fit, Format, Geometry, Gravity, Limits, Operations, Output, Plan, Quality, Rotation, Scratch, Size,
    Target, Tolerance, plan, probe, run,
};

const LIMITS: Limits = Limits { max_width: 2048, max_height: 1536, max_source_pixels: 100_000_000 };

/// Rows of red, green, blue and, if asked for, alpha.
fn picture(width: usize, height: usize, has_alpha: bool) -> Vec<u8> {
    let mut noise = 0x2545_f491_u32;
    let mut data = Vec::with_capacity(width * height * 4);
    for y in 0..height {
        for x in 0..width {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
            let wave = (across * 40.0).sin() * (down * 30.0).cos() * 50.0;
            let edge = if (across * 8.0).fract() < (down * 5.0).fract() { 40.0 } else { 0.0 };
            let grain = (noise >> 27) as f32;
            let level = |base: f32| (base + wave + edge + grain).clamp(0.0, 255.0) as u8;
            data.extend([
                level(60.0 + across * 60.0),
                level(50.0 + down * 70.0),
                level(90.0 - across * 40.0),
            ]);
            if has_alpha {
                data.push(((0.6 - (across - 0.5).hypot(down - 0.5)) * 900.0).clamp(0.0, 255.0) as u8);
            }
        }
    }
    data
}

fn jpeg(width: usize, height: usize, quality: i32) -> Vec<u8> {
    let pixels = picture(width, height, false);
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width,
        pitch: width * 3,
        height,
        format: turbojpeg::PixelFormat::RGB,
    };
    turbojpeg::compress(image, quality, turbojpeg::Subsamp::Sub2x2)
        .map(|bytes| bytes.to_vec())
        .unwrap_or_default()
}

fn png(width: usize, height: usize, has_alpha: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(if has_alpha { png::ColorType::Rgba } else { png::ColorType::Rgb });
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&picture(width, height, has_alpha)));
    if written.is_err() {
        bytes.clear();
    }
    bytes
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Jpeg12,
    Jpeg2,
    Png2,
    Alpha2,
    /// Small enough that nothing but its encoding counts.
    Ready,
}

impl Source {
    fn bytes(self) -> &'static [u8] {
        static BYTES: [OnceLock<Vec<u8>>; 5] = [const { OnceLock::new() }; 5];
        BYTES[self as usize].get_or_init(|| match self {
            Self::Jpeg12 => jpeg(4000, 3000, 90),
            Self::Jpeg2 => jpeg(1920, 1080, 85),
            Self::Png2 => png(1920, 1080, false),
            Self::Alpha2 => png(1920, 1080, true),
            Self::Ready => jpeg(800, 600, 95),
        })
    }
}

fn planned(source: Source, operations: &Operations, format: Format) -> Plan {
    let planned = probe(source.bytes(), true)
        .and_then(|probe| plan(&probe, operations, Target::Format(format), &LIMITS));
    match planned {
        Ok(plan) => plan,
        Err(error) => unreachable!("a generated source is sound: {error}"),
    }
}

fn bench(bencher: Bencher<'_, '_>, source: Source, operations: &Operations, format: Format) {
    let plan = planned(source, operations, format);
    let scratch = RefCell::new(Scratch::default());
    bencher.bench_local(|| -> Option<Output> {
        run(source.bytes(), &plan, &mut scratch.borrow_mut(), &mut |_| ()).ok()
    });
}

fn inside(width: u32) -> Operations {
    let geometry = Geometry::Resize { size: Box2::Width(width), fit: Fit::Inside };
    Operations { geometry, quality: Quality(80), ..Operations::default() }
}

#[divan::bench(args = [(Source::Jpeg12, 800), (Source::Jpeg12, 200), (Source::Jpeg2, 800), (Source::Png2, 800), (Source::Alpha2, 800)])]
fn to_jpeg(bencher: Bencher<'_, '_>, (source, width): (Source, u32)) {
    bench(bencher, source, &inside(width), Format::Jpeg);
}

#[divan::bench(args = [(Source::Jpeg12, 800), (Source::Jpeg12, 200), (Source::Jpeg2, 800), (Source::Alpha2, 800)])]
fn to_webp(bencher: Bencher<'_, '_>, (source, width): (Source, u32)) {
    bench(bencher, source, &inside(width), Format::Webp);
}

#[divan::bench(args = [(Source::Jpeg12, 800), (Source::Alpha2, 800)], sample_count = 20)]
fn to_avif(bencher: Bencher<'_, '_>, (source, width): (Source, u32)) {
    bench(bencher, source, &inside(width), Format::Avif);
}

#[divan::bench(args = [(Source::Jpeg2, 800), (Source::Alpha2, 800)])]
fn to_png(bencher: Bencher<'_, '_>, (source, width): (Source, u32)) {
    bench(bencher, source, &inside(width), Format::Png);
}

#[divan::bench(args = [Format::Jpeg, Format::Png, Format::Webp, Format::Avif, Format::Gif], sample_count = 30)]
fn encode_800x600(bencher: Bencher<'_, '_>, format: Format) {
    bench(bencher, Source::Ready, &inside(800), format);
}

#[divan::bench]
fn crop_of_12_megapixels(bencher: Bencher<'_, '_>) {
    let geometry = Geometry::Crop { size: Size { width: 400, height: 400 }, gravity: Gravity::Center };
    bench(bencher, Source::Jpeg12, &Operations { geometry, ..inside(400) }, Format::Jpeg);
}

#[divan::bench]
fn turned(bencher: Bencher<'_, '_>) {
    bench(bencher, Source::Jpeg2, &Operations { rotate: Rotation::Quarter, ..inside(800) }, Format::Jpeg);
}

#[divan::bench]
fn trimmed(bencher: Bencher<'_, '_>) {
    bench(bencher, Source::Png2, &Operations { trim: Some(Tolerance(10)), ..inside(800) }, Format::Jpeg);
}

#[divan::bench]
fn planning(bencher: Bencher<'_, '_>) {
    let bytes = Source::Jpeg12.bytes();
    let operations = inside(800);
    bencher.bench_local(|| -> Option<Plan> {
        let probe = probe(bytes, true).ok()?;
        plan(&probe, &operations, Target::Format(Format::Webp), &LIMITS).ok()
    });
}
