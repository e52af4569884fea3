//! What is asked of an object besides its key: a part of it, and conditions.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;

use crate::origin::{Error, ObjectInfo};

/// What is asked of an object besides its key.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Only this part.
    pub range: Option<ByteRange>,
    /// Answer `NotModified` if the object still has one of these (text of `If-None-Match`).
    pub if_none_match: Option<String>,
    /// Answer `NotModified` if unchanged since; ignored beside `if_none_match`.
    pub if_modified_since: Option<SystemTime>,
    /// Fail with [`Error::Changed`] unless the object still has this entity tag.
    pub if_match: Option<String>,
    /// The client's own headers; an HTTP origin forwards those that its configuration names.
    pub headers: HeaderMap,
}

impl Ask {
    /// Whether the object is still the one that the asker has (RFC 9110 section 13.2.2).
    ///
    /// Every implementation asks this of what it found, so that an origin which knows nothing of
    /// conditions cannot hand out bytes of another object.
    pub(super) fn already_has(&self, info: &ObjectInfo) -> Result<bool, Error> {
        if self.if_match.is_some() && self.if_match != info.etag {
            return Err(Error::Changed);
        }
        Ok(match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) => info.etag.as_deref().is_some_and(|etag| names(list, etag)),
            (None, Some(since)) => info.last_modified.is_some_and(|at| seconds(at) <= seconds(since)),
            (None, None) => false,
        })
    }

    /// Whether an answer of "not modified" is possible.
    pub(super) fn is_conditional(&self) -> bool {
        self.if_none_match.is_some() || self.if_modified_since.is_some()
    }
}

/// A part of an object, RFC 9110 section 14.1.2. `Display` writes it as the value of `Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first byte named to the last one named.
    Between(u64, u64),
    /// From this byte to the end.
    From(u64),
    /// The last so many bytes.
    Last(u64),
}

impl ByteRange {
    /// First and last byte of this part of an object of `length` bytes; `None` if it lies outside.
    pub fn within(self, length: u64) -> Option<(u64, u64)> {
        let end = length.checked_sub(1)?;
        let (first, last) = match self {
            Self::Between(first, last) => (first, last.min(end)),
            Self::From(first) => (first, end),
            Self::Last(0) => return None,
            Self::Last(count) => (length.saturating_sub(count), end),
        };
        (first <= last).then_some((first, last))
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(first, last) => write!(f, "bytes={first}-{last}"),
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// Weak comparison. A tag with a comma inside is torn apart and so never found, which costs a
/// transfer and is never wrong.
fn names(list: &str, etag: &str) -> bool {
    let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let wanted = strong(etag);
    list.split(',').map(str::trim).any(|tag| tag == "*" || strong(tag) == wanted)
}

/// HTTP dates know no fractions, file systems do.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_range_is_cut_to_the_object_or_lies_outside() {
        let cases = [
            (ByteRange::Between(0, 0), 10, Some((0, 0))),
            (ByteRange::Between(3, 99), 10, Some((3, 9))),
            (ByteRange::Between(10, 12), 10, None),
            (ByteRange::Between(5, 4), 10, None),
            (ByteRange::From(9), 10, Some((9, 9))),
            (ByteRange::From(10), 10, None),
            (ByteRange::Last(3), 10, Some((7, 9))),
            (ByteRange::Last(99), 10, Some((0, 9))),
            (ByteRange::Last(0), 10, None),
            (ByteRange::Last(1), 0, None),
            (ByteRange::From(0), 0, None),
            (ByteRange::Between(0, u64::MAX), u64::MAX, Some((0, u64::MAX - 1))),
        ];
        for (range, length, expected) in cases {
            assert_eq!(range.within(length), expected, "{range} of {length}");
        }
    }

    #[test]
    fn conditions_follow_rfc_9110() {
        let at = UNIX_EPOCH + Duration::from_millis(1_500);
        let info =
            ObjectInfo { etag: Some("\"a\"".to_owned()), last_modified: Some(at), ..ObjectInfo::default() };
        let none_match = |list: &str| Ask { if_none_match: Some(list.to_owned()), ..Ask::default() };
        for (list, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("", false),
        ] {
            assert_eq!(none_match(list).already_has(&info).ok(), Some(expected), "If-None-Match: {list}");
        }
        let since = |time| Ask { if_modified_since: Some(time), ..Ask::default() };
        let second = Duration::from_secs(1);
        assert_eq!(since(UNIX_EPOCH + second).already_has(&info).ok(), Some(true), "fractions do not count");
        assert_eq!(since(UNIX_EPOCH).already_has(&info).ok(), Some(false), "changed since");
        let both = Ask { if_modified_since: Some(at + second), ..none_match("\"b\"") };
        assert_eq!(both.already_has(&info).ok(), Some(false), "the date is ignored beside a tag");
        for (tag, changed) in [("\"a\"", false), ("\"b\"", true), ("W/\"a\"", true)] {
            let ask = Ask { if_match: Some(tag.to_owned()), ..Ask::default() };
            assert_eq!(ask.already_has(&info).is_err(), changed, "If-Match: {tag}");
        }
        let weak = ObjectInfo { etag: Some("W/\"a\"".to_owned()), ..ObjectInfo::default() };
        assert!(none_match("\"a\"").already_has(&weak).expect("no If-Match"), "weak comparison");
    }
}
