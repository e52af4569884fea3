//! Base64 as signatures carry it in URLs, and the HMACs that it carries.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use percent_encoding::percent_decode_str;
use sha1::Sha1;
use sha2::Sha256;

/// Which alphabets a signature may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Base64url only.
    UrlSafe,
    /// Base64url or the standard one, even mixed.
    Either,
}

/// An HMAC-SHA256 that has read these parts.
pub(super) fn hmac_sha256(secret: &[u8], parts: &[&str]) -> Hmac<Sha256> {
    fed(secret, parts)
}

/// An HMAC-SHA1 that has read these parts.
pub(super) fn hmac_sha1(secret: &[u8], parts: &[&str]) -> Hmac<Sha1> {
    fed(secret, parts)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn fed<M: Mac + KeyInit>(secret: &[u8], parts: &[&str]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac
}

/// Unpadded base64url of a finished HMAC, for path tokens.
pub(super) fn unpadded(mac: impl Mac) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Padded base64url of a finished HMAC with its `=` percent-encoded, for queries.
pub(super) fn padded(mac: impl Mac) -> String {
    BASE64_URL_SAFE.encode(mac.finalize().into_bytes()).replace('=', "%3D")
}

/// The bytes of a signature, percent-encoded or not, padded or not.
///
/// Apart from that each signature has one spelling: stray bits at the end are refused.
pub(super) fn decode(raw: &str, alphabet: Alphabet) -> Option<Vec<u8>> {
    let text = percent_decode_str(raw).decode_utf8().ok()?;
    let bare = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(&text);
    let url_safe = match alphabet {
        Alphabet::UrlSafe => Cow::Borrowed(bare),
        Alphabet::Either => Cow::Owned(bare.replace('+', "-").replace('/', "_")),
    };
    BASE64_URL_SAFE_NO_PAD.decode(url_safe.as_bytes()).ok()
}
