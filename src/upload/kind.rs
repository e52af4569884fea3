//! What a file is: by its first bytes, and by what it is said to be.

use crate::transform;
use crate::upload::Error;

/// So many first bytes tell what a file is.
pub(super) const HEAD_BYTES: usize = 16 * 1024;

/// Types whose content is of a type of its own; their name knows better.
const CONTAINERS: [&str; 5] = [
    "application/zip",
    "application/x-ole-storage",
    "application/gzip",
    "text/xml",
    "application/octet-stream",
];

const UNKNOWN: &str = "application/octet-stream";

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// By its bytes, where they tell.
    pub(super) content_type: String,
    /// Whether it is a picture that we read.
    pub(super) is_picture: bool,
}

/// Compares what the first bytes say with what was declared, or else with the name's ending. `whole`
/// says that the head is all there is.
pub(super) fn kind(name: &str, declared: Option<&str>, head: &[u8], whole: bool) -> Result<Kind, Error> {
    let is_picture = !matches!(transform::probe(head, whole), Err(transform::Error::UnsupportedFormat));
    let found = found(head);
    let says_something = |claimed: &String| claimed != UNKNOWN;
    let claimed = declared.and_then(essence).filter(says_something);
    let claimed = claimed.or_else(|| by_ending(name).filter(says_something));
    let lies = |found: &str| Error::TypeMismatch {
        claimed: claimed.clone().unwrap_or_default(),
        found: found.to_owned(),
    };
    let content_type = match (found, &claimed) {
        (Some(found), Some(claimed)) if CONTAINERS.contains(&found) && class(claimed) == Class::Other => {
            claimed.clone()
        }
        (Some(found), Some(claimed)) if !agree(claimed, found) => return Err(lies(found)),
        (Some(found), _) => found.to_owned(),
        // Bytes of this type would have been recognised.
        (None, Some(claimed)) if infer::is_mime_supported(claimed) && class(claimed) != Class::Other => {
            return Err(lies("something else"));
        }
        (None, Some(claimed)) => claimed.clone(),
        (None, None) if is_text(head) => "text/plain".to_owned(),
        (None, None) => UNKNOWN.to_owned(),
    };
    Ok(Kind { content_type, is_picture })
}

/// What must not pass for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Image,
    Motion,
    Pdf,
    Other,
}

fn class(content_type: &str) -> Class {
    match content_type.split_once('/') {
        Some(("image", _)) => Class::Image,
        Some(("video" | "audio", _)) => Class::Motion,
        // Both names stand for sound and pictures that move.
        _ if matches!(content_type, "application/ogg" | "application/vnd.apple.mpegurl") => Class::Motion,
        _ if content_type == "application/pdf" => Class::Pdf,
        _ => Class::Other,
    }
}

/// Whoever claims no more than to be a document of some kind may be anything.
fn agree(claimed: &str, found: &str) -> bool {
    class(claimed) == Class::Other || class(claimed) == class(found)
}

/// By the bytes alone.
fn found(head: &[u8]) -> Option<&'static str> {
    let text = head.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let is_markup = text.starts_with(b"<");
    if is_markup && contains(text, b"<svg") && !contains(text, b"<html") {
        return Some("image/svg+xml");
    }
    infer::get(head).map(|kind| kind.mime_type())
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
}

/// `Image/PNG; x=y` is `image/png`; what is no type is nothing.
fn essence(declared: &str) -> Option<String> {
    let essence = declared.split(';').next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    let is_token = |text: &str| {
        (1..=100).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    (is_token(kind) && is_token(subtype)).then_some(essence.clone())
}

fn by_ending(name: &str) -> Option<String> {
    mime_guess::from_path(name).first_raw().map(str::to_owned)
}

fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The head may end within a character.
        Err(error) => error.error_len().is_none(),
    };
    valid && !head.is_empty() && !head.contains(&0)
}

/// Whether a type is among those that are taken: `*`, `image/*` or `image/png`.
pub(super) fn is_taken(content_type: &str, taken: &[String]) -> bool {
    taken.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => content_type.starts_with(beginning),
        None => content_type == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01";
    const HTML: &[u8] = b"<!DOCTYPE html><html><script>";
    const SVG: &[u8] = b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">";
    const PDF: &[u8] = b"%PDF-1.7\n";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0";
    const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";

    fn of(name: &str, declared: Option<&str>, head: &[u8]) -> Option<String> {
        kind(name, declared, head, true).ok().map(|kind| kind.content_type)
    }

    #[test]
    fn bytes_lead_and_lies_are_refused() {
        for (name, declared, head, expected) in [
            ("a.png", Some("image/png"), PNG, Some("image/png")),
            ("a", None, PNG, Some("image/png")),
            ("a.png", Some("image/png"), JPEG, Some("image/jpeg")),
            ("a.bin", Some("application/octet-stream"), JPEG, Some("image/jpeg")),
            ("a.jpg", None, HTML, None),
            ("a", Some("IMAGE/JPEG; q=1"), HTML, None),
            ("a.jpg", Some("text/html"), HTML, Some("text/html")),
            ("a.html", None, PNG, Some("image/png")),
            ("a.mp4", None, PNG, None),
            ("a.pdf", None, HTML, None),
            ("a.pdf", None, PDF, Some("application/pdf")),
            ("a.jpg", None, b"no picture at all", None),
            ("a.mp4", None, MP4, Some("video/mp4")),
            ("a.m4a", Some("audio/mp4"), MP4, Some("video/mp4")),
            ("a.svg", None, SVG, Some("image/svg+xml")),
            ("a.png", Some("image/png"), SVG, Some("image/svg+xml")),
            (
                "a.docx",
                None,
                ZIP,
                Some("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            ),
            ("a.jpg", None, ZIP, None),
            ("a.csv", None, b"a,b\n1,2\n", Some("text/csv")),
            ("a", None, b"plain words", Some("text/plain")),
            ("a", None, b"\0\x01\x02", Some(UNKNOWN)),
            ("a", Some("not a type"), b"\0\x01\x02", Some(UNKNOWN)),
            ("a", Some("a/b\"c"), b"\0\x01\x02", Some(UNKNOWN)),
        ] {
            assert_eq!(of(name, declared, head).as_deref(), expected, "{name} {declared:?}");
        }
    }

    #[test]
    fn only_what_is_listed_is_taken() {
        let taken = |list: &[&str]| {
            let list: Vec<_> = list.iter().map(|pattern| (*pattern).to_owned()).collect();
            is_taken("image/png", &list)
        };
        assert!(taken(&["*"]) && taken(&["image/*"]) && taken(&["video/*", "image/png"]));
        assert!(!taken(&[]) && !taken(&["image/jpeg"]) && !taken(&["video/*"]));
    }
}
