//! `Range` and `Content-Range`, RFC 9110 section 14: bytes only, at most two parts.

use crate::headers::list::cut;
use crate::headers::list::elements;

/// More parts, or parts that overlap or go backwards, are refused: they are a way to make a server
/// work for nothing (RFC 9110 section 17.15).
const MOST_PARTS: usize = 2;

/// A `Range` header that is well-formed; what it means is known once the length is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(Vec<Spec>);

/// One part as it was asked for, RFC 9110 section 14.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    Between(u64, u64),
    From(u64),
    Last(u64),
}

/// What to send for a [`Range`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parts {
    /// Everything, as without the header: there is nothing to take a part of.
    Whole,
    /// One part.
    One(Part),
    /// Two parts, ascending and disjoint.
    Two(Part, Part),
}

/// First and last byte of a part; both exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub first: u64,
    /// Last byte, at least `first`.
    pub last: u64,
}

/// No part asked for can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the range cannot be satisfied within {length} bytes")]
pub struct Unsatisfiable {
    /// Length of the whole.
    pub length: u64,
}

impl Range {
    /// Reads a header value. `None` (another unit, bad syntax) means that the header is ignored.
    /// Numbers beyond `u64` count as its maximum.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (unit, set) = cut(value.trim_ascii(), b'=')?;
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        // One more than is ever served is enough to know that there are too many.
        let mut specs = Vec::with_capacity(MOST_PARTS + 1);
        for element in elements(set, b',') {
            let spec = Spec::parse(element)?;
            if specs.len() <= MOST_PARTS {
                specs.push(spec);
            }
        }
        (!specs.is_empty()).then_some(Self(specs))
    }

    /// What to send of a body of so many bytes. Parts wholly behind the end are left out as long as
    /// another one is within.
    ///
    /// # Errors
    /// [`Unsatisfiable`] if all parts lie behind the end, or if they are more than two, overlapping
    /// or not ascending.
    pub fn of(&self, length: u64) -> Result<Parts, Unsatisfiable> {
        if length == 0 {
            return Ok(Parts::Whole);
        }
        let refused = Unsatisfiable { length };
        if self.0.len() > MOST_PARTS {
            return Err(refused);
        }
        let mut parts = self.0.iter().filter_map(|spec| spec.of(length));
        match (parts.next(), parts.next()) {
            (None, _) => Err(refused),
            (Some(part), None) => Ok(Parts::One(part)),
            (Some(a), Some(b)) if a.last < b.first => Ok(Parts::Two(a, b)),
            (Some(_), Some(_)) => Err(refused),
        }
    }
}

impl Spec {
    fn parse(element: &[u8]) -> Option<Self> {
        let at = element.iter().position(|b| *b == b'-')?;
        match (&element[..at], &element[at + 1..]) {
            (b"", last) => Some(Self::Last(number(last)?)),
            (first, b"") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The bytes of it that exist; `length` is not 0.
    fn of(self, length: u64) -> Option<Part> {
        let end = length - 1;
        let (first, last) = match self {
            Self::Between(first, last) => (first, last.min(end)),
            Self::From(first) => (first, end),
            Self::Last(0) => return None,
            Self::Last(count) => (length.saturating_sub(count), end),
        };
        (first <= end).then_some(Part { first, last })
    }
}

impl Part {
    /// The value of `Content-Range` for this part.
    pub fn content_range(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.first, self.last)
    }

    /// How many bytes it has.
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

impl Unsatisfiable {
    /// The value of `Content-Range` for a refusal.
    pub fn content_range(self) -> String {
        format!("bytes */{}", self.length)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digit = |sum: u64, b: &u8| sum.saturating_mul(10).saturating_add(u64::from(b - b'0'));
    (!text.is_empty() && text.iter().all(u8::is_ascii_digit)).then(|| text.iter().fold(0, digit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Outcome = Result<Vec<(u64, u64)>, ()>;

    fn parts(value: &str, length: u64) -> Option<Outcome> {
        let range = Range::parse(value.as_bytes())?;
        Some(match range.of(length) {
            Ok(Parts::Whole) => Ok(vec![]),
            Ok(Parts::One(a)) => Ok(vec![(a.first, a.last)]),
            Ok(Parts::Two(a, b)) => Ok(vec![(a.first, a.last), (b.first, b.last)]),
            Err(Unsatisfiable { .. }) => Err(()),
        })
    }

    #[test]
    fn rfc9110_14_1_2_byte_ranges() {
        let huge = "9".repeat(60);
        let cases: [(&str, Outcome); 19] = [
            ("bytes=0-499", Ok(vec![(0, 499)])),
            ("BYTES = 0-0", Ok(vec![(0, 0)])),
            ("bytes=-500", Ok(vec![(500, 999)])),
            ("bytes=-5000", Ok(vec![(0, 999)])),
            ("bytes=999-", Ok(vec![(999, 999)])),
            ("bytes=0-", Ok(vec![(0, 999)])),
            ("bytes=900-5000", Ok(vec![(900, 999)])),
            (&format!("bytes=1-{huge}"), Ok(vec![(1, 999)])),
            ("bytes=0-0,-1", Ok(vec![(0, 0), (999, 999)])),
            ("bytes= 0-1 , , 5-6,", Ok(vec![(0, 1), (5, 6)])),
            ("bytes=0-1,2-3", Ok(vec![(0, 1), (2, 3)])),
            ("bytes=0-1,5000-", Ok(vec![(0, 1)])),
            ("bytes=1000-", Err(())),
            (&format!("bytes={huge}-"), Err(())),
            ("bytes=-0", Err(())),
            ("bytes=0-5,5-9", Err(())),
            ("bytes=5-9,0-1", Err(())),
            ("bytes=0-0,2-2,4-4", Err(())),
            ("bytes=5000-,6000-,7000-", Err(())),
        ];
        for (value, expected) in cases {
            assert_eq!(parts(value, 1000), Some(expected), "{value}");
        }
        assert_eq!(parts("bytes=0-", 0), Some(Ok(vec![])), "an empty body has no parts");
    }

    #[test]
    fn rfc9110_14_2_what_is_malformed_is_ignored() {
        for value in
            ["", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=1", "items=0-1"]
        {
            assert_eq!(parts(value, 1000), None, "{value:?}");
        }
        for value in ["bytes=0-1;2-3", "bytes=0 - 1", "bytes=+1-2", "bytes=0-1,x", "bytes=--1", "=0-1"] {
            assert_eq!(parts(value, 1000), None, "{value:?}");
        }
    }

    #[test]
    fn content_range_names_the_part() {
        let part = Part { first: 0, last: 9 };
        assert_eq!((part.content_range(20).as_str(), part.length()), ("bytes 0-9/20", 10));
        assert_eq!(Unsatisfiable { length: 20 }.content_range(), "bytes */20");
    }

    proptest! {
        #[test]
        fn parts_stay_inside(set in "(bytes=)?[-0-9, ]{0,40}", length in 1_u64..200) {
            if let Some(Ok(parts)) = parts(&set, length) {
                for (first, last) in parts {
                    prop_assert!(first <= last && last < length);
                }
            }
        }

        #[test]
        fn random_bytes_do_no_harm(value in prop::collection::vec(any::<u8>(), 0..200), length: u64) {
            if let Some(range) = Range::parse(&value) {
                let _ = range.of(length);
            }
        }
    }
}
