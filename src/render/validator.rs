//! Entity tags of variants.
//!
//! A variant is a function of its source, its canonical request and this version of the program, so
//! its tag can be told from the source's facts alone, and a revalidation costs no render.

use std::fmt::Write;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::origin::ObjectInfo;
use crate::request::Variant;

/// The tag of a variant, `None` if its source has neither tag nor date.
pub(super) fn of_source(variant: &Variant, source: &ObjectInfo) -> Option<String> {
    if source.etag.is_none() && source.last_modified.is_none() {
        return None;
    }
    let changed = source.last_modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let mut hash = Sha256::new();
    // Each fact is framed by its length or has a fixed one, so no two lists of facts run together.
    for text in [env!("CARGO_PKG_VERSION"), &variant.to_path(), source.etag.as_deref().unwrap_or_default()] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.update(changed.map_or(0, |changed| changed.as_nanos()).to_be_bytes());
    hash.update(source.length.unwrap_or_default().to_be_bytes());
    Some(tag(&hash.finalize()))
}

/// The tag of bytes whose origin gives no validator.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    tag(&Sha256::digest(bytes))
}

/// 128 bits are plenty to tell versions of one picture apart.
fn tag(hash: &[u8]) -> String {
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in hash.iter().take(16) {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}
