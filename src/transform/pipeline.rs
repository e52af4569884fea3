//! Runs a plan: source bytes in, bytes of the result out.

use crate::transform::background::{fill, pad};
use crate::transform::decode::decode;
use crate::transform::encode::encode;
use crate::transform::error::Error;
use crate::transform::operation::Format;
use crate::transform::orient::turn;
use crate::transform::pixels::{Pixels, Scratch};
use crate::transform::plan::Plan;
use crate::transform::resize::{Work, factor, resize};
use crate::transform::trim;

/// A step whose end can be observed, for `Server-Timing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Bytes to pixels, colour included.
    Decode,
    /// All work on pixels.
    Resize,
    /// Pixels to bytes.
    Encode,
}

/// A picture, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The encoded picture.
    pub bytes: Vec<u8>,
    /// What it is.
    pub format: Format,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Does what the plan says with the source that the plan was made for. `on_step` is called as each
/// step ends.
///
/// # Errors
/// What the decoder says about the source, or [`Error::Encode`].
pub fn run(
    source: &[u8],
    plan: &Plan,
    scratch: &mut Scratch,
    on_step: &mut dyn FnMut(Step),
) -> Result<Output, Error> {
    let pixels = decode(source, &plan.probe, plan.shrink, scratch)?;
    check_size(&pixels, plan)?;
    on_step(Step::Decode);
    let pixels = shape(pixels, plan, scratch)?;
    on_step(Step::Resize);
    let (width, height) = (pixels.width, pixels.height);
    let bytes = encode(pixels, plan.format(), plan.quality, scratch)?;
    on_step(Step::Encode);
    Ok(Output { bytes, format: plan.format(), width, height })
}

/// All work on pixels, in its fixed order as far as it can be seen: the turn comes late because it
/// is cheap on the small result, and the cut has been computed with that in mind.
fn shape(pixels: Pixels, plan: &Plan, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let trimmed = plan.trim.and_then(|tolerance| trim::find(&pixels, plan.area, plan.corner, tolerance));
    let area = trimmed.unwrap_or(plan.area);
    let (framing, cut) = plan.frame(area);
    let work = Work { area, cut, size: plan.turn.inverse().size(framing.picture) };
    let mut pixels = resize(pixels, plan.shrink, &work, scratch)?;
    pixels = turn(pixels, plan.turn, scratch);
    if let Some(color) = plan.matte {
        pixels = fill(pixels, color);
    }
    Ok(pad(pixels, framing.canvas, plan.padding, scratch))
}

/// The plan's numbers hold only for the picture that the header promised.
fn check_size(pixels: &Pixels, plan: &Plan) -> Result<(), Error> {
    let factor = factor(plan.shrink);
    let promised = (plan.probe.width.div_ceil(factor), plan.probe.height.div_ceil(factor));
    let len = promised.0 as usize * promised.1 as usize * pixels.layout.channels();
    if (pixels.width, pixels.height) == promised && pixels.data.len() == len {
        return Ok(());
    }
    Err(Error::Corrupt { format: "picture", reason: "the decoded size differs from the header".to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::operation::{
        Box2, Color, Fit, Flip, Geometry, Gravity, Operations, PerMyriad, Quality, Region, Rotation, Size,
        Target, Tolerance,
    };
    use crate::transform::pixels::{Layout, Orientation};
    use crate::transform::plan::{Limits, plan};
    use crate::transform::probe::{Probe, SourceFormat};

    const LIMITS: Limits = Limits { max_width: 2048, max_height: 1536, max_source_pixels: 50_000_000 };
    const RED: [u8; 4] = [255, 0, 0, 255];
    const GREEN: [u8; 4] = [0, 255, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const WHITE: [u8; 4] = [255; 4];
    const CLEAR: [u8; 4] = [0; 4];

    /// A PNG of these pixels, and what a probe would say about it.
    fn source(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> (Vec<u8>, Probe) {
        let pixels: Vec<[u8; 4]> =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
        let has_alpha = pixels.iter().any(|pixel| pixel[3] < 255);
        let layout = if has_alpha { Layout::Rgba } else { Layout::Rgb };
        let data = pixels.iter().flat_map(|pixel| &pixel[..layout.channels()]).copied().collect();
        let pixels = Pixels { width, height, layout, data };
        let bytes = encode(pixels, Format::Png, Quality(80), &mut Scratch::default()).unwrap();
        let probe = Probe {
            format: SourceFormat::Png,
            width,
            height,
            orientation: Orientation::default(),
            has_alpha,
            is_progressive: false,
            components: layout.channels() as u8,
            bits: 8,
        };
        (bytes, probe)
    }

    /// Red, green, blue and white quarters, in reading order.
    fn quadrants(width: u32, height: u32) -> (Vec<u8>, Probe) {
        source(width, height, |x, y| match (x < width / 2, y < height / 2) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        })
    }

    fn output(source: &(Vec<u8>, Probe), operations: &Operations, format: Format) -> Output {
        let plan = plan(&source.1, operations, Target::Format(format), &LIMITS).unwrap();
        let mut steps = Vec::new();
        let output = run(&source.0, &plan, &mut Scratch::default(), &mut |step| steps.push(step)).unwrap();
        assert_eq!(steps, [Step::Decode, Step::Resize, Step::Encode]);
        if operations.trim.is_none() {
            assert_eq!(Size { width: output.width, height: output.height }, plan.size(), "{operations:?}");
        }
        output
    }

    fn seen(source: &(Vec<u8>, Probe), operations: &Operations) -> image::DynamicImage {
        image::load_from_memory(&output(source, operations, Format::Png).bytes).unwrap()
    }

    fn resize(width: u32, height: u32, fit: Fit) -> Operations {
        let size = Box2::Both(Size { width, height });
        Operations { geometry: Geometry::Resize { size, fit }, ..Operations::default() }
    }

    fn corners(picture: &image::DynamicImage) -> [[u8; 4]; 4] {
        let picture = picture.to_rgba8();
        let (right, bottom) = (picture.width() - 2, picture.height() - 2);
        [(1, 1), (right, 1), (1, bottom), (right, bottom)].map(|(x, y)| picture.get_pixel(x, y).0)
    }

    fn mirrored([a, b, c, d]: [[u8; 4]; 4]) -> [[u8; 4]; 4] {
        [b, a, d, c]
    }

    fn turned([a, b, c, d]: [[u8; 4]; 4], quarters: u8) -> [[u8; 4]; 4] {
        (0..quarters).fold([a, b, c, d], |[a, b, c, d], _| [c, a, d, b])
    }

    #[test]
    fn corners_are_right_for_every_orientation_turn_and_mirroring() {
        let rotations = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];
        for form in 0..8_u8 {
            let mut source = quadrants(40, 24);
            source.1.orientation = Orientation { mirrored: form >= 4, quarter_turns: form % 4 };
            for (quarters, rotate) in (0..).zip(rotations) {
                for (horizontal, vertical) in [(false, false), (true, false), (false, true), (true, true)] {
                    let flip = Flip { horizontal, vertical };
                    let mut expected = [RED, GREEN, BLUE, WHITE];
                    if form >= 4 {
                        expected = mirrored(expected);
                    }
                    expected = turned(expected, form % 4 + quarters);
                    if horizontal {
                        expected = mirrored(expected);
                    }
                    if vertical {
                        let [a, b, c, d] = expected;
                        expected = [c, d, a, b];
                    }
                    for geometry in [Geometry::Limits, resize(20, 20, Fit::Inside).geometry] {
                        let operations = Operations { rotate, flip, geometry, ..Operations::default() };
                        let picture = seen(&source, &operations);
                        assert_eq!(corners(&picture), expected, "{form} {operations:?}");
                        let is_upright = (form + quarters) % 2 == 1;
                        assert_eq!(picture.height() > picture.width(), is_upright, "{form} {operations:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_region_is_that_of_the_picture_as_seen() {
        let mut source = quadrants(40, 24);
        source.1.orientation = Orientation { mirrored: false, quarter_turns: 1 };
        // As seen: 24 x 40, blue and red above, white and green below.
        let region = Some(Region::Pixels { x: 12, y: 0, width: 12, height: 20 });
        for geometry in [Geometry::Limits, resize(5, 5, Fit::Inside).geometry] {
            let picture = seen(&source, &Operations { region, geometry, ..Operations::default() }).to_rgba8();
            assert!(picture.pixels().all(|pixel| pixel.0 == RED), "nothing of the neighbours may show");
        }
    }

    #[test]
    fn gravity_is_that_of_the_picture_as_seen() {
        let mut source = quadrants(40, 24);
        source.1.orientation = Orientation { mirrored: true, quarter_turns: 3 };
        // As seen, mirrored and turned by three quarters: red, blue above; green, white below.
        let cut = |gravity| {
            let geometry = Geometry::Crop { size: Size { width: 24, height: 12 }, gravity };
            corners(&seen(&source, &Operations { geometry, ..Operations::default() }))
        };
        assert_eq!(cut(Gravity::Top), [RED, BLUE, RED, BLUE]);
        assert_eq!(cut(Gravity::BottomRight), [GREEN, WHITE, GREEN, WHITE]);
        let focal = Gravity::Focal { x: PerMyriad(5000), y: PerMyriad(5000) };
        assert_eq!(cut(focal), [RED, BLUE, GREEN, WHITE]);
    }

    #[test]
    fn a_white_disc_on_nothing_gets_no_dark_fringe() {
        let disc = source(300, 300, |x, y| {
            let (x, y) = (f64::from(x) - 150.0, f64::from(y) - 150.0);
            if x.hypot(y) < 120.0 { WHITE } else { CLEAR }
        });
        let picture = seen(&disc, &resize(37, 37, Fit::Inside)).to_rgba8();
        assert_eq!(picture.get_pixel(0, 0).0[3], 0, "the corner stays clear");
        assert!(picture.pixels().any(|pixel| (1..255).contains(&pixel.0[3])), "the edge is soft");
        for pixel in picture.pixels().filter(|pixel| pixel.0[3] > 0) {
            assert!(pixel.0[..3].iter().all(|&channel| channel >= 254), "{pixel:?}");
        }
        let background = Some(Color { red: 0, green: 0, blue: 255, alpha: 255 });
        let picture = seen(&disc, &Operations { background, ..resize(37, 37, Fit::Inside) });
        assert_eq!(picture.color(), image::ColorType::Rgb8, "nothing is transparent any more");
        assert_eq!(corners(&picture)[0], BLUE);
        assert_eq!(picture.to_rgba8().get_pixel(18, 18).0, WHITE);
    }

    #[test]
    fn transparency_becomes_white_in_a_jpeg_unless_told_otherwise() {
        let clear = source(16, 16, |_, _| CLEAR);
        let jpeg = |operations| {
            let bytes = output(&clear, &operations, Format::Jpeg).bytes;
            turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB).unwrap().pixels[..3].to_vec()
        };
        assert_eq!(jpeg(Operations::default()), [255, 255, 255]);
        let background = Some(Color { red: 0, green: 0, blue: 0, alpha: 255 });
        assert_eq!(jpeg(Operations { background, ..Operations::default() }), [0, 0, 0]);
        let background = Some(Color { red: 0, green: 0, blue: 0, alpha: 128 });
        assert_eq!(jpeg(Operations { background, ..Operations::default() }), [127, 127, 127], "over white");
    }

    #[test]
    fn contain_pads_and_never_enlarges() {
        let red = source(20, 10, |_, _| RED);
        let at = |picture: &image::DynamicImage, x, y| picture.to_rgba8().get_pixel(x, y).0;
        let small = seen(&red, &resize(10, 10, Fit::Contain));
        assert_eq!((small.width(), small.height()), (10, 10));
        assert_eq!([at(&small, 0, 0), at(&small, 5, 5), at(&small, 5, 9)], [CLEAR, RED, CLEAR]);
        let large = seen(&red, &resize(40, 30, Fit::Contain));
        assert_eq!([at(&large, 9, 15), at(&large, 10, 10), at(&large, 29, 19)], [CLEAR, RED, RED]);
        assert_eq!([at(&large, 30, 19), at(&large, 29, 20)], [CLEAR, CLEAR]);
        let background = Some(Color { red: 0, green: 0, blue: 255, alpha: 255 });
        let filled = seen(&red, &Operations { background, ..resize(10, 10, Fit::Contain) });
        assert_eq!([at(&filled, 0, 0), at(&filled, 5, 5)], [BLUE, RED]);
        let jpeg = output(&red, &resize(16, 16, Fit::Contain), Format::Jpeg).bytes;
        let pixels = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::RGB).unwrap().pixels;
        assert_eq!(pixels[..3], [255, 255, 255], "JPEG is padded with white");
    }

    #[test]
    fn trim_comes_before_the_size() {
        let framed =
            source(60, 40, |x, y| if (10..30).contains(&x) && (5..15).contains(&y) { RED } else { WHITE });
        let trim = Some(Tolerance(10));
        let picture = seen(&framed, &Operations { trim, ..Operations::default() });
        assert_eq!((picture.width(), picture.height()), (20, 10));
        assert_eq!(corners(&picture), [RED; 4]);
        let small = seen(&framed, &Operations { trim, ..resize(10, 10, Fit::Inside) }).to_rgba8();
        assert_eq!(small.dimensions(), (10, 5));
        assert!(small.pixels().all(|pixel| pixel.0 == RED), "the border does not show through the filter");
        let turned = seen(&framed, &Operations { trim, rotate: Rotation::Quarter, ..Operations::default() });
        assert_eq!((turned.width(), turned.height()), (10, 20));
        let plain = source(9, 9, |_, _| WHITE);
        let whole = seen(&plain, &Operations { trim, ..Operations::default() });
        assert_eq!((whole.width(), whole.height()), (9, 9), "one colour is left as it is");
    }

    #[test]
    fn trim_starts_from_the_corner_as_seen() {
        let half = |x, _| if x < 10 { RED } else { WHITE };
        let mut source = source(30, 10, half);
        let trim = Operations { trim: Some(Tolerance(10)), ..Operations::default() };
        assert_eq!(corners(&seen(&source, &trim)), [WHITE; 4], "red is the border");
        source.1.orientation = Orientation { mirrored: true, quarter_turns: 0 };
        assert_eq!(corners(&seen(&source, &trim)), [RED; 4], "white is the border");
    }

    #[test]
    fn needless_alpha_is_dropped() {
        let mut opaque = source(8, 8, |_, _| RED);
        opaque.1.has_alpha = true;
        for operations in [Operations::default(), resize(3, 3, Fit::Inside)] {
            assert_eq!(seen(&opaque, &operations).color(), image::ColorType::Rgb8);
        }
    }

    #[test]
    fn a_shrunk_jpeg_looks_like_a_full_one() {
        let (width, height) = (803, 601);
        let data = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [x * 255 / width, y * 255 / height, (x + y) % 64 * 4]))
            .map(|channel: u32| channel as u8)
            .collect();
        let pixels = Pixels { width, height, layout: Layout::Rgb, data };
        let bytes = encode(pixels, Format::Jpeg, Quality(95), &mut Scratch::default()).unwrap();
        let mut jpeg = (bytes, Probe { format: SourceFormat::Jpeg, ..source(width, height, |_, _| RED).1 });
        for (form, side) in [(0, 190), (1, 110), (6, 70), (3, 40)] {
            jpeg.1.orientation = Orientation { mirrored: form >= 4, quarter_turns: form % 4 };
            let geometry =
                Geometry::Crop { size: Size { width: side, height: side }, gravity: Gravity::Right };
            let operations = Operations { geometry, ..Operations::default() };
            let mut plan = plan(&jpeg.1, &operations, Target::Format(Format::Png), &LIMITS).unwrap();
            assert_ne!(factor(plan.shrink), 1, "{side}");
            let decoded = |plan: &Plan| {
                let output = run(&jpeg.0, plan, &mut Scratch::default(), &mut |_| ()).unwrap();
                image::load_from_memory(&output.bytes).unwrap().into_rgb8().into_raw()
            };
            let shrunk = decoded(&plan);
            plan.shrink = crate::transform::decode::Shrink::One;
            let full = decoded(&plan);
            let sum: u32 = shrunk.iter().zip(&full).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            let mean = f64::from(sum) / full.len() as f64;
            assert!(mean < 3.0, "to {side}: off by {mean} on average");
        }
    }

    #[test]
    fn a_header_that_lies_is_corrupt() {
        let mut source = quadrants(8, 8);
        source.1.width = 9;
        let plan = plan(&source.1, &Operations::default(), Target::JpegOrPng, &LIMITS).unwrap();
        let result = run(&source.0, &plan, &mut Scratch::default(), &mut |_| ());
        assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
    }

    fn operations() -> impl Strategy<Value = Operations> {
        let share = || (0_u16..=10_000).prop_map(PerMyriad);
        let region =
            prop_oneof![
                (0_u32..30, 0_u32..30, 1_u32..60, 1_u32..60)
                    .prop_map(|(x, y, width, height)| Region::Pixels { x, y, width, height }),
                (share(), share(), share(), share()).prop_map(|(x, y, width, height)| Region::Shares {
                    x,
                    y,
                    width,
                    height
                }),
            ];
        let rotate = prop_oneof![
            Just(Rotation::None),
            Just(Rotation::Quarter),
            Just(Rotation::Half),
            Just(Rotation::ThreeQuarters)
        ];
        let flip =
            (any::<bool>(), any::<bool>()).prop_map(|(horizontal, vertical)| Flip { horizontal, vertical });
        let color = any::<[u8; 4]>().prop_map(|[red, green, blue, alpha]| Color { red, green, blue, alpha });
        let geometry = crate::transform::geometry::tests::geometries();
        (
            proptest::option::of(region),
            proptest::option::of((1_u8..=255).prop_map(Tolerance)),
            rotate,
            flip,
            geometry,
            proptest::option::of(color),
            (1_u8..=100).prop_map(Quality),
        )
            .prop_map(|(region, trim, rotate, flip, geometry, background, quality)| Operations {
                region,
                trim,
                rotate,
                flip,
                geometry,
                background,
                quality,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn nothing_panics_and_the_plan_is_right(
            operations in operations(),
            (width, height) in (1_u32..40, 1_u32..40),
            form in 0_u8..8,
            pixels in proptest::collection::vec(any::<[u8; 4]>(), 1..50),
            format in 0_usize..5,
        ) {
            let mut source = source(width, height, |x, y| pixels[((x * 7 + y * 3) as usize) % pixels.len()]);
            source.1.orientation = Orientation { mirrored: form >= 4, quarter_turns: form % 4 };
            // Padding may ask for large canvases, which would only take time here.
            let limits = Limits { max_width: 64, max_height: 48, max_source_pixels: 10_000 };
            let format = [Format::Jpeg, Format::Png, Format::Webp, Format::Avif, Format::Gif][format];
            match plan(&source.1, &operations, Target::Format(format), &limits) {
                Err(error) => prop_assert!(matches!(error, Error::RegionOutside { .. }), "{error:?}"),
                Ok(plan) => {
                    let output = run(&source.0, &plan, &mut Scratch::default(), &mut |_| ()).unwrap();
                    prop_assert_eq!(output.format, format);
                    let bound = plan.size();
                    prop_assert!(bound.width <= 64 && bound.height <= 48);
                    prop_assert!(output.width <= bound.width && output.height <= bound.height, "{output:?} {bound:?}");
                    if operations.trim.is_none() {
                        prop_assert_eq!((output.width, output.height), (bound.width, bound.height));
                    }
                }
            }
        }
    }
}
