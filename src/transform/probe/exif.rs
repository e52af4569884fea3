//! The orientation in EXIF.

use crate::transform::pixels::Orientation;

/// Reads the orientation from a TIFF structure; anything that is not understood is upright.
pub(super) fn orientation(exif: &[u8]) -> Orientation {
    // Some writers keep JPEG's prefix where only the TIFF structure belongs.
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    image::metadata::Orientation::from_exif_chunk(tiff)
        .map_or_else(Orientation::default, |form| from_number(form.to_exif()))
}

/// EXIF's numbers 1..=8.
fn from_number(number: u8) -> Orientation {
    let (mirrored, quarter_turns) = match number {
        2 => (true, 0),
        3 => (false, 2),
        4 => (true, 2),
        5 => (true, 3),
        6 => (false, 1),
        7 => (true, 1),
        8 => (false, 3),
        _ => (false, 0),
    };
    Orientation { mirrored, quarter_turns }
}

/// A TIFF structure that holds only an orientation.
#[cfg(test)]
pub(in crate::transform) fn tiff(number: u16, is_big_endian: bool) -> Vec<u8> {
    let short = |v: u16| if is_big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
    let long = |v: u32| if is_big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut tiff = if is_big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    tiff.extend(short(42));
    tiff.extend(long(8));
    tiff.extend(short(1));
    tiff.extend(short(0x0112));
    tiff.extend(short(3));
    tiff.extend(long(1));
    tiff.extend(short(number));
    tiff.extend(short(0));
    tiff.extend(long(0));
    tiff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the stored upper left corner is to be seen, and where the picture's first row runs.
    /// From the EXIF specification: (row 0 is the visual .., column 0 is the visual ..).
    const SEEN: [(u16, &str, &str); 8] = [
        (1, "top", "left"),
        (2, "top", "right"),
        (3, "bottom", "right"),
        (4, "bottom", "left"),
        (5, "left", "top"),
        (6, "right", "top"),
        (7, "right", "bottom"),
        (8, "left", "bottom"),
    ];

    #[test]
    fn each_number_shows_row_and_column_where_exif_says() {
        for (number, row, column) in SEEN {
            for is_big_endian in [false, true] {
                let orientation = orientation(&tiff(number, is_big_endian));
                let side = |stored: usize| {
                    // Sides clockwise; a mirror swaps left and right before the turn.
                    let sides = ["top", "right", "bottom", "left"];
                    let mirrored =
                        if orientation.mirrored && stored % 2 == 1 { (stored + 2) % 4 } else { stored };
                    sides[(mirrored + usize::from(orientation.quarter_turns)) % 4]
                };
                assert_eq!((side(0), side(3)), (row, column), "orientation {number}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_upright() {
        for exif in [
            &b""[..],
            b"II",
            b"MM\0*\0\0\0\x08\0\x01",
            b"nonsense, and long enough to be one",
            &tiff(0, true),
            &tiff(9, false),
        ] {
            assert_eq!(orientation(exif), Orientation::default(), "{exif:?} has no valid orientation");
        }
        assert_eq!(
            orientation(&[b"Exif\0\0", &tiff(6, true)[..]].concat()).quarter_turns,
            1,
            "JPEG's prefix is skipped"
        );
    }
}
