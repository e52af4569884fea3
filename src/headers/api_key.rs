//! The API key of a request: `X-FileSpin-Api-Key`, or `Authorization: Bearer` (RFC 6750 section 2.1).

use http::HeaderMap;
use http::HeaderName;
use http::header::AUTHORIZATION;

/// Our own header, which leads over `Authorization`.
pub const API_KEY: HeaderName = HeaderName::from_static("x-filespin-api-key");

/// The key that a request brings along, from either header.
pub fn api_key(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get(API_KEY).and_then(|value| value.to_str().ok());
    own.or_else(|| bearer(headers))
}

/// The token of `Authorization: Bearer`: an API key of ours, or something for the origin.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_comes_in_either_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(api_key(&headers), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(api_key(&headers), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer  abc"));
        assert_eq!(api_key(&headers), Some("abc"));
        headers.insert(API_KEY, HeaderValue::from_static("def"));
        assert_eq!(api_key(&headers), Some("def"), "our own header leads");
        assert_eq!(bearer(&headers), Some("abc"));
    }
}
