//! Dictionaries of structured fields, RFC 9651 section 3.2: read strictly, since a field that is not
//! valid as a whole counts as absent.
//!
//! Only what a dictionary of cache directives needs is handed out: values that are no boolean, integer
//! or string are checked and otherwise skipped, and so are parameters.

/// The value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `?1`, `?0`, or a key alone, which is true.
    Boolean(bool),
    /// At most 15 digits.
    Integer(i64),
    /// Without its quotes and escapes.
    String(String),
    /// Valid, and of another type: decimal, token, bytes, date, display string, inner list.
    Other,
}

/// The members of the dictionary that all lines of a field are; of a key that is given several times, the
/// last value counts. `None` if a byte is out of place.
pub(super) fn dictionary<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<(String, Item)>> {
    let text = lines.into_iter().collect::<Vec<_>>().join(&b", "[..]);
    let mut rest = Rest(&text);
    rest.skip(b" ");
    let mut members: Vec<(String, Item)> = Vec::new();
    while !rest.0.is_empty() {
        let key = rest.key()?;
        let value = if rest.takes(b'=') { rest.member()? } else { Item::Boolean(true) };
        rest.parameters()?;
        members.retain(|(known, _)| *known != key);
        members.push((key, value));
        rest.skip(b" \t");
        if rest.takes(b',') {
            rest.skip(b" \t");
            // Nothing may end with a comma.
            rest.0.first()?;
        } else if !rest.0.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// What is not read yet. Every reader gives `None` for what has no place where it stands.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, bytes: &[u8]) {
        self.take_while(|byte| bytes.contains(&byte));
    }

    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_part(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn takes(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn key(&mut self) -> Option<String> {
        let first = self.0.first()?;
        let is_part = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*')
        };
        (first.is_ascii_lowercase() || *first == b'*').then_some(())?;
        text(self.take_while(is_part))
    }

    fn member(&mut self) -> Option<Item> {
        if !self.takes(b'(') {
            return self.item();
        }
        loop {
            self.skip(b" ");
            if self.takes(b')') {
                return Some(Item::Other);
            }
            self.item()?;
            self.parameters()?;
            matches!(self.0.first(), Some(b' ' | b')')).then_some(())?;
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.takes(b';') {
            self.skip(b" ");
            self.key()?;
            if self.takes(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    fn item(&mut self) -> Option<Item> {
        match self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.bytes(),
            b'@' => {
                self.next();
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => self.display_string(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(|byte| is_token_byte(byte) || matches!(byte, b':' | b'/'));
                Some(Item::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item> {
        let sign = if self.takes(b'-') { -1 } else { 1 };
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if self.takes(b'.') {
            let part = self.take_while(|byte| byte.is_ascii_digit());
            let is_fine = (1..=12).contains(&whole.len()) && (1..=3).contains(&part.len());
            return is_fine.then_some(Item::Other);
        }
        let is_fine = (1..=15).contains(&whole.len());
        let number = is_fine.then(|| text(whole)?.parse::<i64>().ok())??;
        Some(Item::Integer(sign * number))
    }

    fn string(&mut self) -> Option<Item> {
        self.takes(b'"').then_some(())?;
        let mut string = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(Item::String(string)),
                b'\\' => {
                    let escaped = self.next().filter(|byte| matches!(byte, b'"' | b'\\'))?;
                    string.push(char::from(escaped));
                }
                byte @ b' '..=b'~' => string.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    fn boolean(&mut self) -> Option<Item> {
        self.takes(b'?').then_some(())?;
        match self.next()? {
            b'0' => Some(Item::Boolean(false)),
            b'1' => Some(Item::Boolean(true)),
            _ => None,
        }
    }

    /// Padding may be missing, RFC 9651 section 4.2.7.
    fn bytes(&mut self) -> Option<Item> {
        self.takes(b':').then_some(())?;
        let coded =
            self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        let bare = coded.iter().position(|byte| *byte == b'=').unwrap_or(coded.len());
        let is_padding = coded[bare..].iter().all(|byte| *byte == b'=') && coded.len() - bare <= 2;
        (is_padding && bare % 4 != 1 && self.takes(b':')).then_some(Item::Other)
    }

    fn display_string(&mut self) -> Option<Item> {
        (self.takes(b'%') && self.takes(b'"')).then_some(())?;
        let mut decoded = Vec::new();
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&decoded).ok().map(|_| Item::Other),
                b'%' => decoded.push(self.hex_digit()? << 4 | self.hex_digit()?),
                byte @ b' '..=b'~' => decoded.push(byte),
                _ => return None,
            }
        }
    }

    fn hex_digit(&mut self) -> Option<u8> {
        match self.next()? {
            digit @ b'0'..=b'9' => Some(digit - b'0'),
            letter @ b'a'..=b'f' => Some(letter - b'a' + 10),
            _ => None,
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn text(ascii: &[u8]) -> Option<String> {
    std::str::from_utf8(ascii).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Option<Vec<(String, Item)>> {
        dictionary([value.as_bytes()])
    }

    fn one(value: &str) -> Option<Item> {
        let (_, item) = read(value)?.pop()?;
        Some(item)
    }

    #[test]
    fn rfc9651_3_3_items() {
        for (value, item) in [
            ("a", Item::Boolean(true)),
            ("a=?0", Item::Boolean(false)),
            ("a=?1;x=y;z", Item::Boolean(true)),
            ("*a._-*9=1", Item::Integer(1)),
            ("a=-0", Item::Integer(0)),
            ("a=-999999999999999", Item::Integer(-999_999_999_999_999)),
            ("a=007", Item::Integer(7)),
            (r#"a="x \"y\" \\ z""#, Item::String(r#"x "y" \ z"#.to_owned())),
            ("a=\"\"", Item::String(String::new())),
        ] {
            assert_eq!(one(value), Some(item), "{value}");
        }
        for other in [
            "a=1.5",
            "a=-123456789012.125",
            "a=tok/en:*",
            "a=*",
            "a=:aGk=:",
            "a=:aGk:",
            "a=::",
            "a=@-1659578233",
            "a=%\"f%c3%bc\"",
            "a=()",
            "a=( 1 \"b\";q=1   c )",
        ] {
            assert_eq!(one(other), Some(Item::Other), "{other}");
        }
    }

    #[test]
    fn rfc9651_3_2_members() {
        let members = |value| {
            read(value).map(|read| read.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(members("").as_deref(), Some(""));
        assert_eq!(members("   ").as_deref(), Some(""));
        assert_eq!(members("  a,\tb \t,c=1  ").as_deref(), Some("a b c"));
        assert_eq!(
            read("a=1, b, a=2").and_then(|mut all| all.pop()),
            Some(("a".to_owned(), Item::Integer(2)))
        );
        let lines = dictionary([&b"a=1"[..], b"b=2"]).expect("one dictionary of two lines");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn rfc9651_4_2_what_is_out_of_place_spoils_all_of_it() {
        for value in [
            "a,",
            ",a",
            "a,,b",
            "A",
            "a=",
            "a =1",
            "a= 1",
            "a b",
            "1",
            "\ta",
            "=1",
            "a=1;",
            "a=1;B",
            "a; b=",
            "a=1234567890123456",
            "a=1.",
            "a=.5",
            "a=1.2345",
            "a=1234567890123.1",
            "a=-",
            "a=--1",
            "a=+1",
            "a=\"x",
            "a=\"x\\y\"",
            "a=\"\u{e4}\"",
            "a=\"x\ty\"",
            "a=?2",
            "a=?",
            "a=:a:",
            "a=:aGk",
            "a=:a=b=:",
            "a=@1.5",
            "a=@",
            "a=%x",
            "a=%\"%FF\"",
            "a=%\"%c3\"",
            "a=(1",
            "a=(1,2)",
            "a=(1\"b\")",
            "a=((1))",
            "a=&",
            "a=1 ;b",
            "a=[1]",
            "a='x'",
            "a=1\u{0}",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
        assert_eq!(dictionary([&b"a"[..], b""]), None, "an empty line leaves a comma that nothing follows");
    }

    proptest! {
        #[test]
        fn random_text_does_no_harm(value in "[a-c*=\"\\\\?@%:(); ,.0-9-]{0,40}") {
            if let Some(members) = read(&value) {
                for (key, _) in members {
                    prop_assert!(!key.is_empty());
                }
            }
        }

        #[test]
        fn random_bytes_do_no_harm(value in prop::collection::vec(any::<u8>(), 0..200)) {
            dictionary([&value[..]]);
        }
    }
}
