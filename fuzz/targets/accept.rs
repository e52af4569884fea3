//! `Accept`: any bytes end in one of three classes or a refusal, and a refused format is not chosen.
#![no_main]

use kinora::headers::FormatClass;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let _ = FormatClass::negotiate(value.split(|b| *b == b'\n'));
    let refusal = &b"image/avif;q=0, image/webp;q=0"[..];
    let refused = FormatClass::negotiate([refusal, value]);
    assert!(!matches!(refused, Ok(FormatClass::Avif | FormatClass::Webp)), "{refused:?}");
});
