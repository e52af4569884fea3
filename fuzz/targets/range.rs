//! `Range`: parts lie within the body, ascend and are disjoint.
#![no_main]

use kinora::headers::range::Parts;
use kinora::headers::range::Range;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (length, value) = input;
    let Some(range) = Range::parse(value) else { return };
    let is_inside = |first: u64, last: u64| first <= last && last < length;
    match range.of(length) {
        Ok(Parts::Whole) => assert_eq!(length, 0),
        Ok(Parts::One(part)) => assert!(is_inside(part.first, part.last)),
        Ok(Parts::Two(a, b)) => {
            assert!(is_inside(a.first, a.last) && is_inside(b.first, b.last) && a.last < b.first)
        }
        Err(refusal) => assert_eq!(refusal.length, length),
    }
});
