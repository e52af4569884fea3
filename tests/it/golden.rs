//! Whole transforms against pictures that a person has looked at, found by walking
//! `fixtures/golden/`: `landscape.jpg/resize=240,&format=webp.webp` is what the request
//! `/media/landscape.jpg?resize=240,&format=webp` must be answered with.
//!
//! `make golden` writes them anew. An empty file is a new case.

use std::fs;
use std::path::{Path, PathBuf};

use kinora::headers::FormatClass;
use kinora::request::{MediaRequest, Rules, VariantWork, split_target};
use kinora::transform::{self, Format, Limits, Output, Scratch};

use crate::support::decoded::Picture;

const RULES: Rules = Rules::within(2048, 1536);
const LIMITS: Limits = Limits { max_width: 2048, max_height: 1536, max_source_pixels: 100_000_000 };

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// What a request for a picture of `fixtures/images/` gives.
fn render(object: &str, query: &str) -> Output {
    let target = format!("/media/{object}?{query}");
    let request = MediaRequest::parse(&split_target(&target), &RULES)
        .unwrap_or_else(|error| panic!("{target} must be a request: {error}"));
    let key = request.source.object().expect("an object");
    let VariantWork::Image { operations, target: format } =
        request.negotiate(key, FormatClass::JpegOrPng).work
    else {
        panic!("{target} must ask for a picture");
    };
    let source = fs::read(fixtures().join("images").join(object)).expect("a fixture");
    let done = transform::probe(&source, true).and_then(|probe| {
        let plan = transform::plan(&probe, &operations, format, &LIMITS)?;
        let output = transform::run(&source, &plan, &mut Scratch::default(), &mut |_| {})?;
        let planned = plan.size();
        assert!(
            output.width <= planned.width && output.height <= planned.height,
            "{target} must not exceed its plan of {planned:?}"
        );
        Ok(output)
    });
    done.unwrap_or_else(|error| panic!("{target} must be a picture: {error}"))
}

fn picture(object: &str, query: &str) -> Picture {
    let output = render(object, query);
    let picture = Picture::decode(&output.bytes, output.format);
    let said = (output.width as usize, output.height as usize);
    assert_eq!((picture.width, picture.height), said, "{object}?{query} must be of the size it says");
    picture
}

#[test]
fn every_golden_picture_is_still_what_its_request_gives() {
    let rewrite = std::env::var("KINORA_GOLDEN").is_ok_and(|value| value == "write");
    let mut failures = Vec::new();
    let mut count = 0;
    for folder in fs::read_dir(fixtures().join("golden")).expect("a folder of golden pictures") {
        let folder = folder.expect("an entry").path();
        let object = name(&folder);
        for file in fs::read_dir(&folder).expect("a folder for each object") {
            let file = file.expect("an entry").path();
            count += 1;
            if let Err(complaint) = check(&object, &file, rewrite) {
                failures.push(format!("{object}/{}: {complaint}", name(&file)));
            }
        }
    }
    assert!(count > 60, "only {count} golden pictures were found");
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
}

fn name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a readable name").to_owned()
}

fn check(object: &str, file: &Path, rewrite: bool) -> Result<(), String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a readable name");
    let output = render(object, stem);
    let format = match file.extension().and_then(|extension| extension.to_str()) {
        Some("jpg") => Format::Jpeg,
        Some("png") => Format::Png,
        Some("webp") => Format::Webp,
        Some("avif") => Format::Avif,
        Some("gif") => Format::Gif,
        other => return Err(format!("{other:?} is no extension of a golden picture")),
    };
    if output.format != format {
        return Err(format!("the answer is {:?}", output.format));
    }
    if rewrite {
        return fs::write(file, &output.bytes).map_err(|error| error.to_string());
    }
    let bytes = fs::read(file).expect("a golden picture");
    if bytes.is_empty() {
        return Err("is empty: `make golden` writes it".to_owned());
    }
    let expected = Picture::decode(&bytes, format);
    let actual = Picture::decode(&output.bytes, format);
    if (expected.width, expected.height) != (actual.width, actual.height) {
        return Err(format!("is {} x {}", actual.width, actual.height));
    }
    compare(&expected, &actual, format)
}

/// Lossless pictures are equal, but for what other vector instructions round otherwise; lossy ones
/// look equal.
fn compare(expected: &Picture, actual: &Picture, format: Format) -> Result<(), String> {
    if format == Format::Png {
        let difference = expected.largest_difference(actual);
        return if difference <= 1 { Ok(()) } else { Err(format!("a sample is off by {difference}")) };
    }
    let floor = match format {
        Format::Jpeg | Format::Png => 90.0,
        Format::Webp | Format::Avif => 85.0,
        // A slightly other palette is dithered to quite other pixels.
        Format::Gif => 70.0,
    };
    let similarity = expected.similarity(actual);
    if similarity >= floor { Ok(()) } else { Err(format!("SSIMULACRA2 {similarity:.1} is below {floor}")) }
}

#[test]
fn all_orientations_are_one_upright_picture() {
    let upright = picture("orientation-1.jpg", "format=png");
    assert_eq!((upright.width, upright.height), (240, 160));
    let [red, green, blue, _] = upright.mean((4, 30), (40, 30));
    assert!(red > 150.0 && green < 110.0 && blue < 130.0, "the upper left is red: {red} {green} {blue}");
    let objects = (2..=8).map(|value| format!("orientation-{value}.jpg"));
    let others = ["orientation-exif.png", "orientation-exif.webp", "orientation-irot.avif"];
    for object in objects.chain(others.map(str::to_owned)) {
        for query in ["format=png", "resize=120,&format=png", "crop=90,60,top-left&format=png"] {
            let expected = picture("orientation-1.jpg", query);
            let turned = picture(&object, query);
            assert_eq!((turned.width, turned.height), (expected.width, expected.height), "{object}?{query}");
            let psnr = expected.psnr(&turned);
            assert!(psnr > 28.0, "{object}?{query} must be the upright picture: {psnr:.1} dB");
        }
    }
}

#[test]
fn what_is_turned_by_the_url_is_turned_after_the_orientation() {
    for object in ["orientation-3.jpg", "orientation-6.jpg", "orientation-7.jpg"] {
        let turned = picture(object, "rotate=90&format=png");
        assert_eq!((turned.width, turned.height), (160, 240), "{object} stands on its side");
        let [red, green, ..] = turned.mean((110, 4), (30, 40));
        assert!(red > 150.0 && green < 110.0, "{object}: what was upper left is upper right");
        let flipped = picture(object, "flip=h&format=png");
        let [red, green, ..] = flipped.mean((196, 30), (40, 30));
        assert!(red > 150.0 && green < 110.0, "{object}: what was left is right");
    }
}

/// The card of the generator, row by row.
const PATCHES: [u32; 24] = [
    0x735244, 0xC29682, 0x627A9D, 0x576C43, 0x8580B1, 0x67BDAA, 0xD67E2C, 0x505BA6, 0xC15A63, 0x5E3C6C,
    0x9DBC40, 0xE0A32E, 0x383D96, 0x469449, 0xAF363C, 0xE7C71F, 0xBB5695, 0x3885A1, 0xF3F3F2, 0xC8C8C8,
    0xA0A0A0, 0x7A7A79, 0x555555, 0x343434,
];

#[test]
fn colors_of_every_space_come_out_as_srgb() {
    let sources = [
        ("colors.jpg", 3.0),
        ("colors-p3.jpg", 4.0),
        ("colors-p3.png", 2.5),
        ("colors-adobe-rgb.jpg", 4.0),
        // Twice through a table of inks in steps of 8 bits.
        ("colors-cmyk.jpg", 9.0),
    ];
    for (object, tolerance) in sources {
        for query in
            ["format=png", "resize=144,&format=png", "quality=95&format=webp", "quality=95&format=avif"]
        {
            let card = picture(object, query);
            let side = card.width / 6;
            // Lossy formats store colour at half the resolution and in other units.
            let tolerance = if query.ends_with("png") { tolerance } else { tolerance + 3.0 };
            for (index, color) in PATCHES.iter().enumerate() {
                let corner = (index % 6 * side + side / 4, index / 6 * side + side / 4);
                let mean = card.mean(corner, (side / 2, side / 2));
                for (channel, shift) in [16, 8, 0].into_iter().enumerate() {
                    let expected = f64::from(color >> shift & 255);
                    assert!(
                        (mean[channel] - expected).abs() <= tolerance,
                        "{object}?{query}: patch {index} must be {color:06X}, but is {mean:.1?}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_source_of_one_scene_shows_that_scene() {
    let scene = picture("landscape.jpg", "resize=180,&format=png");
    let sources = [
        ("progressive.jpg", 70.0),
        ("photo.webp", 60.0),
        ("photo.avif", 60.0),
        ("10-bit.avif", 55.0),
        ("p3.jpg", 65.0),
        ("cmyk.jpg", 60.0),
        ("cmyk-ycck.jpg", 65.0),
        ("16-bit.png", 70.0),
        ("interlaced.png", 70.0),
    ];
    for (object, floor) in sources {
        let other = picture(object, "resize=180,120&fit=fill&format=png");
        let similarity = scene.similarity(&other);
        assert!(similarity > floor, "{object} must look like the landscape: SSIMULACRA2 {similarity:.1}");
    }
}

#[test]
fn alpha_keeps_its_shape_and_edges_do_not_darken() {
    for object in ["alpha.png", "alpha.avif"] {
        for query in ["resize=60,&format=png", "resize=60,&format=webp", "resize=60,&format=avif"] {
            let ball = picture(object, query);
            let label = format!("{object}?{query}");
            assert!(ball.at(0, 0)[3] < 8, "{label}: corners are clear");
            assert!(ball.at(30, 30)[3] > 250, "{label}: the middle is opaque");
            // The glow around the ball is FFB347 at any alpha. Black in it would come from mixing
            // with the black of clear pixels.
            let [red, green, blue, alpha] = ball.at(30, 8);
            assert!((40..250).contains(&alpha), "{label}: the glow is half clear, but is {alpha}");
            assert!(
                red > 225 && green.abs_diff(179) < 25 && blue < 115,
                "{label}: glow {red} {green} {blue}"
            );
        }
    }
}

#[test]
fn transparency_meets_a_background() {
    let corner = |query: &str| picture("logo.png", query).at(2, 2);
    assert!(corner("resize=200,&format=jpg")[..3].iter().all(|v| *v > 240), "JPEG is on white");
    let [red, green, blue, alpha] = corner("resize=200,&bgcolor=3366cc&format=png");
    assert_eq!(alpha, 255, "a background is opaque");
    assert!(red < 55 && green.abs_diff(0x66) < 8 && blue.abs_diff(0xCC) < 8, "{red} {green} {blue}");
    assert_eq!(
        corner("resize=200,&bgcolor=3366cc80&format=png")[3].abs_diff(0x80) / 8,
        0,
        "it may be half clear"
    );
    for object in [
        "logo.png",
        "palette.png",
        "lossless.webp",
        "grey-alpha.png",
        "grey-alpha-16-bit.png",
        "animated.gif",
        "animated.webp",
    ] {
        let output = render(object, "resize=90,");
        assert_eq!(output.format, Format::Png, "{object} has transparency");
        assert!(Picture::decode(&output.bytes, output.format).has_transparency(), "{object} keeps it");
    }
}

#[test]
fn nothing_is_enlarged_and_odd_sizes_work() {
    let size = |object, query| {
        let output = render(object, query);
        (output.width, output.height)
    };
    assert_eq!(size("1x1.png", "resize=400,300"), (1, 1));
    assert_eq!(size("1x1.png", "crop=400,300"), (1, 1));
    assert_eq!(size("1-bit.png", "resize=400,300"), (64, 64));
    assert_eq!(size("strip.png", "resize=400,"), (400, 1));
    assert_eq!(size("strip.png", "format=webp"), (2048, 2));
    assert_eq!(size("strip.png", "resize=1,1&format=avif"), (1, 1));
    assert_eq!(size("landscape.jpg", "format=jpg"), (2000, 1333));
}
