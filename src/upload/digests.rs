//! The checksums of a file, which can stop in the middle and go on in another process.

use md5::Md5;
use md5::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};

/// MD5, because clients expect it, and SHA-256, because it can be trusted.
#[derive(Clone, Default)]
pub(super) struct Digests {
    md5: Md5,
    sha256: Sha256,
}

impl Digests {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sha256.update(bytes);
    }

    /// MD5 and SHA-256 in hex.
    pub(super) fn finish(self) -> (String, String) {
        (hex(&self.md5.finalize()), hex(&self.sha256.finalize()))
    }

    /// How far they are, as text.
    pub(super) fn save(&self) -> String {
        format!("{}.{}", hex(&self.md5.serialize()), hex(&self.sha256.serialize()))
    }

    /// Reads what [`Digests::save`] wrote.
    pub(super) fn load(text: &str) -> Option<Self> {
        let (md5, sha256) = text.split_once('.')?;
        let md5 = Md5::deserialize(unhex(md5)?.as_slice().try_into().ok()?).ok()?;
        let sha256 = Sha256::deserialize(unhex(sha256)?.as_slice().try_into().ok()?).ok()?;
        Some(Self { md5, sha256 })
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    digits.map(|digits| {
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_where_it_stopped() {
        let text = b"The quick brown fox jumps over the lazy dog".repeat(9);
        let mut whole = Digests::default();
        whole.update(&text);
        let whole = whole.finish();
        for cut in [0, 1, 63, 64, 65, 200, text.len()] {
            let mut digests = Digests::default();
            digests.update(&text[..cut]);
            let mut digests = Digests::load(&digests.save()).expect("read");
            digests.update(&text[cut..]);
            assert_eq!(digests.finish(), whole, "{cut}");
        }
        let empty = (
            "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
        );
        assert_eq!(Digests::default().finish(), empty);
        for bad in ["", ".", "00.00", "zz", &whole.0] {
            assert!(Digests::load(bad).is_none(), "{bad:?}");
        }
    }
}
