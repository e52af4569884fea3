//! Request targets: whatever is accepted has one canonical path, which reads back.
#![no_main]

use kinora::headers::FormatClass;
use kinora::request::MediaRequest;
use kinora::request::Rules;
use kinora::request::Variant;
use kinora::request::split_target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &str| {
    let rules = Rules::within(2048, 1536);
    let Ok(request) = MediaRequest::parse(&split_target(target), &rules) else { return };
    let Some(key) = request.source.object() else { return };
    for class in [FormatClass::Avif, FormatClass::Webp, FormatClass::JpegOrPng] {
        let variant = request.negotiate(key, class);
        let path = variant.to_path();
        assert_eq!(Variant::parse(&path), Ok(variant), "{path}");
    }
});
