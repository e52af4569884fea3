//! The id of an asset.

use std::fmt;
use std::str::FromStr;

/// Names an asset for as long as it lives: 16 random bytes, in text 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId([u8; 16]);

/// The text is no asset id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an asset id is 32 lower-case hex digits")]
pub struct InvalidAssetId;

impl AssetId {
    /// The id of these bytes, which whoever makes an asset draws at random.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for AssetId {
    type Err = InvalidAssetId;

    /// Upper-case digits are refused: one asset has one URL.
    fn from_str(text: &str) -> Result<Self, InvalidAssetId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(InvalidAssetId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| InvalidAssetId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_32_lower_case_hex_digits_and_nothing_else() {
        let text = "00000000000000000123456789abcdef";
        assert_eq!(text.parse::<AssetId>().map(|id| id.to_string()).as_deref(), Ok(text));
        assert_eq!(AssetId::new([0xff; 16]).to_string(), "f".repeat(32));
        for bad in
            ["", "0", "+0000000000000000123456789abcdef", &"A".repeat(32), &"g".repeat(32), &"0".repeat(33)]
        {
            assert_eq!(bad.parse::<AssetId>(), Err(InvalidAssetId), "{bad:?}");
        }
    }
}
