//! `Content-Disposition`, RFC 6266 with the file names of RFC 8187.

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

/// Everything but the `attr-char` of RFC 8187 section 3.2.1.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The longest name, in characters, that common file systems take in any encoding.
const LONGEST: usize = 80;

/// The value that shows a body in place.
pub const INLINE: &str = "inline";

/// The value that lets a browser save a body under this name.
///
/// The name is made harmless first: no directories, no control characters, no characters that turn
/// the direction of text (they hide a file's true ending), no leading dots. A name in plain ASCII is
/// written once; any other also in UTF-8, behind a look-alike for old clients.
pub fn attachment(filename: &str) -> String {
    let name = harmless(filename);
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%');
    let ascii: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if ascii == name {
        return format!("attachment; filename=\"{name}\"");
    }
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(&name, ENCODED))
}

fn harmless(filename: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let visible = filename.chars().filter(|c| !is_hidden(*c));
    let flat: String = visible
        .map(|c| if matches!(c, '/' | '\\' | ':' | '*' | '?' | '<' | '>' | '|') { '_' } else { c })
        .collect();
    let name = flat.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    if name.is_empty() { String::from("download") } else { shortened(name) }
}

/// Cuts the stem, so that the ending stays.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST {
        return name.to_owned();
    }
    let ending = name.rfind('.').map_or("", |dot| &name[dot..]);
    let ending = if ending.chars().count() <= 16 { ending } else { "" };
    name.chars().take(LONGEST - ending.chars().count()).chain(ending.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_readable() {
        let cases = [
            ("cat.jpg", "attachment; filename=\"cat.jpg\""),
            ("my cat.jpg", "attachment; filename=\"my cat.jpg\""),
            ("Z\u{fc}rich.jpg", "attachment; filename=\"Z_rich.jpg\"; filename*=UTF-8''Z%C3%BCrich.jpg"),
            ("50%.jpg", "attachment; filename=\"50_.jpg\"; filename*=UTF-8''50%25.jpg"),
            ("a\"b.jpg", "attachment; filename=\"a_b.jpg\"; filename*=UTF-8''a%22b.jpg"),
            ("a\r\nSet-Cookie: x", "attachment; filename=\"aSet-Cookie_ x\""),
            ("../../etc/passwd", "attachment; filename=\"_.._etc_passwd\""),
            ("..\\x.exe", "attachment; filename=\"_x.exe\""),
            ("photo\u{202e}gpj.exe", "attachment; filename=\"photogpj.exe\""),
            (".htaccess", "attachment; filename=\"htaccess\""),
            ("", "attachment; filename=\"download\""),
            ("...", "attachment; filename=\"download\""),
        ];
        for (name, expected) in cases {
            assert_eq!(attachment(name), expected, "{name:?}");
        }
    }

    #[test]
    fn long_names_keep_their_ending() {
        let value = attachment(&format!("{}.jpeg", "x".repeat(250)));
        assert_eq!(value, format!("attachment; filename=\"{}.jpeg\"", "x".repeat(75)));
    }
}
