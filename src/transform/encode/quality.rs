//! One quality for all formats.

use crate::transform::operation::Quality;

/// JPEG quality, and the WebP and AVIF qualities that look like it.
const TABLE: [(f32, f32, f32); 3] = [(1.0, 1.0, 1.0), (80.0, 80.0, 76.0), (100.0, 100.0, 100.0)];

/// libwebp's quality for this one.
pub(super) fn webp(quality: Quality) -> f32 {
    interpolate(quality, |row| row.1)
}

/// ravif's quality for this one.
pub(super) fn avif(quality: Quality) -> f32 {
    interpolate(quality, |row| row.2)
}

fn interpolate(quality: Quality, column: impl Fn(&(f32, f32, f32)) -> f32) -> f32 {
    let quality = f32::from(quality.0.clamp(1, 100));
    let after = TABLE.iter().position(|row| row.0 >= quality).unwrap_or(TABLE.len() - 1);
    let (low, high) = (&TABLE[after.saturating_sub(1)], &TABLE[after]);
    let share = if high.0 > low.0 { (quality - low.0) / (high.0 - low.0) } else { 1.0 };
    column(low) + (column(high) - column(low)) * share
}
