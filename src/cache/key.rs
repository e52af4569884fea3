//! What names an answer: the canonical form of a verified request, and nothing else.

use pingora::cache::CacheKey;
use sha2::{Digest, Sha256};

use crate::request::Variant;
use crate::signature::Verified;

/// The key of a variant, whose canonical path the caller has at hand. Signature, expiry, access id and
/// the exact `Accept` are not in it.
pub fn key(variant: &Verified<Variant>, path: &str) -> CacheKey {
    debug_assert_eq!(variant.value().to_path(), path, "the path is the variant's own");
    let mut key = CacheKey::new(path, String::new());
    // Pingora would hash the text again at each of its steps.
    let hash = Sha256::digest(path);
    if let Some(first) = hash.first_chunk() {
        key.set_primary_bin_override(*first);
    }
    key
}
