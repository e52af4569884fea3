//! Printers: the canonical value of one option, or nothing where its default holds.

use std::fmt::Write;

use crate::request::Variant;
use crate::request::VariantWork;
use crate::request::number::write_scaled;
use crate::transform::Box2;
use crate::transform::Fit;
use crate::transform::Format;
use crate::transform::Geometry;
use crate::transform::Gravity;
use crate::transform::Operations;
use crate::transform::Quality;
use crate::transform::Region;
use crate::transform::Rotation;
use crate::transform::Size;
use crate::transform::Target;

fn operations(variant: &Variant) -> Option<&Operations> {
    match &variant.work {
        VariantWork::Original => None,
        VariantWork::Image { operations, .. } => Some(operations),
    }
}

/// For what is folded into other options, or bears on headers only.
pub(super) fn nothing(_: &Variant, _: &mut String) {}

pub(super) fn region(variant: &Variant, out: &mut String) {
    match operations(variant).and_then(|asked| asked.region) {
        None => {}
        Some(Region::Pixels { x, y, width, height }) => {
            let _ = write!(out, "{x},{y},{width},{height}");
        }
        Some(Region::Shares { x, y, width, height }) => {
            for (place, share) in [x, y, width, height].into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                write_scaled(out, share.0.into(), 2);
                out.push('p');
            }
        }
    }
}

pub(super) fn trim(variant: &Variant, out: &mut String) {
    if let Some(tolerance) = operations(variant).and_then(|asked| asked.trim) {
        let _ = write!(out, "{}", tolerance.0);
    }
}

pub(super) fn rotate(variant: &Variant, out: &mut String) {
    out.push_str(match operations(variant).map_or(Rotation::None, |asked| asked.rotate) {
        Rotation::None => "",
        Rotation::Quarter => "90",
        Rotation::Half => "180",
        Rotation::ThreeQuarters => "270",
    });
}

pub(super) fn flip(variant: &Variant, out: &mut String) {
    if let Some(flip) = operations(variant).map(|asked| asked.flip) {
        out.push_str(if flip.horizontal { "h" } else { "" });
        out.push_str(if flip.vertical { "v" } else { "" });
    }
}

pub(super) fn crop(variant: &Variant, out: &mut String) {
    let Some(Geometry::Crop { size: Size { width, height }, gravity }) =
        operations(variant).map(|asked| asked.geometry)
    else {
        return;
    };
    let _ = write!(out, "{width},{height}");
    let name = match gravity {
        Gravity::Center => "",
        Gravity::Top => ",top",
        Gravity::Bottom => ",bottom",
        Gravity::Left => ",left",
        Gravity::Right => ",right",
        Gravity::TopLeft => ",top-left",
        Gravity::TopRight => ",top-right",
        Gravity::BottomLeft => ",bottom-left",
        Gravity::BottomRight => ",bottom-right",
        Gravity::Focal { x, y } => {
            for share in [x, y] {
                out.push(',');
                write_scaled(out, share.0.into(), 4);
            }
            ""
        }
    };
    out.push_str(name);
}

pub(super) fn resize(variant: &Variant, out: &mut String) {
    if let Some(Geometry::Resize { size, .. }) = operations(variant).map(|asked| asked.geometry) {
        let _ = match size {
            Box2::Width(width) => write!(out, "{width},"),
            Box2::Height(height) => write!(out, ",{height}"),
            Box2::Both(Size { width, height }) => write!(out, "{width},{height}"),
        };
    }
}

pub(super) fn fit(variant: &Variant, out: &mut String) {
    if let Some(Geometry::Resize { fit, .. }) = operations(variant).map(|asked| asked.geometry) {
        out.push_str(match fit {
            Fit::Inside => "",
            Fit::Outside => "outside",
            Fit::Cover => "cover",
            Fit::Contain => "contain",
            Fit::Fill => "fill",
        });
    }
}

pub(super) fn background(variant: &Variant, out: &mut String) {
    if let Some(color) = operations(variant).and_then(|asked| asked.background) {
        let _ = write!(out, "{:02x}{:02x}{:02x}", color.red, color.green, color.blue);
        if color.alpha != 255 {
            let _ = write!(out, "{:02x}", color.alpha);
        }
    }
}

pub(super) fn quality(variant: &Variant, out: &mut String) {
    let quality = operations(variant).map(|asked| asked.quality).unwrap_or_default();
    if quality != Quality::default() {
        let _ = write!(out, "{}", quality.0);
    }
}

/// Always written for a picture: it is what tells a picture without other options from the original.
pub(super) fn format(variant: &Variant, out: &mut String) {
    if let VariantWork::Image { target, .. } = variant.work {
        out.push_str(match target {
            Target::JpegOrPng => "auto",
            Target::Format(Format::Jpeg) => "jpg",
            Target::Format(Format::Png) => "png",
            Target::Format(Format::Webp) => "webp",
            Target::Format(Format::Avif) => "avif",
            Target::Format(Format::Gif) => "gif",
        });
    }
}

pub(super) fn version(variant: &Variant, out: &mut String) {
    out.push_str(variant.version.as_ref().map_or("", |version| version.as_str()));
}
