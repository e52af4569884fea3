//! The head of a stored object: whatever is accepted is what would be written, and fits its file; a head
//! that was written and then damaged is refused, unless it still says the same.
#![no_main]

use bytes::Bytes;
use kinora::cache::{Key, ObjectHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8], &[u8], Vec<(u16, u8)>)| {
    let (file_bytes, front, meta, damage) = input;
    if let Ok(head) = ObjectHead::decode(front, file_bytes) {
        assert!(ObjectHead::needs(front, file_bytes).is_ok_and(|needed| needed <= front.len()));
        assert_eq!(head.file_bytes(), file_bytes);
        assert_eq!(ObjectHead::decode(&head.encode(), file_bytes), Ok(head));
    }

    let body = Bytes::copy_from_slice(front);
    let Some(head) = ObjectHead::new(Key([7; 16]), Bytes::copy_from_slice(meta), &[body]) else { return };
    assert!(head.verifies(0, front));
    let mut damaged = head.encode();
    for (place, bits) in damage {
        let place = usize::from(place) % damaged.len();
        damaged[place] ^= bits;
    }
    if let Ok(read) = ObjectHead::decode(&damaged, head.file_bytes()) {
        assert_eq!(read, head);
    }
});
