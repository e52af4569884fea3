//! What is known of one request, from its head to its line in the access log.

use std::time::Instant;

use bytes::Bytes;

use crate::failure::{Code, Failure};
use crate::request::{MediaRequest, Variant};
use crate::signature::Verified;
use crate::telemetry::Outcome;

/// The context of one request.
pub struct Context {
    pub(super) began: Instant,
    /// Set when the request was admitted.
    pub(super) admitted: Option<Admitted>,
    pub(super) outcome: Outcome,
    /// Set when the answer is a failure, ours or the internal upstream's.
    pub(super) failure: Option<(Code, String)>,
    /// Where the time of the render went, as the internal upstream says.
    pub(super) server_timing: Option<String>,
    /// The internal upstream has sent the head of its answer.
    pub(super) is_answered: bool,
    /// Sent in place of the body; empty once it is sent.
    pub(super) instead: Option<Bytes>,
}

/// A request that may be answered.
pub(super) struct Admitted {
    pub(super) request: Verified<MediaRequest>,
    pub(super) variant: Verified<Variant>,
    /// The variant's canonical path: the cache key's text and the internal upstream's target.
    pub(super) path: String,
    /// The client's key opened it, so that no shared cache may keep the answer.
    pub(super) by_api_key: bool,
    /// An object too large for the cache: the part that the client wants, resolved.
    pub(super) beyond_cache: Option<BeyondCache>,
}

/// How an object that the cache never holds is passed on.
pub(super) struct BeyondCache {
    /// `Range` toward the internal upstream, first and last byte.
    pub(super) range: Option<String>,
}

impl Context {
    pub(super) fn start() -> Self {
        Self {
            began: Instant::now(),
            admitted: None,
            outcome: Outcome::None,
            failure: None,
            server_timing: None,
            is_answered: false,
            instead: None,
        }
    }

    pub(super) fn note(&mut self, failure: &Failure) {
        self.failure = Some((failure.code, failure.cause.clone()));
    }
}
