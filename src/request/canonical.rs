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
        let unlimited = Rules { max_width: MAX_WHOLE, max_height: MAX_WHOLE };
        let request = MediaRequest::parse(&split_target(path_and_query), &unlimited)?;
        Ok(request.negotiate(FormatClass::JpegOrPng))
    }
}
