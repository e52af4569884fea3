//! What the options of a request mean together, and the one path that a variant is written as.
//!
//! Everything that two URLs of the same meaning may differ in ends here: sizes are multiplied and
//! clamped, what has no effect vanishes, and each turn and mirroring has one spelling.

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use crate::headers::FormatClass;
use crate::request::Delivery;
use crate::request::MediaRequest;
use crate::request::Rules;
use crate::request::Variant;
use crate::request::Version;
use crate::request::Work;
use crate::request::draft::Draft;
use crate::request::error::Error;
use crate::request::number::MAX_WHOLE;
use crate::request::options::TABLE;
use crate::request::route::split_target;
use crate::transform::Box2;
use crate::transform::Fit;
use crate::transform::Flip;
use crate::transform::Geometry;
use crate::transform::Operations;
use crate::transform::Rotation;
use crate::transform::Size;

/// Everything but the unreserved characters of RFC 3986 and the slash.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

impl Draft {
    /// What was asked, all options taken together.
    pub(super) fn resolve(self, rules: &Rules) -> Result<(Option<Version>, Work, Delivery), Error> {
        let geometry = self.geometry(rules)?;
        let (rotate, flip) = turn(self.rotate, self.flip);
        let work = if self.is_image {
            let operations = Operations {
                region: self.region,
                trim: self.trim,
                rotate,
                flip,
                geometry,
                background: self.background,
                quality: self.quality,
            };
            Work::Image { operations, format: self.format }
        } else {
            Work::Original
        };
        let delivery =
            if self.is_download { Delivery::Download { filename: self.filename } } else { Delivery::Display };
        Ok((self.version, work, delivery))
    }

    fn geometry(&self, rules: &Rules) -> Result<Geometry, Error> {
        let limits =
            Size { width: rules.max_width.clamp(1, MAX_WHOLE), height: rules.max_height.clamp(1, MAX_WHOLE) };
        match (self.resize, self.crop) {
            (Some(_), Some(_)) => Err(Error::ConflictingOptions { first: "resize", second: "crop" }),
            (Some(size), None) => Ok(resize(size, self.fit, self.dpr, limits)),
            (None, Some((size, gravity))) => {
                Ok(Geometry::Crop { size: crop(size, self.dpr, limits), gravity })
            }
            (None, None) => Ok(Geometry::Limits),
        }
    }
}

/// Clamps each side by itself. For a box that only bounds, a side at its limit says nothing that the
/// limits do not say, so it is left open.
fn resize(size: Box2, fit: Fit, dpr: u32, limits: Size) -> Geometry {
    let width = |pixels| multiplied(pixels, dpr).min(limits.width);
    let height = |pixels| multiplied(pixels, dpr).min(limits.height);
    let size = match size {
        Box2::Width(pixels) => Box2::Width(width(pixels)),
        Box2::Height(pixels) => Box2::Height(height(pixels)),
        Box2::Both(size) => Box2::Both(Size { width: width(size.width), height: height(size.height) }),
    };
    let (width, height) = match size {
        Box2::Both(_) if fit != Fit::Inside => return Geometry::Resize { size, fit },
        Box2::Both(size) => (Some(size.width), Some(size.height)),
        Box2::Width(width) => (Some(width), None),
        Box2::Height(height) => (None, Some(height)),
    };
    let size = match (width.filter(|w| *w < limits.width), height.filter(|h| *h < limits.height)) {
        (None, None) => return Geometry::Limits,
        (Some(width), None) => Box2::Width(width),
        (None, Some(height)) => Box2::Height(height),
        (Some(width), Some(height)) => Box2::Both(Size { width, height }),
    };
    Geometry::Resize { size, fit: Fit::Inside }
}

fn multiplied(pixels: u32, dpr: u32) -> u32 {
    let rounded = (u64::from(pixels) * u64::from(dpr) + 50) / 100;
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

/// The exact size asked for, made smaller with its aspect kept until it is within the limits.
fn crop(size: Size, dpr: u32, limits: Size) -> Size {
    // Hundredths of a pixel, so that rounding happens once, at the end.
    let asked = [size.width, size.height].map(|pixels| u128::from(pixels) * u128::from(dpr));
    let most = [limits.width, limits.height].map(|pixels| u128::from(pixels) * 100);
    let (numerator, denominator) = if asked[0] <= most[0] && asked[1] <= most[1] {
        (1, 1)
    } else if most[0] * asked[1] <= most[1] * asked[0] {
        (most[0], asked[0])
    } else {
        (most[1], asked[1])
    };
    let side = |hundredths: u128, limit: u32| {
        let rounded = (2 * hundredths * numerator + 100 * denominator) / (200 * denominator);
        u32::try_from(rounded).unwrap_or(u32::MAX).clamp(1, limit)
    };
    Size { width: side(asked[0], limits.width), height: side(asked[1], limits.height) }
}

/// One spelling for each of the eight ways to turn and mirror: as little turning as can be.
fn turn(rotate: Rotation, flip: Flip) -> (Rotation, Flip) {
    let opposite = match rotate {
        Rotation::None => Rotation::Half,
        Rotation::Quarter => Rotation::ThreeQuarters,
        Rotation::Half => Rotation::None,
        Rotation::ThreeQuarters => Rotation::Quarter,
    };
    let is_far = matches!(rotate, Rotation::Half | Rotation::ThreeQuarters);
    match (flip.horizontal, flip.vertical) {
        (false, false) => (rotate, flip),
        // Mirroring both ways is half a turn.
        (true, true) => (opposite, Flip::default()),
        // Half a turn and one mirroring are the other mirroring.
        (horizontal, vertical) if is_far => (opposite, Flip { horizontal: !horizontal, vertical: !vertical }),
        _ => (rotate, flip),
    }
}

impl Variant {
    /// The one path and query of this variant. Different variants have different paths.
    pub fn to_path(&self) -> String {
        let mut path = String::from("/media/");
        path.extend(utf8_percent_encode(self.key.as_str(), ENCODED));
        let mut separator = '?';
        for row in &TABLE {
            let before = path.len();
            path.push(separator);
            path.push_str(row.name);
            path.push('=');
            let empty = path.len();
            (row.print)(self, &mut path);
            if path.len() == empty {
                path.truncate(before);
            } else {
                separator = '&';
            }
        }
        path
    }

    /// Reads a path of [`Variant::to_path`]. The limits are already applied in it, so none are here.
    ///
    /// # Errors
    /// As [`MediaRequest::parse`].
    pub fn parse(path_and_query: &str) -> Result<Self, Error> {
        let unlimited = Rules::within(MAX_WHOLE, MAX_WHOLE);
        let request = MediaRequest::parse(&split_target(path_and_query), &unlimited)?;
        let object = request.source.object().ok_or(Error::NoRoute)?;
        Ok(request.negotiate(object, FormatClass::JpegOrPng))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::FormatOption;
    use crate::request::VariantWork;
    use crate::transform::Format;
    use crate::transform::Gravity;
    use crate::transform::PerMyriad;

    const RULES: Rules = Rules::within(2048, 1536);

    fn read(query: &str) -> Result<MediaRequest, Error> {
        MediaRequest::parse(&split_target(&format!("/media/a.jpg?{query}")), &RULES)
    }

    /// The variant of a request that names its object.
    fn variant(request: &MediaRequest, class: FormatClass) -> Variant {
        request.negotiate(request.source.object().expect("an object"), class)
    }

    /// The canonical query for a client without AVIF and WebP.
    fn canonical(query: &str) -> String {
        let request = read(query).expect(query);
        let path = variant(&request, FormatClass::JpegOrPng).to_path();
        path.trim_start_matches("/media/a.jpg").trim_start_matches('?').to_owned()
    }

    #[test]
    fn without_an_image_option_it_is_the_original() {
        for query in [
            "",
            "&",
            "v=1",
            "delivery=download&filename=x",
            "utm_source=x",
            "expiry=1&accessId=A&signature=S",
        ] {
            assert_eq!(read(query).map(|request| request.work), Ok(Work::Original), "{query:?}");
        }
        for query in ["format=auto", "quality=90", "dpr=1", "fit=cover", "rotate=0", "region=0p,0p,100p,100p"]
        {
            assert_eq!(canonical(query), "format=auto", "{query}: an image option asks for a picture");
        }
    }

    #[test]
    fn equal_meaning_is_one_canonical_form() {
        let cases: [(&[&str], &str); 21] = [
            (
                &["resize=800,600", "resize=0800,600", "resize=400,300&dpr=2", "resize=800%2C600&fit=inside"],
                "resize=800,600",
            ),
            (
                &["resize=300,&fit=cover", "resize=300,&fit=fill", "resize=200,&dpr=1.5", "resize=300,9999"],
                "resize=300,",
            ),
            (&["resize=,300&fit=contain", "resize=2048,300", "resize=999999999999999999,300"], "resize=,300"),
            (&["resize=5000,5000", "resize=2048,", "resize=,1536", "resize=1024,768&dpr=2", "fit=fill"], ""),
            (&["resize=5000,600&fit=fill", "fit=fill&resize=2048,600"], "resize=2048,600&fit=fill"),
            (&["resize=101,1&dpr=1.25", "resize=126,1"], "resize=126,1"),
            (
                &[
                    "crop=400,300",
                    "crop=400,300,center",
                    "crop=400,300,0.5,.50",
                    "crop=200,150&dpr=2",
                    "crop=400,300&fit=fill",
                ],
                "crop=400,300",
            ),
            (&["crop=4096,1536", "crop=4096,1536,center", "crop=2048,768"], "crop=2048,768"),
            (&["crop=3000,3000,top", "crop=1536,1536,0.5,0"], "crop=1536,1536,top"),
            (&["crop=99999999999,1", "crop=2048,1"], "crop=2048,1"),
            (&["crop=9,9,0.1,0.25", "crop=9,9,.10000,0.2500"], "crop=9,9,0.1,0.25"),
            (&["crop=9,9,1,1", "crop=9,9,bottom-right"], "crop=9,9,bottom-right"),
            (&["trim=1", "trim=10"], "trim=10"),
            (&["rotate=180", "flip=hv", "rotate=0&flip=hv"], "rotate=180"),
            (&["flip=v", "rotate=180&flip=h"], "flip=v"),
            (&["rotate=90&flip=v", "flip=h&rotate=270"], "rotate=90&flip=v"),
            (&["rotate=180&flip=hv", "rotate=0"], ""),
            (&["bgcolor=F00", "bgcolor=ff0000", "bgcolor=FF0000fF"], "bgcolor=ff0000"),
            (&["bgcolor=ff000080"], "bgcolor=ff000080"),
            (&["region=10p,20p,95p,30.25p", "region=10,20,90,30.250p"], "region=10p,20p,90p,30.25p"),
            (&["region=1,2,3,4", "region=01,2,3,4"], "region=1,2,3,4"),
        ];
        for (queries, expected) in cases {
            let expected =
                [expected, "format=auto"].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
            for query in queries {
                assert_eq!(canonical(query), expected.join("&"), "{query}");
            }
        }
        assert_eq!(canonical("format=jpeg&quality=80&v=a1"), "quality=80&format=jpg&v=a1");
        assert_eq!(canonical("v=a1&delivery=download"), "v=a1", "an original of a version");
    }

    #[test]
    fn types_say_what_was_asked() {
        let request = read("crop=10,20,0.25,1&format=webp&delivery=download&filename=caf%C3%A9+1.jpg")
            .expect("a request");
        let Work::Image { operations, format } = &request.work else {
            unreachable!("a picture was asked for")
        };
        let gravity = Gravity::Focal { x: PerMyriad(2500), y: PerMyriad(10_000) };
        assert_eq!(operations.geometry, Geometry::Crop { size: Size { width: 10, height: 20 }, gravity });
        assert_eq!(*format, FormatOption::Format(Format::Webp));
        assert_eq!(request.delivery, Delivery::Download { filename: Some("caf\u{e9} 1.jpg".to_owned()) });
        assert!(!request.is_negotiated() && read("dpr=1").expect("a request").is_negotiated());
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        let bad = "
            resize= resize resize=0,1 resize=1 resize=, resize=a,b resize=1,2,3 resize=-1,2
            resize=1.5,2 resize=%FF,1 crop=1 crop=1, crop=,1 crop=0,1 crop=1,1,middle crop=1,1,0.5
            crop=1,1,2,0 crop=1,1,0,-1 crop=1,1,1,1,1 fit= fit=Cover region=1,2,3 region=1,2,0,4
            region=1p,2,3,4 region=100p,0p,1p,1p region=0p,0p,101p,1p trim=0 trim=256 trim=on
            rotate=45 rotate=-90 flip=vh flip= bgcolor=%23fff bgcolor=ff bgcolor=gggggg bgcolor=1234
            quality=0 quality=101 quality=abc quality=8%200 format=bmp format=JPG dpr=0.5 dpr=4.01
            dpr=1.001 dpr= v= v=a/b delivery=inline filename=
        ";
        for query in bad.split_whitespace() {
            let option = query.split('=').next().unwrap_or_default();
            let error = read(query);
            assert!(
                matches!(&error, Err(Error::BadOption { option: named, allowed, .. }) if *named == option && !allowed.is_empty()),
                "{query}: {error:?}"
            );
        }
        let long = read(&format!("format=%00%0A%22{}", "x".repeat(100)));
        let value = format!("??\"{}...", "x".repeat(37));
        assert!(matches!(&long, Err(Error::BadOption { value: shown, .. }) if *shown == value), "{long:?}");
    }

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        assert_eq!(read("format=png&format=png"), Err(Error::RepeatedOption { option: "format" }));
        assert_eq!(read("v=1&v=2"), Err(Error::RepeatedOption { option: "v" }));
        assert!(read("utm=1&utm=2").is_ok(), "what is unknown may be repeated");
        let both = Err(Error::ConflictingOptions { first: "resize", second: "crop" });
        assert_eq!(read("crop=1,1&resize=1,1"), both);
        for later in
            ["blur=5", "t=3", "watermark=logo", "quality=auto", "crop=1,1,face", "crop=1,1,auto", "grayscale"]
        {
            let error = read(later);
            assert!(
                matches!(error, Err(Error::UnsupportedOption { .. })),
                "{later} is never silently ignored: {error:?}"
            );
        }
        assert!(read("Resize=x&w=5&h=5&%66ormat=bmp").is_ok(), "other names are unknown, and so ignored");
    }

    #[test]
    fn long_queries_are_refused_unread() {
        let limit = "x".repeat(8 * 1024);
        assert!(read(&limit).is_ok());
        assert_eq!(read(&format!("{limit}x")), Err(Error::QueryTooLong { bytes: 8193, limit: 8192 }));
        assert!(matches!(read(&"a=1&".repeat(25_000)), Err(Error::QueryTooLong { .. })), "100 kB");
        assert!(read(&"a&".repeat(64)).is_ok());
        assert_eq!(read(&"a&".repeat(65)), Err(Error::TooManyParameters { limit: 64 }));
    }

    #[test]
    fn a_key_is_percent_encoded_again() {
        let target = split_target("/media/a%2Fb%20c/%C3%A4%3F%25+&;.jpg");
        let request = MediaRequest::parse(&target, &RULES).expect("a request");
        let variant = variant(&request, FormatClass::Avif);
        assert_eq!(variant.to_path(), "/media/a/b%20c/%C3%A4%3F%25%2B%26%3B.jpg");
        assert_eq!(Variant::parse(&variant.to_path()), Ok(variant));
    }

    fn side() -> impl Strategy<Value = u32> {
        prop_oneof![1..100_u32, 1500..2100_u32, 1..=u32::MAX]
    }

    fn dimension() -> impl Strategy<Value = Vec<String>> {
        let mode = prop::sample::select(vec![
            "",
            ",top",
            ",center",
            ",bottom-left",
            ",0.5,0.5",
            ",0.3333,1",
            ",.123456,0",
        ]);
        prop_oneof![
            Just(vec![]),
            (side(), side(), mode).prop_map(|(w, h, mode)| vec![format!("crop={w},{h}{mode}")]),
            (side(), side()).prop_map(|(w, h)| vec![format!("resize={w},{h}")]),
            side().prop_map(|w| vec![format!("resize={w},")]),
            side().prop_map(|h| vec![format!("resize=,{h}")]),
        ]
    }

    fn share(least: u32) -> impl Strategy<Value = String> {
        (least..100_u32, 0..100_u32).prop_map(|(whole, part)| format!("{whole}.{part:02}1p"))
    }

    fn region() -> impl Strategy<Value = String> {
        prop_oneof![
            (any::<u32>(), any::<u32>(), side(), side())
                .prop_map(|(x, y, w, h)| format!("region={x},{y},{w},{h}")),
            (share(0), share(0), share(1), share(1))
                .prop_map(|(x, y, w, h)| format!("region={x},{y},{w},{h}")),
            Just("region=0,0,100,100p".to_owned()),
        ]
    }

    fn picked(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::sample::select(texts).prop_map(str::to_owned)
    }

    /// Options that belong together, in any order.
    fn parameters() -> impl Strategy<Value = Vec<String>> {
        let single = [
            region().boxed(),
            (1..256_u32).prop_map(|n| format!("trim={n}")).boxed(),
            picked(&["rotate=0", "rotate=90", "rotate=180", "rotate=270"]).boxed(),
            picked(&["flip=h", "flip=v", "flip=hv"]).boxed(),
            picked(&["fit=inside", "fit=outside", "fit=cover", "fit=contain", "fit=fill"]).boxed(),
            (100..=400_u32).prop_map(|n| format!("dpr={}.{:02}", n / 100, n % 100)).boxed(),
            "bgcolor=([0-9a-fA-F]{3}|[0-9a-f]{6}|[0-9A-F]{8})".boxed(),
            (1..=100_u32).prop_map(|n| format!("quality={n}")).boxed(),
            picked(&[
                "format=auto",
                "format=jpg",
                "format=jpeg",
                "format=png",
                "format=webp",
                "format=avif",
                "format=gif",
            ])
            .boxed(),
            "v=[A-Za-z0-9._-]{1,8}".boxed(),
        ];
        let optional = single.map(|strategy| prop::option::of(strategy).boxed()).to_vec();
        (dimension(), optional)
            .prop_map(|(mut all, others)| {
                all.extend(others.into_iter().flatten());
                all
            })
            .prop_shuffle()
    }

    fn class() -> impl Strategy<Value = FormatClass> {
        prop::sample::select(vec![FormatClass::Avif, FormatClass::Webp, FormatClass::JpegOrPng])
    }

    fn respelled(parameter: &str) -> String {
        let (name, value) = parameter.split_once('=').expect("a value");
        let encoded: String = value.bytes().map(|b| format!("%{b:02x}")).collect();
        format!("{name}={encoded}")
    }

    proptest! {
        #[test]
        fn parse_and_to_path_are_inverse(key in "[a-zäß %?&+]{1,8}(/[.a-z#~'=]{1,3}x){0,2}", all in parameters(), class in class()) {
            let key: String = utf8_percent_encode(&key, ENCODED).collect();
            let target = format!("/media/{key}?{}", all.join("&"));
            let request = MediaRequest::parse(&split_target(&target), &RULES).expect("a request");
            let variant = variant(&request, class);
            let path = variant.to_path();
            prop_assert_eq!(Variant::parse(&path), Ok(variant.clone()), "{}", path);
            prop_assert_eq!(Variant::parse(&path).expect("canonical").to_path(), path);
            if let VariantWork::Image { operations, .. } = variant.work {
                prop_assert!(is_within_limits(&operations.geometry), "{:?}", operations.geometry);
            }
        }

        #[test]
        fn order_spelling_and_noise_do_not_matter(all in parameters(), seed in any::<u64>(), class in class()) {
            let mut other: Vec<String> = all.iter().map(|parameter| respelled(parameter)).collect();
            let turn = usize::try_from(seed % 7).expect("small").min(other.len());
            other.rotate_left(turn);
            other.reverse();
            other.push(format!("utm_{seed}=x"));
            let (one, two) = (read(&all.join("&")), read(&other.join("&&")));
            prop_assert_eq!(&one, &two);
            let path = |request: Result<MediaRequest, Error>| variant(&request.expect("a request"), class).to_path();
            prop_assert_eq!(path(one), path(two));
        }

        #[test]
        fn different_variants_print_differently(a in parameters(), b in parameters()) {
            let of = |all: &[String]| variant(&read(&all.join("&")).expect("a request"), FormatClass::Avif);
            let (a, b) = (of(&a), of(&b));
            prop_assert_eq!(a == b, a.to_path() == b.to_path());
        }

        #[test]
        fn random_targets_do_no_harm(target in "(/media/)?\\PC{0,60}\\?\\PC{0,60}") {
            let _ = MediaRequest::parse(&split_target(&target), &RULES);
        }

        #[test]
        fn random_values_do_no_harm(row in 0..TABLE.len(), value in "[-0-9a-z.,%+]{0,20}") {
            if let Ok(request) = read(&format!("{}={value}", TABLE[row].name)) {
                let variant = variant(&request, FormatClass::Webp);
                prop_assert_eq!(Variant::parse(&variant.to_path()), Ok(variant));
            }
        }
    }

    fn is_within_limits(geometry: &Geometry) -> bool {
        let is_within = |width, height| {
            (1..=RULES.max_width).contains(&width) && (1..=RULES.max_height).contains(&height)
        };
        match *geometry {
            Geometry::Limits => true,
            Geometry::Resize { size: Box2::Both(size), .. } | Geometry::Crop { size, .. } => {
                is_within(size.width, size.height)
            }
            Geometry::Resize { size: Box2::Width(width), .. } => is_within(width, 1),
            Geometry::Resize { size: Box2::Height(height), .. } => is_within(1, height),
        }
    }
}
