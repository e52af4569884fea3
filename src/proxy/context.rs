//! What is known of one request, from its head to its line in the access log.

use std::time::Instant;

use crate::failure::{Code, Failure};
use crate::proxy::admit::Admitted;
use crate::telemetry::Outcome;

/// The context of one request.
pub(super) struct Context {
    pub(super) began: Instant,
    /// Set when the request was admitted.
    pub(super) admitted: Option<Admitted>,
    pub(super) outcome: Outcome,
    /// Set when the answer is a failure, ours or the upstream's, with its cause for the log.
    pub(super) failure: Option<(Code, String)>,
    /// Where the time of the render went that this request began.
    pub(super) server_timing: Option<String>,
}

impl Context {
    pub(super) fn start() -> Self {
        Self {
            began: Instant::now(),
            admitted: None,
            outcome: Outcome::None,
            failure: None,
            server_timing: None,
        }
    }

    pub(super) fn note(&mut self, failure: &Failure) {
        self.failure = Some((failure.code, failure.cause.clone()));
    }
}
