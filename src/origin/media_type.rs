//! The media type of an object.

use crate::origin::{ObjectInfo, ObjectKey};

/// Types that buckets give to whatever they do not know.
const MEANINGLESS: [&str; 3] =
    ["application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"];

/// Types of media files that the general table does not know or takes for something else.
const MEDIA: [(&str, &str); 8] = [
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ts", "video/mp2t"),
    ("m4s", "video/iso.segment"),
    ("mp4", "video/mp4"),
    ("vtt", "text/vtt"),
    ("avif", "image/avif"),
    ("webp", "image/webp"),
    ("aac", "audio/aac"),
];

/// The type that the origin gave, if it means anything, else that of the key's ending.
pub fn media_type(key: &ObjectKey, info: &ObjectInfo) -> String {
    let given =
        info.content_type.as_deref().filter(|given| !given.is_empty() && !MEANINGLESS.contains(given));
    if let Some(given) = given {
        return given.to_owned();
    }
    let extension = key.extension().unwrap_or_default();
    if let Some((_, media_type)) = MEDIA.iter().find(|(known, _)| *known == extension) {
        return (*media_type).to_owned();
    }
    mime_guess::from_ext(&extension).first_raw().unwrap_or("application/octet-stream").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_leads_where_it_says_something() {
        let of = |key: &str, given: Option<&str>| {
            let info = ObjectInfo { content_type: given.map(str::to_owned), ..ObjectInfo::default() };
            media_type(&ObjectKey::new(key).expect("valid"), &info)
        };
        assert_eq!(of("a.jpg", None), "image/jpeg");
        assert_eq!(of("a.jpg", Some("image/x-own")), "image/x-own");
        assert_eq!(of("a.ts", Some("binary/octet-stream")), "video/mp2t", "no TypeScript in a media bucket");
        assert_eq!(of("a.m3u8", None), "application/vnd.apple.mpegurl");
        assert_eq!(of("a", None), "application/octet-stream");
    }
}
