//! Signing of URLs: what the server verifies, made by the same rules.

use percent_encoding::AsciiSet;
use percent_encoding::CONTROLS;
use percent_encoding::utf8_percent_encode;

use crate::request::split_target;
use crate::signature::encoding::hmac_sha256;
use crate::signature::encoding::padded;
use crate::signature::error::SignError;
use crate::signature::key_ring::SigningKey;
use crate::signature::text::ACCESS_ID;
use crate::signature::text::EXPIRY;
use crate::signature::text::SIGNATURE;
use crate::signature::text::SignedText;
use crate::signature::text::named;

/// What browsers encode in a path before they send it (WHATWG URL): signing anything else would sign
/// a text that never arrives.
pub(super) const PATH_ENCODED: &AsciiSet =
    &QUERY_ENCODED.add(b'`').add(b'{').add(b'}').add(b'^').remove(b'\'');

/// What browsers encode in a query.
const QUERY_ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\'');

/// The signed form of a path and query such as `/media/a.jpg?resize=300,`, good up to and including
/// the second `expiry`. What a URL cannot hold as it is gets percent-encoded; `%` stays as it is.
///
/// ```
/// use kinora::setting::Secret;
/// use kinora::signature::{SigningKey, sign};
///
/// let key = SigningKey { access_id: "ID".into(), secret: Secret::new("secret"), sha1: false };
/// let signed = sign("/media/cat.jpg?resize=300,", 2_000_000_000, &key)?;
/// assert!(signed.starts_with("/media/cat.jpg?resize=300,&expiry=2000000000&accessId=ID&signature="));
/// # Ok::<(), kinora::signature::SignError>(())
/// ```
///
/// # Errors
/// [`SignError`], but for its `Kinds` and `Prefix`.
pub fn sign(path_and_query: &str, expiry: u64, key: &SigningKey) -> Result<String, SignError> {
    check_access_id(&key.access_id)?;
    let target = split_target(path_and_query);
    if target.token.is_some() {
        return Err(SignError::Path);
    }
    let path = utf8_percent_encode(target.path, PATH_ENCODED).to_string();
    let mut query = utf8_percent_encode(target.query.unwrap_or_default(), QUERY_ENCODED).to_string();
    for name in query.split('&').map(|parameter| named(parameter).0) {
        if let Some(own) = [EXPIRY, ACCESS_ID, SIGNATURE].into_iter().find(|own| *own == name) {
            return Err(SignError::Already(own));
        }
    }
    let separator = if query.is_empty() { "" } else { "&" };
    query.push_str(&format!("{separator}{EXPIRY}={expiry}&{ACCESS_ID}={}", key.access_id));
    let text = SignedText::of(&path, Some(&query)).ok_or(SignError::Path)?;
    let signature = padded(hmac_sha256(key.secret.expose().as_bytes(), text.pieces()));
    Ok(format!("{path}?{query}&{SIGNATURE}={signature}"))
}

/// An access id stands in queries and path tokens as it is.
pub(super) fn check_access_id(access_id: &str) -> Result<(), SignError> {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if access_id.is_empty() || !access_id.bytes().all(is_fine) { Err(SignError::AccessId) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Secret;
    use crate::signature::Kinds;
    use crate::signature::sign_token;

    fn key(access_id: &str) -> SigningKey {
        SigningKey { access_id: access_id.into(), secret: Secret::new("s"), sha1: false }
    }

    #[test]
    fn what_cannot_be_signed_is_told() {
        for path in ["", "media/a", "/", "/other/a", "/~T/media/a"] {
            assert_eq!(sign(path, 1, &key("A")), Err(SignError::Path), "{path:?}");
        }
        for name in ["expiry", "accessId", "signature"] {
            let already = sign(&format!("/media/a?x&{name}=1"), 1, &key("A"));
            assert_eq!(already, Err(SignError::Already(name)));
        }
        for access_id in ["", "a b", "a&b", "a/b", "ä"] {
            assert_eq!(sign("/media/a", 1, &key(access_id)), Err(SignError::AccessId), "{access_id:?}");
        }
        let kinds: Kinds = "i".parse().expect("kinds");
        for prefix in ["", "/", "//", "/media//a", "/media/../a", "/media/a?x"] {
            assert_eq!(sign_token(prefix, kinds, 1, &key("A")), Err(SignError::Prefix), "{prefix:?}");
        }
        for kinds in ["", "x", "ii", "I", "i p"] {
            assert_eq!(kinds.parse::<Kinds>(), Err(SignError::Kinds), "{kinds:?}");
        }
    }

    #[test]
    fn what_browsers_encode_is_encoded_before_it_is_signed() {
        let signed = sign("/media/a b\u{e4}'.jpg?filename=it's \"x\"", 1, &key("A")).expect("signed");
        assert!(
            signed.starts_with("/media/a%20b%C3%A4'.jpg?filename=it%27s%20%22x%22&expiry=1&accessId=A&"),
            "{signed}"
        );
        let as_it_is = sign("/media/a%20b.jpg?", 1, &key("A")).expect("signed");
        assert!(as_it_is.starts_with("/media/a%20b.jpg?expiry=1&"), "{as_it_is}");
    }
}
