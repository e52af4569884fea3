//! The signed text of a target, and the signing parameters in its query. Nothing is decoded here.

use std::fmt;

use crate::signature::error::Flaw;

/// The parameter that carries the signature; it is the last one.
pub(super) const SIGNATURE: &str = "signature";
/// The parameter that names the second until which a signature holds.
pub(super) const EXPIRY: &str = "expiry";
/// The parameter that names the key.
pub(super) const ACCESS_ID: &str = "accessId";

/// The text that a signature is of, in pieces of the target as sent: from `media/` or the asset id
/// on, without the signature. An alias route is signed as the route that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignedText<'a>([&'a str; 5]);

impl<'a> SignedText<'a> {
    /// `query` is the signed part of it. `None` if there is nothing to sign in a path.
    pub(super) fn of(path: &'a str, query: Option<&'a str>) -> Option<Self> {
        let [a, b, c] = if path.starts_with("/media/") { [&path[1..], "", ""] } else { asset(path)? };
        Some(Self([a, b, c, query.map_or("", |_| "?"), query.unwrap_or_default()]))
    }

    /// This very text.
    pub(super) fn verbatim(text: &'a str) -> Self {
        Self([text, "", "", "", ""])
    }

    /// The text, piece by piece.
    pub(super) fn pieces(&self) -> &[&'a str] {
        &self.0
    }
}

impl fmt::Display for SignedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| f.write_str(piece))
    }
}

fn asset(path: &str) -> Option<[&str; 3]> {
    let (route, rest) = path.strip_prefix("/api/v1/")?.split_once('/')?;
    let (id, behind) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if id.len() != 32 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    match (route, behind) {
        ("assets", _) => Some([rest, "", ""]),
        ("conversion", "") => Some([id, "/conversions", ""]),
        ("video", file) => Some([id, "/transcodes", file]),
        ("storyboard", file) => Some([id, "/storyboard", file]),
        _ => None,
    }
}

/// A query that carries a signature, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignedQuery<'a> {
    /// All before the signature; `None` if the signature is all there is.
    pub(super) signed: Option<&'a str>,
    pub(super) access_id: Option<&'a str>,
    pub(super) expiry: Option<&'a str>,
    pub(super) signature: &'a str,
}

impl<'a> SignedQuery<'a> {
    /// Takes a query apart; `None` if there is no signature in it.
    pub(super) fn read(query: Option<&'a str>) -> Result<Option<Self>, Flaw> {
        let Some(query) = query else { return Ok(None) };
        let (signed, last) = match query.rsplit_once('&') {
            Some((signed, last)) => (Some(signed), last),
            None => (None, query),
        };
        let others = || signed.unwrap_or_default().split('&').map(named);
        let (name, signature) = named(last);
        match (name == SIGNATURE, others().any(|(name, _)| name == SIGNATURE)) {
            (false, false) => return Ok(None),
            (false, true) => return Err(Flaw::NotLast),
            (true, true) => return Err(Flaw::Repeated(SIGNATURE)),
            (true, false) => {}
        }
        let once = |wanted: &'static str| {
            let mut values = others().filter(|(name, _)| *name == wanted).map(|(_, value)| value);
            let first = values.next();
            values.next().map_or(Ok(first), |_| Err(Flaw::Repeated(wanted)))
        };
        Ok(Some(Self { signed, access_id: once(ACCESS_ID)?, expiry: once(EXPIRY)?, signature }))
    }
}

/// Name and value of a parameter.
pub(super) fn named(parameter: &str) -> (&str, &str) {
    parameter.split_once('=').unwrap_or((parameter, ""))
}

/// Unix seconds: digits only, so that each second has few spellings and none a sign.
pub(super) fn seconds(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_text_begins_at_media_or_the_asset() {
        const ID: &str = "ffeeddccbbaa99887766554433221100";
        let text = |path: &str, query| SignedText::of(path, query).map(|text| text.to_string());
        let cases = [
            ("/media/a%20b.jpg".to_owned(), "media/a%20b.jpg?x".to_owned()),
            (format!("/api/v1/assets/{ID}/conversions"), format!("{ID}/conversions?x")),
            (format!("/api/v1/assets/{ID}"), format!("{ID}?x")),
            (format!("/api/v1/conversion/{ID}"), format!("{ID}/conversions?x")),
            (format!("/api/v1/video/{ID}/480p-video.mp4"), format!("{ID}/transcodes/480p-video.mp4?x")),
            (format!("/api/v1/storyboard/{ID}/s.vtt"), format!("{ID}/storyboard/s.vtt?x")),
        ];
        for (path, expected) in cases {
            assert_eq!(text(&path, Some("x")), Some(expected), "{path}");
        }
        assert_eq!(text("/media/a", None).as_deref(), Some("media/a"));
        for other in ["/", "", "/media", "media/a", "/api/v1/assets/short/x", "/api/v1/conversion/", "/x"] {
            assert_eq!(text(other, None), None, "{other:?} has no signed text");
        }
        assert_eq!(
            text(&format!("/api/v1/assets/{}/x", ID.to_uppercase()), None),
            None,
            "ids are lower-case"
        );
    }

    #[test]
    fn the_signature_is_the_last_parameter_and_the_only_one() {
        let read = |query| SignedQuery::read(Some(query));
        assert_eq!(SignedQuery::read(None), Ok(None));
        assert_eq!(read("expiry=1&accessId=A"), Ok(None), "no signature, no claim");
        assert_eq!(read("signatures=1&Signature=2"), Ok(None), "other names");
        let all = SignedQuery {
            signed: Some("a&expiry=1&accessId=A"),
            access_id: Some("A"),
            expiry: Some("1"),
            signature: "S",
        };
        assert_eq!(read("a&expiry=1&accessId=A&signature=S"), Ok(Some(all)));
        let bare = SignedQuery { signed: None, access_id: None, expiry: None, signature: "S" };
        assert_eq!(read("signature=S"), Ok(Some(bare)));
        for behind in ["signature=S&x=1", "signature=S&", "a=1&signature=S&&", "signature&x"] {
            assert_eq!(read(behind), Err(Flaw::NotLast), "{behind}");
        }
        assert_eq!(read("signature=S&signature=S"), Err(Flaw::Repeated("signature")));
        assert_eq!(read("expiry=1&expiry=1&signature=S"), Err(Flaw::Repeated("expiry")));
        assert_eq!(read("accessId=1&accessId=1&signature=S"), Err(Flaw::Repeated("accessId")));
    }

    #[test]
    fn seconds_are_digits() {
        assert_eq!(seconds("2000000000"), Some(2_000_000_000));
        for bad in ["", "+1", "-1", "1.0", "1e9", " 1", "99999999999999999999", "%31"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }
}
