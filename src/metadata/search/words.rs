//! Text as words that can be found whatever the case and the accents: the same for both databases.

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// Longer words are cut, where they are written and where they are looked for.
const MAX_WORD_CHARS: usize = 64;

/// The words of a text: runs of letters and digits, decomposed, without accents, in lower case. Signs of Chinese and
/// Japanese are words each, as no space parts theirs.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for sign in text.nfkd().filter(|sign| canonical_combining_class(*sign) == 0) {
        let is_ideograph = is_ideograph(sign);
        if (is_ideograph || !sign.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if is_ideograph {
            words.push(sign.to_string());
        } else if sign.is_alphanumeric() && word.chars().count() < MAX_WORD_CHARS {
            word.extend(sign.to_lowercase().filter(|sign| sign.is_alphanumeric()));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn is_ideograph(sign: char) -> bool {
    let ranges = ['\u{3040}'..='\u{30ff}', '\u{3400}'..='\u{9fff}', '\u{20000}'..='\u{3ffff}'];
    sign.is_alphanumeric() && ranges.iter().any(|range| range.contains(&sign))
}

/// Every text in a value.
pub(super) fn texts<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
        Value::Object(members) => members.values().for_each(|member| texts(member, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_accents_and_punctuation_do_not_matter() {
        for (text, expected) in [
            ("Zürich_Sunset-2024.JPG", "zurich sunset 2024 jpg"),
            ("Z\u{75}\u{308}rich", "zurich"),
            ("ÉCOLE  œuvre Straße", "ecole œuvre straße"),
            ("ﬁne ½", "fine 1 2"),
            ("北京 sunset日落", "北 京 sunset 日 落"),
            ("İstanbul", "istanbul"),
            ("  '\" & | ! * : ( ) \0", ""),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn words_are_words_again(text in "\\PC{0,60}") {
            let once = words(&text);
            prop_assert!(once.iter().all(|word| !word.is_empty() && word.chars().all(char::is_alphanumeric)));
            prop_assert_eq!(words(&once.join(" ")), once);
        }
    }
}
