//! The verdict on one request.

use std::fmt;

use crate::headers::FormatClass;
use crate::request::MediaRequest;
use crate::request::Variant;
use crate::signature::error::Error;
use crate::signature::key_ring::KeyRing;

/// What a client brings as proof.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The request target exactly as sent, path token and query included.
    pub target: &'a str,
    /// The API key of the header, if there is one.
    pub api_key: Option<&'a str>,
}

/// When proof is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `delivery.require_signature`: without proof, nothing is answered.
    pub required: bool,
}

/// What let a request in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// None was needed.
    Open,
    /// A signed URL.
    Signature {
        /// Whose key.
        access_id: String,
    },
    /// A path token.
    PathToken {
        /// Whose key.
        access_id: String,
    },
    /// An API key in the header.
    ApiKey,
    /// The edge, which had verified it before.
    Seal,
}

/// A value that may be answered. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    expires: Option<u64>,
    proof: Proof,
}

/// Verifies a request as parsed against the target as sent; `now` is in Unix seconds.
///
/// Proof that is present has to hold, whether needed or not; an expiry holds up to and including its
/// own second. An API key that is not ours is ignored where none is needed.
///
/// # Errors
/// [`Error`].
pub fn verify(
    request: MediaRequest,
    claim: &Claim<'_>,
    ring: &KeyRing,
    policy: &Policy,
    now: u64,
) -> Result<Verified<MediaRequest>, Error> {
    let _ = (request, claim, ring, policy, now);
    Err(Error::Missing)
}

impl<T> Verified<T> {
    pub(super) fn new(value: T, expires: Option<u64>, proof: Proof) -> Self {
        Self { value, expires, proof }
    }

    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// When the proof ends, in Unix seconds: no answer may stay fresh for longer.
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// What let it in.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

impl Verified<MediaRequest> {
    /// The variant that a client of this class gets; the proof holds for it.
    pub fn negotiate(&self, class: FormatClass) -> Verified<Variant> {
        Verified { value: self.value.negotiate(class), expires: self.expires, proof: self.proof.clone() }
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The target may carry a good signature, the header a good key.
        f.write_str("Claim(***)")
    }
}
