//! Readers: the decoded value of one option, checked and typed.

use crate::request::FormatOption;
use crate::request::Version;
use crate::request::draft::Draft;
use crate::request::number::scaled;
use crate::request::number::whole;
use crate::request::options::Refusal;
use crate::transform::Box2;
use crate::transform::Color;
use crate::transform::Fit;
use crate::transform::Flip;
use crate::transform::Format;
use crate::transform::Gravity;
use crate::transform::PerMyriad;
use crate::transform::Quality;
use crate::transform::Region;
use crate::transform::Rotation;
use crate::transform::Size;
use crate::transform::Tolerance;

/// The tolerance that `trim=1`, which only means "on", stands for.
const DEFAULT_TOLERANCE: u8 = 10;
/// The whole of a share.
const WHOLE: u16 = 10_000;

pub(super) fn region(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    let parts: Vec<&str> = value.splitn(5, ',').collect();
    let [x, y, width, height] = parts[..] else {
        return Err(Refusal::Invalid);
    };
    let region = match height.strip_suffix('p') {
        None => pixel_region([x, y, width, height]),
        Some(height) => match (x.strip_suffix('p'), y.strip_suffix('p'), width.strip_suffix('p')) {
            (Some(x), Some(y), Some(width)) => share_region([x, y, width, height]),
            (None, None, None) => share_region([x, y, width, height]),
            _ => None,
        },
    };
    let region = region.ok_or(Refusal::Invalid)?;
    let everything = Region::Shares {
        x: PerMyriad(0),
        y: PerMyriad(0),
        width: PerMyriad(WHOLE),
        height: PerMyriad(WHOLE),
    };
    draft.region = (region != everything).then_some(region);
    Ok(())
}

fn pixel_region([x, y, width, height]: [&str; 4]) -> Option<Region> {
    Some(Region::Pixels { x: whole(x)?, y: whole(y)?, width: side(width)?, height: side(height)? })
}

/// What reaches over the edge is cut off here, so that equal regions are equal values.
fn share_region([x, y, width, height]: [&str; 4]) -> Option<Region> {
    let share = |text| scaled(text, 2).and_then(|n| u16::try_from(n).ok()).filter(|n| *n <= WHOLE);
    let (x, y) = (share(x)?, share(y)?);
    let (width, height) = (share(width)?.min(WHOLE - x), share(height)?.min(WHOLE - y));
    let region = Region::Shares {
        x: PerMyriad(x),
        y: PerMyriad(y),
        width: PerMyriad(width),
        height: PerMyriad(height),
    };
    (width > 0 && height > 0).then_some(region)
}

pub(super) fn trim(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    let tolerance = match whole(value).and_then(|n| u8::try_from(n).ok()) {
        None | Some(0) => return Err(Refusal::Invalid),
        Some(1) => DEFAULT_TOLERANCE,
        Some(tolerance) => tolerance,
    };
    draft.trim = Some(Tolerance(tolerance));
    Ok(())
}

pub(super) fn rotate(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    draft.rotate = match value {
        "0" => Rotation::None,
        "90" => Rotation::Quarter,
        "180" => Rotation::Half,
        "270" => Rotation::ThreeQuarters,
        _ => return Err(Refusal::Invalid),
    };
    Ok(())
}

pub(super) fn flip(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    let (horizontal, vertical) = match value {
        "h" => (true, false),
        "v" => (false, true),
        "hv" => (true, true),
        _ => return Err(Refusal::Invalid),
    };
    draft.flip = Flip { horizontal, vertical };
    Ok(())
}

pub(super) fn crop(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    let parts: Vec<&str> = value.splitn(5, ',').collect();
    let (width, height, gravity) = match parts[..] {
        [width, height] => (width, height, Gravity::Center),
        [width, height, mode] => (width, height, named_gravity(mode)?),
        [width, height, x, y] => (width, height, focal_gravity(x, y).ok_or(Refusal::Invalid)?),
        _ => return Err(Refusal::Invalid),
    };
    draft.crop = Some((size(width, height).ok_or(Refusal::Invalid)?, gravity));
    Ok(())
}

fn named_gravity(mode: &str) -> Result<Gravity, Refusal> {
    Ok(match mode {
        "center" => Gravity::Center,
        "top" => Gravity::Top,
        "bottom" => Gravity::Bottom,
        "left" => Gravity::Left,
        "right" => Gravity::Right,
        "top-left" => Gravity::TopLeft,
        "top-right" => Gravity::TopRight,
        "bottom-left" => Gravity::BottomLeft,
        "bottom-right" => Gravity::BottomRight,
        "face" | "auto" => return Err(Refusal::NotOffered),
        _ => return Err(Refusal::Invalid),
    })
}

/// A focal point in the middle or on an edge has a name, so that it is the same value as by name.
fn focal_gravity(x: &str, y: &str) -> Option<Gravity> {
    const MIDDLE: u16 = WHOLE / 2;
    let share = |text| scaled(text, 4).and_then(|n| u16::try_from(n).ok()).filter(|n| *n <= WHOLE);
    Some(match (share(x)?, share(y)?) {
        (MIDDLE, MIDDLE) => Gravity::Center,
        (MIDDLE, 0) => Gravity::Top,
        (MIDDLE, WHOLE) => Gravity::Bottom,
        (0, MIDDLE) => Gravity::Left,
        (WHOLE, MIDDLE) => Gravity::Right,
        (0, 0) => Gravity::TopLeft,
        (WHOLE, 0) => Gravity::TopRight,
        (0, WHOLE) => Gravity::BottomLeft,
        (WHOLE, WHOLE) => Gravity::BottomRight,
        (x, y) => Gravity::Focal { x: PerMyriad(x), y: PerMyriad(y) },
    })
}

pub(super) fn resize(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    let size = match value.split_once(',').ok_or(Refusal::Invalid)? {
        (width, "") => side(width).map(Box2::Width),
        ("", height) => side(height).map(Box2::Height),
        (width, height) => size(width, height).map(Box2::Both),
    };
    draft.resize = Some(size.ok_or(Refusal::Invalid)?);
    Ok(())
}

pub(super) fn fit(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    draft.fit = match value {
        "inside" => Fit::Inside,
        "outside" => Fit::Outside,
        "cover" => Fit::Cover,
        "contain" => Fit::Contain,
        "fill" => Fit::Fill,
        _ => return Err(Refusal::Invalid),
    };
    Ok(())
}

pub(super) fn dpr(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    let is_short = value.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 2);
    let hundredths = scaled(value, 2).filter(|n| is_short && (100..=400).contains(n));
    draft.dpr = hundredths.ok_or(Refusal::Invalid)?;
    Ok(())
}

pub(super) fn background(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    draft.background = Some(color(value).ok_or(Refusal::Invalid)?);
    Ok(())
}

fn color(value: &str) -> Option<Color> {
    let digits: Vec<u8> = value.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let pair = |high: usize| digits[high] << 4 | digits[high + 1];
    let (red, green, blue, alpha) = match digits.len() {
        3 => (digits[0] * 17, digits[1] * 17, digits[2] * 17, 255),
        6 => (pair(0), pair(2), pair(4), 255),
        8 => (pair(0), pair(2), pair(4), pair(6)),
        _ => return None,
    };
    Some(Color { red, green, blue, alpha })
}

pub(super) fn quality(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    if value == "auto" {
        return Err(Refusal::NotOffered);
    }
    let quality = whole(value).and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=100).contains(n));
    draft.quality = Quality(quality.ok_or(Refusal::Invalid)?);
    Ok(())
}

pub(super) fn format(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    draft.format = match value {
        "auto" => FormatOption::Auto,
        "jpg" | "jpeg" => FormatOption::Format(Format::Jpeg),
        "png" => FormatOption::Format(Format::Png),
        "webp" => FormatOption::Format(Format::Webp),
        "avif" => FormatOption::Format(Format::Avif),
        "gif" => FormatOption::Format(Format::Gif),
        _ => return Err(Refusal::Invalid),
    };
    Ok(())
}

pub(super) fn version(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    draft.version = Some(Version::new(value).ok_or(Refusal::Invalid)?);
    Ok(())
}

pub(super) fn delivery(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    draft.is_download = match value {
        "display" => false,
        "download" => true,
        _ => return Err(Refusal::Invalid),
    };
    Ok(())
}

pub(super) fn filename(draft: &mut Draft, value: &str) -> Result<(), Refusal> {
    if !(1..=255).contains(&value.len()) {
        return Err(Refusal::Invalid);
    }
    draft.filename = Some(value.to_owned());
    Ok(())
}

fn size(width: &str, height: &str) -> Option<Size> {
    Some(Size { width: side(width)?, height: side(height)? })
}

fn side(text: &str) -> Option<u32> {
    whole(text).filter(|pixels| *pixels > 0)
}
