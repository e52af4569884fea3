//! Which answers of a web server are for one client alone.
//!
//! The cache's key knows nothing of the headers that pass from a client to the origin, so what depends
//! on them must not be shared. What is found here is said in the answer's own headers.

use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::cache_control::Directives;

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Takes out of `Vary` what the origin never gets to see: it is the same for all clients.
pub(super) fn narrow_vary(answer: &mut HeaderMap, passes: impl Fn(&HeaderName) -> bool) {
    let lines = answer.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    let members = lines.flat_map(|line| line.split(',')).map(str::trim);
    let seen = |member: &&str| *member == "*" || member.parse().is_ok_and(|name| passes(&name));
    let left = members.filter(seen).collect::<Vec<_>>().join(", ");
    answer.remove(VARY);
    if let Some(left) = HeaderValue::try_from(left).ok().filter(|left| !left.is_empty()) {
        answer.insert(VARY, left);
    }
}

/// RFC 9111 section 3.5: the origin has seen who asks, and does not say that the answer is for all.
/// Cookies tell as much as `Authorization` does.
pub(super) fn is_personal(sent: &HeaderMap, answer: &HeaderMap) -> bool {
    let leading = if answer.contains_key(CDN_CACHE_CONTROL) { CDN_CACHE_CONTROL } else { CACHE_CONTROL };
    let said = Directives::parse(answer.get_all(leading).iter().map(HeaderValue::as_bytes));
    let is_for_all = said.is_public || said.s_maxage.is_some() || said.is_must_revalidate;
    (sent.contains_key(AUTHORIZATION) || sent.contains_key(COOKIE)) && !is_for_all
}

/// Tells every cache, ours first, that the answer is for one client.
pub(super) fn keep_private(answer: &mut HeaderMap) {
    answer.remove(CDN_CACHE_CONTROL);
    answer.append(CACHE_CONTROL, HeaderValue::from_static("private"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs =
            of.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn vary_keeps_what_the_origin_can_see() {
        let narrowed = |vary| {
            let mut answer = headers(&[("vary", vary)]);
            narrow_vary(&mut answer, |name| name == "accept-language");
            answer.remove(VARY).map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(narrowed("Accept-Encoding, Origin"), None);
        assert_eq!(narrowed("Origin, Accept-Language"), Some("Accept-Language".to_owned()));
        assert_eq!(narrowed("origin, *"), Some("*".to_owned()));
    }

    #[test]
    fn rfc9111_3_5_only_what_says_so_is_for_all() {
        for (answer, personal) in [
            (&[][..], true),
            (&[("cache-control", "max-age=9")], true),
            (&[("cdn-cache-control", "max-age=9"), ("cache-control", "public")], true),
            (&[("cache-control", "public")], false),
            (&[("cache-control", "s-maxage=9")], false),
            (&[("cache-control", "must-revalidate")], false),
            (&[("cdn-cache-control", "public"), ("cache-control", "max-age=9")], false),
        ] {
            for name in ["authorization", "cookie"] {
                assert_eq!(is_personal(&headers(&[(name, "x")]), &headers(answer)), personal, "{answer:?}");
            }
            assert!(!is_personal(&headers(&[("accept", "x")]), &headers(answer)));
        }
    }
}
