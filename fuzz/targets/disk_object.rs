//! The head of a stored object: whatever is accepted is what would be written, and no larger than its file.
#![no_main]

use kinora::cache::ObjectHead;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (file_bytes, front) = input;
    let needed = ObjectHead::needs(front, file_bytes);
    let Ok(head) = ObjectHead::decode(front, file_bytes) else { return };
    assert_eq!(needed.map(|needed| needed <= front.len()), Ok(true));
    assert_eq!(head.file_bytes(), file_bytes);
    assert_eq!(ObjectHead::decode(&head.encode(), file_bytes), Ok(head));
});
