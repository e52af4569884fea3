//! Paths: which route a target belongs to, and the object that a path names.

use percent_encoding::percent_decode_str;

use crate::origin::ObjectKey;
use crate::request::AssetId;

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/media/{KEY}`.
    Media {
        /// The key as it stands in the path, percent-encoded.
        key: &'a str,
    },
    /// `/api/v1/assets/{ID}/conversions[/{NAME}]`, and the older `/api/v1/conversion/{ID}`.
    Conversion {
        /// The asset.
        asset: AssetId,
        /// The name of a preset, or of a conversion that the asset has.
        name: Option<&'a str>,
    },
    /// `/api/v1/assets/{ID}/original`.
    Original {
        /// The asset.
        asset: AssetId,
    },
}

/// A request target (origin form) taken apart, nothing decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitTarget<'a> {
    /// The path token, without the `~` in front.
    pub token: Option<&'a str>,
    /// The path behind the token, with its leading slash.
    pub path: &'a str,
    /// What follows the first `?`.
    pub query: Option<&'a str>,
}

/// Takes a request target as sent apart: `/~TOKEN/path?query`.
///
/// Only a first segment that begins with `~` and has a path behind it is a token.
pub fn split_target(raw: &str) -> SplitTarget<'_> {
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    let token = path.strip_prefix("/~").and_then(|rest| rest.find('/').map(|end| rest.split_at(end)));
    match token {
        Some((token, path)) => SplitTarget { token: Some(token), path, query },
        None => SplitTarget { token: None, path, query },
    }
}

impl<'a> Route<'a> {
    /// The route of a path (without a path token); `None` if there is none. Route words count as
    /// sent: an encoded spelling of them is no route.
    pub fn of(path: &'a str) -> Option<Self> {
        match path.strip_prefix("/media/") {
            Some(key) => Some(Self::Media { key }),
            None => Self::of_asset(path.strip_prefix("/api/v1/")?),
        }
    }

    fn of_asset(path: &'a str) -> Option<Self> {
        if let Some(asset) = path.strip_prefix("conversion/") {
            return Some(Self::Conversion { asset: asset.parse().ok()?, name: None });
        }
        let (asset, what) = path.strip_prefix("assets/")?.split_once('/')?;
        let asset = asset.parse().ok()?;
        match what.split_once('/') {
            None if what == "conversions" => Some(Self::Conversion { asset, name: None }),
            None if what == "original" => Some(Self::Original { asset }),
            Some(("conversions", name)) if is_name(name) => {
                Some(Self::Conversion { asset, name: Some(name) })
            }
            _ => None,
        }
    }
}

/// Whether a preset or a conversion can have this name: 1 to 64 of `[A-Za-z0-9_-]`.
pub(super) fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(fine)
}

/// The object that a percent-encoded path names. `+` is a plus here.
pub(super) fn object_key(encoded: &str) -> Option<ObjectKey> {
    let plain = percent_decode_str(encoded).decode_utf8().ok()?;
    ObjectKey::new(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_taken_apart_without_decoding() {
        let split = |raw| {
            let SplitTarget { token, path, query } = split_target(raw);
            (token, path, query)
        };
        assert_eq!(split("/media/a?b=c?d"), (None, "/media/a", Some("b=c?d")));
        assert_eq!(split("/media/a?"), (None, "/media/a", Some("")));
        assert_eq!(split("/~T.1.i.1.s/media/a"), (Some("T.1.i.1.s"), "/media/a", None));
        assert_eq!(split("/~T"), (None, "/~T", None), "a token opens a path, so one must follow");
        assert_eq!(split("/~T?/media/a"), (None, "/~T", Some("/media/a")), "a query is no path");
        assert_eq!(split("/media/~a/b"), (None, "/media/~a/b", None), "only the first segment");
        assert_eq!(split(""), (None, "", None));
    }

    #[test]
    fn only_media_paths_have_a_route() {
        assert_eq!(Route::of("/media/a/b"), Some(Route::Media { key: "a/b" }));
        for other in ["/", "", "media/a", "/media", "/Media/a", "/%6Dedia/a", "//media/a", "/api/v1/assets"] {
            assert_eq!(Route::of(other), None, "{other:?} has no route");
        }
    }

    #[test]
    fn an_asset_has_conversions_and_an_original() {
        let id = "00112233445566778899aabbccddeeff";
        let asset: AssetId = id.parse().expect("an id");
        let of = |path: &str| Route::of(path).map(|route| format!("{route:?}"));
        let is = |route: Route<'_>| Some(format!("{route:?}"));
        let conversion = |name| is(Route::Conversion { asset, name });
        assert_eq!(of(&format!("/api/v1/assets/{id}/conversions")), conversion(None));
        assert_eq!(of(&format!("/api/v1/conversion/{id}")), conversion(None));
        assert_eq!(of(&format!("/api/v1/assets/{id}/conversions/small_2-x")), conversion(Some("small_2-x")));
        assert_eq!(of(&format!("/api/v1/assets/{id}/original")), is(Route::Original { asset }));
        for other in [
            format!("/api/v1/assets/{id}"),
            format!("/api/v1/assets/{id}/data"),
            format!("/api/v1/assets/{id}/conversions/"),
            format!("/api/v1/assets/{id}/conversions/a/b"),
            format!("/api/v1/assets/{id}/conversions/a%20b"),
            format!("/api/v1/assets/{id}/original/"),
            format!("/api/v1/assets/{}/original", id.to_uppercase()),
            format!("/api/v1/conversion/{id}/a"),
            format!("/api/v2/assets/{id}/original"),
        ] {
            assert_eq!(of(&other), None, "{other} has no route");
        }
    }

    #[test]
    fn a_path_names_an_object_by_its_decoded_text() {
        let key = |encoded| object_key(encoded).map(|key| key.as_str().to_owned());
        assert_eq!(key("photos/a%20b.jpg").as_deref(), Some("photos/a b.jpg"));
        assert_eq!(key("a+b.jpg").as_deref(), Some("a+b.jpg"), "a plus is no space in a path");
        assert_eq!(key("caf%C3%A9").as_deref(), Some("caf\u{e9}"));
        for bad in ["", "%FF", "a%2F..%2Fb", "%2e%2e/a", "a//b", "a%00", "a%5Cb", "a/"] {
            assert_eq!(key(bad), None, "{bad:?} names no object");
        }
    }
}
