//! One quality for all formats: which WebP and AVIF quality looks like a JPEG quality.
//!
//! How the table was made: twelve photographs (eight of the Kodak suite at 768 x 512, four of the
//! CLIC 2025 validation set scaled to 800 pixels) were encoded by the encoders of this folder, as
//! they are set up here (JPEG 4:2:0; WebP method 2; AVIF 8 bits, 4:4:4, speed 10), at 17 to 27
//! qualities each, decoded by sharp 0.35.5 and scored by SSIMULACRA2 (fast-ssim2 0.9) against the
//! uncompressed picture. A row holds the qualities at which the interpolated scores equal that of
//! JPEG, averaged over the pictures. Make it anew when an encoder or its settings change.
//!
//! | JPEG | SSIMULACRA2 | bytes, WebP to JPEG | bytes, AVIF to JPEG |
//! | --- | --- | --- | --- |
//! | 50 | 62.0 | 0.87 | 0.80 |
//! | 70 | 71.4 | 0.89 | 0.80 |
//! | 80 | 77.1 | 0.91 | 0.81 |
//! | 90 | 84.1 | 0.94 | 0.81 |
//! | 95 | 88.3 | 1.01 | 0.88 |
//!
//! At the ends the formats part: WebP at 100 reaches what JPEG reaches at 97, and below 10 JPEG is
//! worse than the worst WebP.

use crate::transform::operation::Quality;

struct Row {
    jpeg: f32,
    webp: f32,
    avif: f32,
}

const fn row(jpeg: f32, webp: f32, avif: f32) -> Row {
    Row { jpeg, webp, avif }
}

const TABLE: [Row; 14] = [
    row(1.0, 1.0, 1.0),
    row(10.0, 1.0, 10.0),
    row(20.0, 14.0, 28.0),
    row(30.0, 30.0, 42.0),
    row(40.0, 44.3, 52.6),
    row(50.0, 56.5, 61.0),
    row(60.0, 67.3, 67.8),
    row(70.0, 77.2, 77.2),
    row(75.0, 80.5, 81.5),
    row(80.0, 83.9, 83.9),
    row(85.0, 87.3, 85.8),
    row(90.0, 91.5, 89.6),
    row(95.0, 96.6, 94.3),
    row(100.0, 100.0, 98.0),
];

/// libwebp's quality for this one.
pub(super) fn webp(quality: Quality) -> f32 {
    interpolate(quality, |row| row.webp)
}

/// ravif's quality for this one.
pub(super) fn avif(quality: Quality) -> f32 {
    interpolate(quality, |row| row.avif)
}

fn interpolate(quality: Quality, column: impl Fn(&Row) -> f32) -> f32 {
    let quality = f32::from(quality.0.clamp(1, 100));
    let after = TABLE.partition_point(|row| row.jpeg < quality).min(TABLE.len() - 1);
    let (low, high) = (&TABLE[after.saturating_sub(1)], &TABLE[after]);
    let span = high.jpeg - low.jpeg;
    let share = if span > 0.0 { (quality - low.jpeg) / span } else { 0.0 };
    column(low) + (column(high) - column(low)) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_hit_and_what_lies_between_is_interpolated() {
        for (quality, expected) in [(1, 1.0), (80, 83.9), (100, 100.0), (65, 72.25), (0, 1.0), (255, 100.0)] {
            let found = webp(Quality(quality));
            assert!((found - expected).abs() < 0.01, "{quality} is {found}, not {expected}");
        }
        assert!((avif(Quality(90)) - 89.6).abs() < 0.01);
    }

    #[test]
    fn a_better_quality_is_never_worse() {
        for quality in 1..100 {
            assert!(webp(Quality(quality)) <= webp(Quality(quality + 1)), "WebP at {quality}");
            assert!(avif(Quality(quality)) < avif(Quality(quality + 1)), "AVIF at {quality}");
        }
        for quality in 1..=100 {
            assert!((1.0..=100.0).contains(&webp(Quality(quality))), "WebP at {quality}");
            assert!((1.0..=100.0).contains(&avif(Quality(quality))), "AVIF at {quality}");
        }
    }
}
