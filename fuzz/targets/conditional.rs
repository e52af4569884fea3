//! `If-None-Match`, `If-Modified-Since` and `If-Range`.
#![no_main]

use kinora::headers::conditional::EntityTag;
use kinora::headers::conditional::Validators;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let known = Validators { etag: EntityTag::strong("1"), last_modified: None };
    known.is_not_modified(value.split(|b| *b == b'\n'), None);
    known.is_not_modified([], Some(value));
    known.meets_if_range(value);
    if let Some(tag) = EntityTag::parse(value) {
        let text = tag.to_string();
        assert_eq!(EntityTag::parse(text.as_bytes()).as_ref(), Some(&tag), "{text}");
        let own = Validators { etag: Some(tag), last_modified: None };
        assert!(own.is_not_modified([text.as_bytes()], None), "{text}");
    }
});
