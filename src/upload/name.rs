//! The name of a file that somebody hands over.

use crate::upload::Error;

/// What common file systems take.
const MOST_BYTES: usize = 255;

/// The most that an object's key has of it.
const MOST_KEY_BYTES: usize = 100;

/// Lets a name pass that is one: not a path, not empty, nothing that a terminal or a log would obey.
pub fn check(name: &str) -> Result<(), Error> {
    // They turn the direction of what follows, and so hide a file's true ending.
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let rule = if name.trim().is_empty() {
        "a file needs a name"
    } else if name.len() > MOST_BYTES {
        "a file's name has at most 255 bytes"
    } else if name.contains(['/', '\\']) || matches!(name, "." | "..") {
        "a file's name is no path"
    } else if name.chars().any(|c| c.is_control() || turns(c)) {
        "a file's name has no control characters"
    } else {
        return Ok(());
    };
    Err(Error::BadName(rule))
}

/// What an object's key has of the name: plain ASCII, for every bucket and every URL, with its ending.
pub(super) fn for_key(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let name: String = name.trim_start_matches(['.', ' ']).chars().map(plain).collect();
    if name.is_empty() {
        return "file".to_owned();
    }
    let ending = name.rfind('.').map_or("", |dot| &name[dot..]);
    let ending = if ending.len() <= 16 { ending } else { "" };
    let stem = &name[..name.len() - ending.len()];
    format!("{}{ending}", &stem[..stem.len().min(MOST_KEY_BYTES - ending.len())])
}

#[cfg(test)]
mod tests {
    use crate::origin::ObjectKey;

    use super::*;

    #[test]
    fn only_names_pass() {
        for name in ["a.jpg", "Zürich am See.jpg", "日本.png", "...x", "a:b", "50%.gif", &"x".repeat(255)]
        {
            assert!(check(name).is_ok(), "{name:?}");
        }
        for name in [
            "",
            " ",
            ".",
            "..",
            "a/b",
            "/a",
            "C:\\a.jpg",
            "a\nb",
            "a\0",
            "a\u{85}b",
            "gpj\u{202e}.exe",
            &"x".repeat(256),
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_key_is_plain_and_keeps_the_ending() {
        let long = format!("{}.jpeg", "x".repeat(250));
        for (name, expected) in [
            ("a.jpg", "a.jpg"),
            ("my cat?.jpg", "my_cat_.jpg"),
            (".htaccess", "htaccess"),
            ("...", "file"),
            ("日本.png", "__.png"),
            ("a.b.c", "a.b.c"),
            ("a%2e", "a_2e"),
            (&long, &format!("{}.jpeg", "x".repeat(95))),
        ] {
            assert_eq!(for_key(name), expected, "{name:?}");
            assert!(ObjectKey::new(for_key(name)).is_ok(), "{name:?}");
        }
    }
}
