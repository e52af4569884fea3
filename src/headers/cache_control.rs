//! `Cache-Control`, RFC 9111 section 5.2, with RFC 5861 and RFC 8246; read from an origin, written
//! by us. `CDN-Cache-Control` (RFC 9213) has the same directives and is read the same way.

use std::fmt;

use crate::headers::list::cut;
use crate::headers::list::elements;

/// RFC 9111 section 1.2.2: seconds beyond this are this.
pub const MAX_SECONDS: u32 = 1 << 31;

/// The directives of a response that matter to a cache; `Display` writes the header value.
///
/// ```
/// use kinora::headers::cache_control::Directives;
///
/// let policy = Directives { is_public: true, max_age: Some(60), is_immutable: true, ..Directives::default() };
/// assert_eq!(policy.to_string(), "public, max-age=60, immutable");
/// assert_eq!(Directives::parse([policy.to_string().as_bytes()]), policy);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// `public`.
    pub is_public: bool,
    /// `private`, with or without field names.
    pub is_private: bool,
    /// `no-store`.
    pub is_no_store: bool,
    /// `no-cache`, with or without field names.
    pub is_no_cache: bool,
    /// `max-age`, seconds.
    pub max_age: Option<u32>,
    /// `s-maxage`, seconds.
    pub s_maxage: Option<u32>,
    /// `stale-while-revalidate`, seconds.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error`, seconds.
    pub stale_if_error: Option<u32>,
    /// `must-revalidate`.
    pub is_must_revalidate: bool,
    /// `proxy-revalidate`.
    pub is_proxy_revalidate: bool,
    /// `no-transform`.
    pub is_no_transform: bool,
    /// `immutable`.
    pub is_immutable: bool,
}

impl Directives {
    /// Reads all lines of the header as one list. Names in any case, values quoted or not; unknown
    /// directives are skipped. Of a repeated value the first counts, and a malformed freshness is 0,
    /// which is stale (RFC 9111 section 4.2.1).
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut read = Self::default();
        for element in lines.into_iter().flat_map(|line| elements(line, b',')) {
            let (name, value) = cut(element, b'=').unwrap_or((element, b""));
            let name = name.to_ascii_lowercase();
            if let Some(flag) = read.flag(&name) {
                *flag = true;
            } else if let Some(slot) = read.seconds(&name) {
                slot.get_or_insert(seconds(value).unwrap_or(0));
            }
        }
        read
    }

    fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        Some(match name {
            b"public" => &mut self.is_public,
            b"private" => &mut self.is_private,
            b"no-store" => &mut self.is_no_store,
            b"no-cache" => &mut self.is_no_cache,
            b"must-revalidate" => &mut self.is_must_revalidate,
            b"proxy-revalidate" => &mut self.is_proxy_revalidate,
            b"no-transform" => &mut self.is_no_transform,
            b"immutable" => &mut self.is_immutable,
            _ => return None,
        })
    }

    fn seconds(&mut self, name: &[u8]) -> Option<&mut Option<u32>> {
        Some(match name {
            b"max-age" => &mut self.max_age,
            b"s-maxage" => &mut self.s_maxage,
            b"stale-while-revalidate" => &mut self.stale_while_revalidate,
            b"stale-if-error" => &mut self.stale_if_error,
            _ => return None,
        })
    }
}

fn seconds(value: &[u8]) -> Option<u32> {
    let bare = value.strip_prefix(b"\"").and_then(|open| open.strip_suffix(b"\"")).unwrap_or(value);
    if bare.is_empty() || !bare.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit =
        |sum: u32, b: &u8| sum.saturating_mul(10).saturating_add(u32::from(b - b'0')).min(MAX_SECONDS);
    Some(bare.iter().fold(0, digit))
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |is_set: bool, name: &'static str| is_set.then_some((name, None));
        let seconds = |name: &'static str, seconds: Option<u32>| seconds.map(|seconds| (name, Some(seconds)));
        let directives = [
            flag(self.is_public, "public"),
            flag(self.is_private, "private"),
            flag(self.is_no_store, "no-store"),
            flag(self.is_no_cache, "no-cache"),
            seconds("max-age", self.max_age),
            seconds("s-maxage", self.s_maxage),
            seconds("stale-while-revalidate", self.stale_while_revalidate),
            seconds("stale-if-error", self.stale_if_error),
            flag(self.is_must_revalidate, "must-revalidate"),
            flag(self.is_proxy_revalidate, "proxy-revalidate"),
            flag(self.is_no_transform, "no-transform"),
            flag(self.is_immutable, "immutable"),
        ];
        for (place, (name, seconds)) in directives.into_iter().flatten().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            f.write_str(name)?;
            if let Some(seconds) = seconds {
                write!(f, "={seconds}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &str) -> Directives {
        Directives::parse([value.as_bytes()])
    }

    #[test]
    fn rfc9111_5_2_forms_of_a_directive() {
        let max_age = |value| parse(value).max_age;
        assert_eq!(max_age("max-age=60"), Some(60));
        assert_eq!(max_age("Max-Age=\"60\""), Some(60), "any case, quoted or not");
        assert_eq!(max_age("max-age=60, max-age=5"), Some(60), "the first counts");
        assert_eq!(
            max_age("ext=\"max-age=1, max-age=2\", max-age=3"),
            Some(3),
            "quoted text is no directive"
        );
        assert_eq!(max_age("s-maxage=1"), None);
        for stale in ["max-age=soon", "max-age=-1", "max-age", "max-age=", "max-age=1.5", "max-age=\"1"] {
            assert_eq!(max_age(stale), Some(0), "{stale} is stale");
        }
        for huge in ["max-age=2147483648", "max-age=4294967296", "max-age=99999999999999999999999"] {
            assert_eq!(max_age(huge), Some(MAX_SECONDS), "{huge}");
        }
        let qualified =
            parse("private=\"x-foo, y\", no-cache=\"set-cookie\", NO-STORE, unknown=1, immutable");
        let expected = Directives {
            is_private: true,
            is_no_cache: true,
            is_no_store: true,
            is_immutable: true,
            ..Directives::default()
        };
        assert_eq!(qualified, expected);
        assert_eq!(Directives::parse([&b"public"[..], b"max-age=1"]).to_string(), "public, max-age=1");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(flags: [bool; 8], seconds: [Option<u16>; 4]) {
            let written = Directives {
                is_public: flags[0],
                is_private: flags[1],
                is_no_store: flags[2],
                is_no_cache: flags[3],
                is_must_revalidate: flags[4],
                is_proxy_revalidate: flags[5],
                is_no_transform: flags[6],
                is_immutable: flags[7],
                max_age: seconds[0].map(u32::from),
                s_maxage: seconds[1].map(u32::from),
                stale_while_revalidate: seconds[2].map(u32::from),
                stale_if_error: seconds[3].map(u32::from),
            };
            prop_assert_eq!(parse(&written.to_string()), written);
        }

        #[test]
        fn random_bytes_do_no_harm(value in prop::collection::vec(any::<u8>(), 0..200)) {
            Directives::parse([&value[..]]);
        }
    }
}
