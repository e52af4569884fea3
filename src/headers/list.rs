//! Lists in header values, RFC 9110 sections 5.6.1 (lists) and 5.6.4 (quoted strings).

/// The elements between `separator`, which does not count within a quoted string; without the white
/// space around them, empty ones left out. Works in one pass, whatever the bytes.
pub(super) fn elements(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_separator = move |byte: &u8| {
        let is_plain = !std::mem::take(&mut is_escaped);
        match byte {
            b'"' if is_plain => is_quoted = !is_quoted,
            b'\\' if is_plain && is_quoted => is_escaped = true,
            _ => {}
        }
        !is_quoted && *byte == separator
    };
    value.split(is_separator).map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Splits at the first `byte`; white space at the cut is dropped.
pub(super) fn cut(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == byte)?;
    Some((text[..at].trim_ascii_end(), text[at + 1..].trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_within_quotes_do_not_count() {
        let split = |value: &'static str| elements(value.as_bytes(), b',').collect::<Vec<_>>();
        assert_eq!(split(" a , b,,c "), [b"a", b"b", b"c"]);
        assert_eq!(split(r#"a="x,y", b"#), [&br#"a="x,y""#[..], b"b"]);
        assert_eq!(split(r#"a="x\",y", b"#), [&br#"a="x\",y""#[..], b"b"]);
        assert_eq!(split(r#"a="x,y"#), [&br#"a="x,y"#[..]], "an open quote lasts to the end");
        assert!(split(" ,, ,").is_empty());
    }
}
