//! Validators and conditional requests, RFC 9110 sections 8.8, 13.1 and 13.2.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use std::time::SystemTime;

use httpdate::HttpDate;

/// `ETag`: an opaque word, strong unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityTag {
    is_weak: bool,
    opaque: String,
}

/// What tells one state of a representation from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<EntityTag>,
    /// `Last-Modified`.
    pub last_modified: Option<HttpDate>,
}

impl EntityTag {
    /// A strong entity tag; `None` if the text has characters that none may have.
    pub fn strong(opaque: &str) -> Option<Self> {
        let is_fine = opaque.bytes().all(is_etag_byte);
        is_fine.then(|| Self { is_weak: false, opaque: opaque.to_owned() })
    }

    /// Reads one entity tag with its quotes.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (tag, rest) = Self::parse_first(value.trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// Reads the entity tag at the front, and hands back what follows it.
    fn parse_first(value: &[u8]) -> Option<(Self, &[u8])> {
        // `W/` is case-sensitive, RFC 9110 section 8.8.3.
        let (is_weak, quoted) = match value.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, value),
        };
        let (opaque, rest) = cut_quote(quoted.strip_prefix(b"\"")?)?;
        let opaque = std::str::from_utf8(opaque).ok().filter(|text| text.bytes().all(is_etag_byte))?;
        Some((Self { is_weak, opaque: opaque.to_owned() }, rest))
    }

    /// Whether it may stand for byte-equal content.
    pub fn is_weak(&self) -> bool {
        self.is_weak
    }

    /// The same tag, whether weak or not (RFC 9110 section 8.8.3.2): for 304.
    pub fn matches_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The same tag and both strong: for ranges.
    pub fn matches_strongly(&self, other: &Self) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.is_weak { "W/" } else { "" }, self.opaque)
    }
}

impl Validators {
    /// Whether the client's copy is still good, so that the answer to its GET or HEAD is 304.
    ///
    /// `if_none_match` are all lines of that header. If there is one, `If-Modified-Since` does not
    /// count, even where the lines are malformed (RFC 9110 section 13.2.2).
    pub fn is_not_modified<'a>(
        &self,
        if_none_match: impl IntoIterator<Item = &'a [u8]>,
        if_modified_since: Option<&[u8]>,
    ) -> bool {
        let mut lines = if_none_match.into_iter().peekable();
        if lines.peek().is_some() {
            return lines.any(|line| self.is_listed(line));
        }
        match (if_modified_since.and_then(date), self.last_modified) {
            (Some(since), Some(last_modified)) => last_modified <= since,
            _ => false,
        }
    }

    /// Whether a `Range` still applies beside this `If-Range`: the very entity tag, strong, or the
    /// very date (RFC 9110 section 13.1.5). If not, the whole is to be sent.
    pub fn meets_if_range(&self, if_range: &[u8]) -> bool {
        match (EntityTag::parse(if_range), &self.etag) {
            (Some(asked), Some(etag)) => asked.matches_strongly(etag),
            (Some(_), None) => false,
            (None, _) => date(if_range).is_some_and(|asked| self.last_modified == Some(asked)),
        }
    }

    fn is_listed(&self, line: &[u8]) -> bool {
        let mut rest = line.trim_ascii();
        if rest == b"*" {
            return true;
        }
        let Some(etag) = &self.etag else { return false };
        // A tag may hold commas and backslashes, so this is no list of quoted strings.
        while let Some((tag, behind)) = EntityTag::parse_first(rest) {
            if tag.matches_weakly(etag) {
                return true;
            }
            rest = behind.trim_ascii_start();
            while let Some(behind) = rest.strip_prefix(b",") {
                rest = behind.trim_ascii_start();
            }
        }
        false
    }
}

/// A point in time as HTTP writes it, to the second; `None` outside the years 1970 to 9999.
pub fn http_date(time: SystemTime) -> Option<HttpDate> {
    const END: Duration = Duration::from_secs(253_402_300_800);
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since < END).then(|| HttpDate::from(time))
}

/// A date in any of the forms of RFC 9110 section 5.6.7.
fn date(value: &[u8]) -> Option<HttpDate> {
    HttpDate::from_str(std::str::from_utf8(value.trim_ascii()).ok()?).ok()
}

fn cut_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| *b == b'"')?;
    Some((&text[..end], &text[end + 1..]))
}

fn is_etag_byte(byte: u8) -> bool {
    byte != b'"' && (byte.is_ascii_graphic() || byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn validators(etag: &str) -> Validators {
        Validators { etag: EntityTag::parse(etag.as_bytes()), last_modified: date(DATE.as_bytes()) }
    }

    fn is_304(etag: &str, if_none_match: &[&str], if_modified_since: Option<&str>) -> bool {
        let lines = if_none_match.iter().map(|line| line.as_bytes());
        validators(etag).is_not_modified(lines, if_modified_since.map(str::as_bytes))
    }

    #[test]
    fn rfc9110_8_8_3_entity_tags() {
        for (text, is_weak) in
            [("\"xyzzy\"", false), ("W/\"xyzzy\"", true), ("\"\"", false), (" \"a,b\\\" ", false)]
        {
            let tag = EntityTag::parse(text.as_bytes()).expect(text);
            assert_eq!((tag.is_weak(), tag.to_string().as_str()), (is_weak, text.trim()), "{text}");
        }
        for bad in
            ["", "xyzzy", "\"a", "a\"", "w/\"a\"", "W/ \"a\"", "\"a\"b", "\"a b\"", "\"a\", \"b\"", "W/"]
        {
            assert_eq!(EntityTag::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(EntityTag::strong("abc").map(|tag| tag.to_string()).as_deref(), Some("\"abc\""));
        assert_eq!(EntityTag::strong("a\"b"), None);
    }

    #[test]
    fn rfc9110_8_8_3_2_comparison() {
        let tag = |text: &str| EntityTag::parse(text.as_bytes()).expect(text);
        let table = [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ];
        for (a, b, strongly, weakly) in table {
            assert_eq!(tag(a).matches_strongly(&tag(b)), strongly, "{a} {b}");
            assert_eq!(tag(a).matches_weakly(&tag(b)), weakly, "{a} {b}");
        }
    }

    #[test]
    fn rfc9110_13_1_2_if_none_match() {
        for good in
            ["\"1\"", "W/\"1\"", "*", "\"0\", \"1\"", "\"a,b\" ,,W/\"1\"", "\"0\" \"1\"", "\"1\", garbage"]
        {
            assert!(is_304("\"1\"", &[good], None), "{good}");
        }
        for other in ["", "\"2\"", "1", "garbage, \"1\"", "\"1", "\"*\""] {
            assert!(!is_304("\"1\"", &[other], None), "{other:?}");
        }
        assert!(is_304("W/\"1\"", &["\"0\"", "\"1\""], None), "several lines are one list");
        assert!(!is_304("\"1\"", &["\"2\""], Some(DATE)), "If-Modified-Since does not count beside it");
    }

    #[test]
    fn rfc9110_13_1_3_if_modified_since() {
        assert!(is_304("\"1\"", &[], Some(DATE)));
        assert!(is_304("\"1\"", &[], Some(LATER)));
        assert!(is_304("\"1\"", &[], Some("Sunday, 06-Nov-94 08:49:37 GMT")), "the older forms");
        assert!(!is_304("\"1\"", &[], Some(EARLIER)));
        assert!(!is_304("\"1\"", &[], Some("yesterday")));
        assert!(!is_304("\"1\"", &[], None));
    }

    #[test]
    fn rfc9110_13_1_5_if_range() {
        let meets = |etag: &str, if_range: &str| validators(etag).meets_if_range(if_range.as_bytes());
        assert!(meets("\"1\"", "\"1\""));
        assert!(meets("\"1\"", DATE));
        for (etag, if_range) in [
            ("\"1\"", "\"2\""),
            ("\"1\"", "W/\"1\""),
            ("W/\"1\"", "W/\"1\""),
            ("\"1\"", LATER),
            ("\"1\"", EARLIER),
            ("\"1\"", ""),
        ] {
            assert!(!meets(etag, if_range), "{etag} {if_range}");
        }
        assert!(!Validators::default().meets_if_range(b"\"1\""), "nothing is known of the representation");
    }

    #[test]
    fn dates_outside_http_are_none() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(http_date(epoch - Duration::from_secs(1)), None);
        assert_eq!(http_date(epoch + Duration::from_secs(253_402_300_800)), None);
        let shown = http_date(epoch + Duration::from_millis(784_111_777_999)).map(|date| date.to_string());
        assert_eq!(shown.as_deref(), Some(DATE), "to the second");
    }

    proptest! {
        #[test]
        fn random_bytes_do_no_harm(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let known = validators("\"1\"");
            known.is_not_modified([&value[..]], None);
            known.is_not_modified([], Some(&value));
            known.meets_if_range(&value);
        }
    }
}
