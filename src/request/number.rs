//! Numbers in the text of options, without floating point: equal numbers become equal values.

use std::fmt::Write;

/// The largest whole number that an option yields; larger ones become it. Two of them still add up
/// within a `u32`.
pub(super) const MAX_WHOLE: u32 = i32::MAX as u32;

/// A whole number: digits only.
pub(super) fn whole(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digit = |sum: u32, b: u8| sum.saturating_mul(10).saturating_add(u32::from(b - b'0')).min(MAX_WHOLE);
    Some(text.bytes().fold(0, digit))
}

/// A decimal number times ten to the power of `places`, rounded half up: `0.5`, `.5` and `0.50`
/// with four places are all 5000.
pub(super) fn scaled(text: &str, places: usize) -> Option<u32> {
    let (integer, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(("", fraction)) => ("0", fraction),
        Some(parts) => parts,
        None => (text, "0"),
    };
    whole(fraction)?;
    let digit = |place: usize| u32::from(fraction.as_bytes().get(place).map_or(0, |b| b - b'0'));
    let shifted =
        (0..places).fold(whole(integer)?, |sum, place| sum.saturating_mul(10).saturating_add(digit(place)));
    Some(shifted.saturating_add(u32::from(digit(places) >= 5)).min(MAX_WHOLE))
}

/// Writes the shortest decimal that [`scaled`] reads as this.
pub(super) fn write_scaled(out: &mut String, value: u32, places: u32) {
    let unit = 10_u32.pow(places);
    let width = places as usize;
    let _ = write!(out, "{}.{:0width$}", value / unit, value % unit);
    out.truncate(out.trim_end_matches('0').trim_end_matches('.').len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_digits_and_never_overflow() {
        assert_eq!(whole("0300"), Some(300));
        assert_eq!(whole(&"9".repeat(5000)), Some(MAX_WHOLE));
        for bad in ["", "-1", "+1", "1.0", " 1", "1e3", "\u{661}"] {
            assert_eq!(whole(bad), None, "{bad:?} is no whole number");
        }
    }

    #[test]
    fn decimals_are_exact() {
        for (text, value) in
            [("0.5", 5000), (".5", 5000), ("0.50000", 5000), ("1", 10_000), ("0.12345", 1235)]
        {
            assert_eq!(scaled(text, 4), Some(value), "{text}");
        }
        for bad in ["", ".", "1.", "1.2.3", "-1", "1,5", "0.x", "NaN", "1e1", "0.+5"] {
            assert_eq!(scaled(bad, 4), None, "{bad:?} is no decimal number");
        }
        assert_eq!(scaled("99999999999.9", 4), Some(MAX_WHOLE));
    }

    #[test]
    fn a_written_decimal_reads_back() {
        for value in 0..=10_000 {
            let mut text = String::new();
            write_scaled(&mut text, value, 4);
            assert_eq!(scaled(&text, 4), Some(value), "{text}");
            assert!(
                !text.ends_with('.') && (text.len() == 1 || !text.ends_with('0')),
                "{text} is the shortest"
            );
        }
    }
}
