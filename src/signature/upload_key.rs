//! Upload keys: they stand in web pages, so what they allow is all that protects us.

use serde::{Deserialize, Serialize};

/// Websites of one key.
const MAX_ORIGINS: usize = 10;

/// A key that lets web pages upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadKey {
    /// Its public id.
    pub id: String,
    /// Websites that may use it: `example.org`, subdomains included, or `https://example.org:8443`, which is this
    /// one alone.
    pub origins: Vec<String>,
    /// Every website may.
    pub any_origin: bool,
    /// What may be uploaded with it.
    pub limits: UploadLimits,
}

/// What may be uploaded with a key, beside what all uploads have to keep to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadLimits {
    /// Bytes of one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Files of one upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_files: Option<u32>,
    /// Types such as `image/*` and `application/pdf`; none given means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

impl UploadKey {
    /// Whether a request with this `Origin` may use it. One without is no web page's.
    pub fn admits(&self, origin: Option<&str>) -> bool {
        let Some(asking) = origin else { return true };
        self.any_origin || self.origins.iter().any(|origin| covers(origin, asking))
    }
}

/// Whether what a key names is the website that asks, or one above it.
fn covers(named: &str, asking: &str) -> bool {
    if named.contains("://") {
        return named.eq_ignore_ascii_case(asking);
    }
    let Some((_, authority)) = asking.split_once("://") else { return false };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let (named, host) = (named.to_ascii_lowercase(), host.to_ascii_lowercase());
    host.strip_suffix(&named).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// What is wrong with the websites of a key, in words.
pub fn check_origins(origins: &[String]) -> Result<(), &'static str> {
    let is_host = |host: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        !host.is_empty() && !host.starts_with('.') && host.chars().all(fine)
    };
    let is_website = |text: &String| match text.split_once("://") {
        None => is_host(text),
        Some(("http" | "https", authority)) => match authority.split_once(':') {
            None => is_host(authority),
            Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok(),
        },
        Some(_) => false,
    };
    match origins.len() > MAX_ORIGINS {
        true => Err("must be at most 10"),
        false if origins.iter().all(is_website) => Ok(()),
        false => Err("must be domains such as example.org, or websites such as https://example.org"),
    }
}

impl UploadLimits {
    /// What is wrong with them, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_type = |text: &String| {
            let fine = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._*".contains(&b))
            };
            text.split_once('/').is_some_and(|(major, minor)| fine(major) && fine(minor))
        };
        if self.max_bytes == Some(0) || self.max_files == Some(0) {
            return Err("must allow something");
        }
        if self.types.len() > 100 || !self.types.iter().all(is_type) {
            return Err("must name types such as image/* and application/pdf, at most 100");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_website_may_use_the_keys_that_name_it() {
        let may = |named: &[&str], asking: Option<&str>| {
            let origins = named.iter().map(|text| (*text).to_owned()).collect();
            let limits = UploadLimits::default();
            UploadKey { id: "A".to_owned(), origins, any_origin: false, limits }.admits(asking)
        };
        for (named, asking, expected) in [
            ("example.org", "https://example.org", true),
            ("example.org", "http://example.org:8080", true),
            ("example.org", "https://www.Example.org", true),
            ("Example.org", "https://a.b.example.org", true),
            ("example.org", "https://evilexample.org", false),
            ("example.org", "https://example.org.evil.test", false),
            ("example.org", "https://evil.test:example.org", false),
            ("example.org", "null", false),
            ("www.example.org", "https://example.org", false),
            ("https://example.org", "https://example.org", true),
            ("https://example.org", "http://example.org", false),
            ("https://example.org", "https://www.example.org", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("http://localhost:3000", "http://localhost:3001", false),
        ] {
            assert_eq!(may(&[named], Some(asking)), expected, "{asking} by {named}");
        }
        assert!(!may(&[], Some("https://example.org")), "no website unless one is named");
        assert!(may(&[], None), "what is no web page's has no origin");
        assert!(may(&["a.test", "b.test"], Some("https://b.test")));
    }

    #[test]
    fn what_is_no_website_is_refused() {
        for good in ["example.org", "localhost", "https://a.test", "http://localhost:3000"] {
            assert_eq!(check_origins(&[good.to_owned()]), Ok(()), "{good}");
        }
        for bad in
            ["", "*", ".org", "ftp://a.test", "https://a.test/", "https://", "a b", "a.test:80", "http://a:x"]
        {
            assert!(check_origins(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
        assert!(check_origins(&vec!["a.test".to_owned(); 11]).is_err());
        let types = |types: &[&str]| {
            let types = types.iter().map(|text| (*text).to_owned()).collect();
            UploadLimits { types, ..UploadLimits::default() }.check()
        };
        assert_eq!(types(&["image/*", "application/vnd.oasis+x"]), Ok(()));
        for bad in ["image", "image/", "/png", "a b/c", "a/b/c"] {
            assert!(types(&[bad]).is_err(), "{bad}");
        }
    }
}
