//! `Cache-Control`, RFC 9111 section 5.2, with RFC 5861 and RFC 8246; read from an origin, written
//! by us. `CDN-Cache-Control` (RFC 9213) has the same directives in a strict form.

use std::fmt;

use http::HeaderName;

use crate::headers::list::cut;
use crate::headers::list::elements;
use crate::headers::structured::{Item, dictionary};

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// `public`.
    pub is_public: bool,
    /// `private` for the whole answer.
    pub is_private: bool,
    /// `private="..."`: these headers are for one client, the rest may be stored.
    pub private_fields: Vec<HeaderName>,
    /// `no-store`.
    pub is_no_store: bool,
    /// `must-understand`: `no-store` is for caches that do not know the status.
    pub is_must_understand: bool,
    /// `no-cache` for the whole answer.
    pub is_no_cache: bool,
    /// `no-cache="..."`: these headers are not used again unasked, the rest may be.
    pub no_cache_fields: Vec<HeaderName>,
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
    /// Reads all lines of `Cache-Control` as one list. Names in any case, values quoted or not; unknown
    /// directives are skipped. Of a repeated value the first counts, and a malformed freshness is 0,
    /// which is stale (RFC 9111 section 4.2.1). Field names that are none restrict the whole answer.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut read = Self::default();
        for element in lines.into_iter().flat_map(|line| elements(line, b',')) {
            let (name, value) = match cut(element, b'=') {
                Some((name, value)) => (name, Some(value)),
                None => (element, None),
            };
            let name = name.to_ascii_lowercase();
            match value.and_then(|value| field_names(unquoted(value))).zip(read.fields(&name)) {
                Some((names, fields)) => add(fields, names),
                None => match read.flag(&name) {
                    Some(flag) => *flag = true,
                    None => {
                        if let Some(slot) = read.seconds(&name) {
                            slot.get_or_insert(value.and_then(seconds).unwrap_or(0));
                        }
                    }
                },
            }
        }
        read
    }

    /// Reads all lines of a targeted field, RFC 9213. `None` means that the field counts as absent: it is
    /// empty, is no dictionary, or gives one of our directives a value of another type. Of a repeated
    /// directive the last counts.
    pub fn parse_targeted<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let members = dictionary(lines).filter(|members| !members.is_empty())?;
        let mut read = Self::default();
        for (name, item) in members {
            let name = name.as_bytes();
            if let (Item::String(list), Some(fields)) = (&item, read.fields(name)) {
                add(fields, field_names(list.as_bytes())?);
            } else if let Some(flag) = read.flag(name) {
                *flag = (item == Item::Boolean(true)).then_some(true)?;
            } else if let Some(slot) = read.seconds(name) {
                let Item::Integer(seconds) = item else { return None };
                let seconds = u64::try_from(seconds).ok()?;
                *slot = Some(u32::try_from(seconds).map_or(MAX_SECONDS, |seconds| seconds.min(MAX_SECONDS)));
            }
        }
        Some(read)
    }

    /// The headers of the answer that are no part of what may be stored and used unasked.
    pub fn restricted_fields(&self) -> impl Iterator<Item = &HeaderName> {
        self.private_fields.iter().chain(&self.no_cache_fields)
    }

    fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        Some(match name {
            b"public" => &mut self.is_public,
            b"private" => &mut self.is_private,
            b"no-store" => &mut self.is_no_store,
            b"must-understand" => &mut self.is_must_understand,
            b"no-cache" => &mut self.is_no_cache,
            b"must-revalidate" => &mut self.is_must_revalidate,
            b"proxy-revalidate" => &mut self.is_proxy_revalidate,
            b"no-transform" => &mut self.is_no_transform,
            b"immutable" => &mut self.is_immutable,
            _ => return None,
        })
    }

    fn fields(&mut self, name: &[u8]) -> Option<&mut Vec<HeaderName>> {
        match name {
            b"private" => Some(&mut self.private_fields),
            b"no-cache" => Some(&mut self.no_cache_fields),
            _ => None,
        }
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

fn add(fields: &mut Vec<HeaderName>, names: Vec<HeaderName>) {
    for name in names {
        if !fields.contains(&name) {
            fields.push(name);
        }
    }
}

/// The names of a list of headers; `None` if there is none, or if one of them is none.
fn field_names(list: &[u8]) -> Option<Vec<HeaderName>> {
    let names = elements(list, b',').map(|name| HeaderName::from_bytes(name).ok());
    names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|open| open.strip_suffix(b"\"")).unwrap_or(value)
}

fn seconds(value: &[u8]) -> Option<u32> {
    let bare = unquoted(value);
    if bare.is_empty() || !bare.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit =
        |sum: u32, b: &u8| sum.saturating_mul(10).saturating_add(u32::from(b - b'0')).min(MAX_SECONDS);
    Some(bare.iter().fold(0, digit))
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut write = |name: &str, value: fmt::Arguments<'_>| {
            write!(f, "{}{name}{value}", std::mem::replace(&mut separator, ", "))
        };
        for (is_set, name) in [
            (self.is_public, "public"),
            (self.is_private, "private"),
            (self.is_no_store, "no-store"),
            (self.is_must_understand, "must-understand"),
            (self.is_no_cache, "no-cache"),
        ] {
            if is_set {
                write(name, format_args!(""))?;
            }
        }
        for (names, name) in [(&self.private_fields, "private"), (&self.no_cache_fields, "no-cache")] {
            if !names.is_empty() {
                let names = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
                write(name, format_args!("=\"{names}\""))?;
            }
        }
        for (seconds, name) in [
            (self.max_age, "max-age"),
            (self.s_maxage, "s-maxage"),
            (self.stale_while_revalidate, "stale-while-revalidate"),
            (self.stale_if_error, "stale-if-error"),
        ] {
            if let Some(seconds) = seconds {
                write(name, format_args!("={seconds}"))?;
            }
        }
        for (is_set, name) in [
            (self.is_must_revalidate, "must-revalidate"),
            (self.is_proxy_revalidate, "proxy-revalidate"),
            (self.is_no_transform, "no-transform"),
            (self.is_immutable, "immutable"),
        ] {
            if is_set {
                write(name, format_args!(""))?;
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
        assert_eq!(Directives::parse([&b"public"[..], b"max-age=1"]).to_string(), "public, max-age=1");
    }

    fn names(list: &[&'static str]) -> Vec<HeaderName> {
        list.iter().map(|name| HeaderName::from_static(name)).collect()
    }

    #[test]
    fn rfc9111_5_2_2_4_field_names_restrict_those_fields_alone() {
        let read = parse("private=\"X-Foo, y\", no-cache=\"set-cookie\", NO-STORE, unknown=1, private=y");
        let expected = Directives {
            private_fields: names(&["x-foo", "y"]),
            no_cache_fields: names(&["set-cookie"]),
            is_no_store: true,
            ..Directives::default()
        };
        assert_eq!(read, expected);
        assert_eq!(read.to_string(), "no-store, private=\"x-foo, y\", no-cache=\"set-cookie\"");
        let restricted: Vec<_> = read.restricted_fields().map(HeaderName::as_str).collect();
        assert_eq!(restricted, ["x-foo", "y", "set-cookie"]);
        for all in
            ["no-cache", "no-cache=", "no-cache=\"\"", "no-cache=\"a b\"", "no-cache=\"a", "no-cache=\"a,(\""]
        {
            let read = parse(all);
            assert!(read.is_no_cache && read.no_cache_fields.is_empty(), "{all} is about all of the answer");
        }
        let both = parse("no-cache, no-cache=x");
        assert!(both.is_no_cache && both.no_cache_fields == names(&["x"]), "{both}");
    }

    #[test]
    fn rfc9213_2_1_a_targeted_field_is_a_dictionary() {
        let read = |value: &str| Directives::parse_targeted([value.as_bytes()]);
        let life = |seconds| Some(Directives { max_age: Some(seconds), ..Directives::default() });
        assert_eq!(read("max-age=60"), life(60));
        assert_eq!(read("max-age=60;x=1, unknown=(a b), other=\"y\""), life(60), "the unknown is ignored");
        assert_eq!(read("max-age=1, max-age=60"), life(60), "the last counts");
        assert_eq!(read("max-age=999999999999999"), life(MAX_SECONDS));
        assert_eq!(read("unknown"), Some(Directives::default()), "it is there and says nothing");
        let fields = read("private, no-cache=\"Set-Cookie, x\"").expect("valid");
        assert!(fields.is_private && fields.no_cache_fields == names(&["set-cookie", "x"]), "{fields}");
        assert_eq!(
            Directives::parse_targeted([&b"public"[..], b"max-age=60"]).map(|read| read.is_public),
            Some(true)
        );
        for absent in [
            "",
            "max-age=\"60\"",
            "Max-Age=60",
            "max-age=60,",
            "max-age=-1",
            "max-age=1.5",
            "max-age",
            "max-age=?1",
            "no-store=1",
            "no-store=?0",
            "no-cache=\"\"",
            "no-cache=\"a b\"",
            "no-cache=a",
            "max-age=60 no-store",
        ] {
            assert_eq!(read(absent), None, "{absent:?} counts as absent");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(flags: [bool; 9], fields: [bool; 2], seconds: [Option<u16>; 4]) {
            let some = |is_there: bool| if is_there { names(&["x-a", "set-cookie"]) } else { Vec::new() };
            let written = Directives {
                private_fields: some(fields[0]),
                no_cache_fields: some(fields[1]),
                is_must_understand: flags[8],
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
            let text = written.to_string();
            // In a dictionary the second form of a directive takes the place of the first.
            let is_twofold = fields[0] && flags[1] || fields[1] && flags[3];
            if !text.is_empty() && !is_twofold {
                prop_assert_eq!(Directives::parse_targeted([text.as_bytes()]), Some(written.clone()));
            }
            prop_assert_eq!(parse(&text), written);
        }

        #[test]
        fn random_bytes_do_no_harm(value in prop::collection::vec(any::<u8>(), 0..200)) {
            Directives::parse([&value[..]]);
            Directives::parse_targeted([&value[..]]);
        }
    }
}
