//! The headers of tus 1.0.0.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use crate::failure::{Code, Failure};
use crate::upload::{Algorithm, Checksum};

pub(super) const VERSION: &str = "1.0.0";

pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration,concatenation";

pub(super) const ALGORITHMS: &str = "sha1,md5,sha256";

/// The type of a body that belongs to an upload.
pub(super) const OFFSET_TYPE: &str = "application/offset+octet-stream";

/// `Upload-Concat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concat {
    /// The upload becomes a piece of another.
    Partial,
    /// It is made of these, by their ids.
    Final(Vec<String>),
}

/// A header's text; twice the same header is an error.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => line.to_str().map(|text| Some(text.trim())).map_err(|_| bad(name)),
        (Some(_), Some(_)) => Err(bad(name)),
    }
}

pub(super) fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    // `parse` would take a plus sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|number| is_number && *number <= i64::MAX as u64);
    number.map(Some).ok_or_else(|| bad(name))
}

/// The announced length; `None` if it is to come later.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    match (number(headers, "upload-length")?, text(headers, "upload-defer-length")?) {
        (Some(length), None) => Ok(Some(length)),
        (None, Some("1")) => Ok(None),
        _ => Err(Failure::new(
            Code::BadRequest,
            "send either `Upload-Length` with the number of bytes or `Upload-Defer-Length: 1`",
        )),
    }
}

/// The pairs of `Upload-Metadata`.
pub(super) fn metadata(headers: &HeaderMap) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut pairs = BTreeMap::new();
    let text = text(headers, "upload-metadata")?.unwrap_or_default();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = BASE64_STANDARD.decode(value.trim()).map_err(|_| bad("upload-metadata"))?;
        if pairs.insert(name.to_owned(), value).is_some() {
            return Err(bad("upload-metadata"));
        }
    }
    Ok(pairs)
}

pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Failure> {
    let Some(text) = text(headers, "upload-checksum")? else { return Ok(None) };
    let (name, value) = text.split_once(' ').ok_or_else(|| bad("upload-checksum"))?;
    let (algorithm, length) = match name {
        "md5" => (Algorithm::Md5, 16),
        "sha1" => (Algorithm::Sha1, 20),
        "sha256" => (Algorithm::Sha256, 32),
        _ => {
            let detail = format!("`Upload-Checksum` is made by one of {ALGORITHMS}");
            return Err(Failure::new(Code::BadRequest, detail));
        }
    };
    let value = BASE64_STANDARD.decode(value.trim()).ok().filter(|value| value.len() == length);
    value.map(|value| Some(Checksum { algorithm, value })).ok_or_else(|| bad("upload-checksum"))
}

pub(super) fn concat(headers: &HeaderMap) -> Result<Option<Concat>, Failure> {
    match text(headers, "upload-concat")? {
        None => Ok(None),
        Some("partial") => Ok(Some(Concat::Partial)),
        Some(text) => {
            let list = text.strip_prefix("final;").ok_or_else(|| bad("upload-concat"))?;
            // A URL names an upload by its last segment, on whichever host.
            let ids =
                list.split_ascii_whitespace().map(|url| url.rsplit('/').next().unwrap_or(url).to_owned());
            let ids: Vec<String> = ids.collect();
            let is_list = !ids.is_empty() && ids.iter().all(|id| !id.is_empty());
            if is_list { Ok(Some(Concat::Final(ids))) } else { Err(bad("upload-concat")) }
        }
    }
}

fn bad(name: &str) -> Failure {
    Failure::new(Code::BadRequest, format!("the header `{name}` cannot be read"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_length_is_told_or_put_off() {
        for (given, expected) in [
            (&[("upload-length", "10")][..], Some(Some(10))),
            (&[("upload-defer-length", "1")], Some(None)),
            (&[], None),
            (&[("upload-length", "10"), ("upload-defer-length", "1")], None),
            (&[("upload-defer-length", "0")], None),
            (&[("upload-length", "-1")], None),
            (&[("upload-length", "+1")], None),
            (&[("upload-length", "1e3")], None),
            (&[("upload-length", "")], None),
            (&[("upload-length", "9223372036854775808")], None),
            (&[("upload-length", "1"), ("upload-length", "1")], None),
        ] {
            assert_eq!(length(&headers(given)).ok(), expected, "{given:?}");
        }
    }

    #[test]
    fn metadata_is_pairs() {
        let read = |text: &str| metadata(&headers(&[("upload-metadata", text)]));
        let pairs = read("filename Y2F0LmpwZw==, is_confidential,filetype aW1hZ2UvanBlZw==").expect("pairs");
        assert_eq!(pairs["filename"], b"cat.jpg");
        assert_eq!(pairs["is_confidential"], b"");
        assert_eq!(pairs.len(), 3);
        assert!(read("").expect("none").is_empty());
        for bad in ["a b", "a YQ==,a YQ==", "a YQ== YQ=="] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn checksums_and_lists_are_read() {
        let read = |text: &str| checksum(&headers(&[("upload-checksum", text)]));
        assert!(read("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").is_ok_and(|found| found.is_some()));
        for bad in ["sha1", "crc32 AAAA", "sha1 AAAA", "md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1 ???"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let read = |text: &str| concat(&headers(&[("upload-concat", text)])).ok().flatten();
        assert_eq!(read("partial"), Some(Concat::Partial));
        let ids = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(read("final;/api/v1/uploads/a https://x.test/y/b  c"), Some(Concat::Final(ids)));
        for bad in ["", "final", "final;", "final; ", "partially", "final;/a/"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
