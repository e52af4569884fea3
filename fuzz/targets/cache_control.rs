//! `Cache-Control` and `CDN-Cache-Control`: what is read is written in a form that reads the same.
#![no_main]

use kinora::headers::cache_control::Directives;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let read = Directives::parse(value.split(|b| *b == b'\n'));
    assert_eq!(Directives::parse([read.to_string().as_bytes()]), read);
    if let Some(read) = Directives::parse_targeted(value.split(|b| *b == b'\n')) {
        assert_eq!(Directives::parse([read.to_string().as_bytes()]), read);
    }
});
