//! `Accept`, RFC 9110 section 12.5.1, read down to the few classes of formats that are negotiated.
//!
//! However many spellings clients send, a cache sees at most three variants. A quality value only
//! says whether a format is acceptable; which of the acceptable ones is sent is our preference.

use crate::headers::list::cut;
use crate::headers::list::elements;

/// What a client takes: AVIF, else WebP, else the formats that everything shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatClass {
    /// AVIF, named by the client.
    Avif,
    /// WebP, named by the client, and no AVIF.
    Webp,
    /// JPEG or PNG, as the source is.
    JpegOrPng,
}

/// The client accepts nothing that we negotiate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of the image formats offered is acceptable")]
pub struct NotAcceptable;

/// The media ranges that matter, in the order of [`Named`].
const RANGES: [&[u8]; 6] = [b"image/avif", b"image/webp", b"image/jpeg", b"image/png", b"image/*", b"*/*"];

/// Whether each of [`RANGES`] is accepted; `None` where it was not named.
type Named = [Option<bool>; RANGES.len()];

impl FormatClass {
    /// The class of a client by its `Accept` lines, several counting as one list.
    ///
    /// AVIF and WebP have to be named with a quality above 0; `*/*` and `image/*` allow JPEG and PNG
    /// only, because clients send them that cannot show anything newer. A header that asks for nothing
    /// (none, empty, unreadable, or only refusals of other formats) allows JPEG and PNG. An element
    /// with a malformed quality is ignored; a refusal (`q=0`) beats a repetition; parameters other
    /// than `q` are skipped.
    ///
    /// # Errors
    /// [`NotAcceptable`] if something was named, but nothing of ours.
    pub fn negotiate<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, NotAcceptable> {
        let mut named = Named::default();
        let mut is_selective = false;
        for element in lines.into_iter().flat_map(|line| elements(line, b',')) {
            let Some((range, is_accepted)) = media_range(element) else { continue };
            is_selective |= is_accepted;
            if let Some(index) = RANGES.iter().position(|known| known.eq_ignore_ascii_case(range)) {
                named[index] = Some(is_accepted && named[index] != Some(false));
            }
        }
        let [avif, webp, jpeg, png, any_image, anything] = named;
        // The most specific range that matches decides.
        let is_plain = |exact: Option<bool>| exact.or(any_image).or(anything).unwrap_or(!is_selective);
        match (avif, webp) {
            (Some(true), _) => Ok(Self::Avif),
            (_, Some(true)) => Ok(Self::Webp),
            _ if is_plain(jpeg) || is_plain(png) => Ok(Self::JpegOrPng),
            _ => Err(NotAcceptable),
        }
    }
}

/// A media range and whether its quality is above 0; `None` if the element is malformed.
fn media_range(element: &[u8]) -> Option<(&[u8], bool)> {
    let mut parts = elements(element, b';');
    let range = parts.next()?;
    let (kind, subtype) = cut(range, b'/')?;
    let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic() && *b != b'"');
    let is_range = is_token(kind) && is_token(subtype) && kind.len() + subtype.len() + 1 == range.len();
    let quality = parts.filter_map(|part| cut(part, b'=')).find(|(name, _)| name.eq_ignore_ascii_case(b"q"));
    let is_accepted = quality.map_or(Some(true), |(_, value)| is_above_zero(value))?;
    is_range.then_some((range, is_accepted))
}

/// Reads a quality value, RFC 9110 section 12.4.2: `0` or `1` with at most three decimals, at most 1.
fn is_above_zero(value: &[u8]) -> Option<bool> {
    let (integer, decimals) = cut(value, b'.').unwrap_or((value, b""));
    let is_short = decimals.len() <= 3 && decimals.iter().all(u8::is_ascii_digit);
    let is_zero = decimals.iter().all(|b| *b == b'0');
    match integer {
        b"0" if is_short => Some(!is_zero),
        b"1" if is_short && is_zero => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(accept: &str) -> Result<FormatClass, NotAcceptable> {
        FormatClass::negotiate([accept.as_bytes()])
    }

    #[test]
    fn real_clients_get_what_they_show() {
        use FormatClass::{Avif, JpegOrPng, Webp};
        let clients = [
            ("Chrome <img>", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", Avif),
            (
                "Chrome page",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
                 application/signed-exchange;v=b3;q=0.7",
                Avif,
            ),
            ("Firefox <img>", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", Avif),
            ("Firefox 65", "image/webp,*/*", Webp),
            (
                "Safari 16",
                "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,\
                 image/svg+xml,image/*;q=0.8,*/*;q=0.5",
                Avif,
            ),
            ("Safari 14", "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", Webp),
            ("Safari 13", "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", JpegOrPng),
            ("curl", "*/*", JpegOrPng),
            ("Googlebot-Image", "image/webp,image/apng,image/*,*/*;q=0.8", Webp),
            ("old crawler", "image/gif, image/x-bitmap, image/jpeg, image/pjpeg", JpegOrPng),
        ];
        for (client, accept, expected) in clients {
            assert_eq!(class(accept), Ok(expected), "{client}");
        }
        assert_eq!(FormatClass::negotiate([]), Ok(JpegOrPng), "no header");
        assert_eq!(
            FormatClass::negotiate([&b"image/webp"[..], b"image/avif;q=0.1"]),
            Ok(Avif),
            "several lines are one list"
        );
    }

    #[test]
    fn quality_values_decide_what_is_acceptable() {
        use FormatClass::{Avif, JpegOrPng, Webp};
        let cases = [
            ("image/avif;q=0", Ok(JpegOrPng)),
            ("image/avif;q=0, */*", Ok(JpegOrPng)),
            ("image/avif;q=0.000,image/webp;q=0.001", Ok(Webp)),
            ("image/avif;q=0,image/avif,image/avif;q=1", Err(NotAcceptable)),
            ("image/avif;q=0,image/avif,image/png", Ok(JpegOrPng)),
            ("image/avif;q=2, image/webp;q=0.1234, image/*;q=, */*;q=.5", Ok(JpegOrPng)),
            ("image/jpeg;q=0, image/*", Ok(JpegOrPng)),
            ("image/jpeg;q=0, image/png;q=0, image/*, */*", Err(NotAcceptable)),
            ("image/*;q=0, */*", Err(NotAcceptable)),
            ("*/*;q=0", Err(NotAcceptable)),
            ("*/*;q=0.", Err(NotAcceptable)),
            ("text/html", Err(NotAcceptable)),
            ("image/gif", Err(NotAcceptable)),
            ("image/avifx, image/jpeg", Ok(JpegOrPng)),
            ("x-image/avif, image/jpeg", Ok(JpegOrPng)),
            ("IMAGE/AVIF ; Q=1.000", Ok(Avif)),
            ("image/avif;profile=\"a,b;q=0\";q=0.3", Ok(Avif)),
            ("image/avif;level=1", Ok(Avif)),
        ];
        for (accept, expected) in cases {
            assert_eq!(class(accept), expected, "{accept}");
        }
    }

    #[test]
    fn garbage_is_no_wish() {
        for garbage in ["", " ", ",;,", "image", "/", "image/", "/avif", "\"image/avif\"", "image / avif"] {
            assert_eq!(class(garbage), Ok(FormatClass::JpegOrPng), "{garbage:?}");
        }
        for garbage in ["image/avif\"".repeat(900), ",;=\\\"".repeat(2000), "\u{ff}".repeat(5000)] {
            assert_eq!(class(&garbage), Ok(FormatClass::JpegOrPng), "10 kB of garbage");
        }
    }
}
