//! What names an answer: the canonical form of a verified request, or the key of an original.

use sha2::{Digest, Sha256};

use crate::origin::ObjectKey;
use crate::request::Variant;
use crate::signature::Verified;

/// The name of one stored answer: 128 bits, so that no two ever meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The key of a variant, whose canonical path the caller has at hand. Signature, expiry, access id
    /// and the exact `Accept` are not in it.
    pub fn of(variant: &Verified<Variant>, path: &str) -> Self {
        debug_assert_eq!(variant.value().to_path(), path, "the path is the variant's own");
        Self::digest(&[path.as_bytes()])
    }

    /// The key of an original among originals.
    pub fn of_original(object: &ObjectKey) -> Self {
        Self::digest(&[object.as_str().as_bytes()])
    }

    /// The key of something that belongs to this answer, named by `parts`.
    pub fn within(&self, parts: &[&[u8]]) -> Self {
        let framed = parts.iter().flat_map(|part| [part.len().to_be_bytes().to_vec(), part.to_vec()]);
        let framed: Vec<u8> = framed.flatten().collect();
        Self::digest(&[&self.0, &framed])
    }

    fn digest(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        Self(key)
    }
}
