//! One line and one set of counters for every request.

use std::borrow::Cow;
use std::time::Duration;

use http::Method;
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::failure::{Blame, Code};
use crate::proxy::Edge;
use crate::proxy::context::Context;
use crate::telemetry::Outcome;

/// A request that has ended.
pub(super) struct Ended<'a> {
    pub(super) method: &'a Method,
    /// Without anything secret.
    pub(super) path: Cow<'a, str>,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    /// Bytes of the body.
    pub(super) sent: u64,
    pub(super) took: Duration,
    pub(super) timing: Option<&'a str>,
    pub(super) failure: Option<(Code, &'a str)>,
    /// What ended it early.
    pub(super) error: Option<&'a str>,
}

/// Counts and logs the request of a session that has ended, with the error that ended it early.
pub(super) fn write(edge: &Edge, session: &ServerSession, error: Option<&ErrorType>, ctx: &Context) {
    Ended {
        method: &session.req_header().method,
        path: safe_path(session.req_header(), ctx),
        status: session.response_written().map_or(0, |answer| answer.status.as_u16()),
        outcome: ctx.outcome,
        sent: session.body_bytes_sent() as u64,
        took: ctx.began.elapsed(),
        timing: ctx.server_timing.as_deref(),
        failure: ctx.failure.as_ref().map(|(code, cause)| (*code, cause.as_str())),
        error: error.map(ErrorType::as_str),
    }
    .write(edge);
}

impl Ended<'_> {
    /// Counts and logs it.
    pub(super) fn write(&self, edge: &Edge) {
        edge.metrics.answered(self.outcome, self.status, self.took, self.sent);
        let (code, blame) =
            (self.failure.map(|(code, _)| code.as_str()), self.failure.map(|(code, _)| code.blame()));
        if let (Some(code), Some(blame)) = (code, blame) {
            edge.metrics.failed(code, blame.as_str());
        }
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.method,
                    path = %self.path,
                    status = self.status,
                    cache = self.outcome.as_str(),
                    bytes = self.sent,
                    ms = self.took.as_micros() as f64 / 1000.0,
                    timing = self.timing,
                    code,
                    blame = blame.map(Blame::as_str),
                    cause = self.failure.map(|(_, cause)| cause).filter(|cause| !cause.is_empty()),
                    ended = self.error,
                    "request"
                )
            };
        }
        match blame {
            Some(Blame::Edge) => line!(error),
            Some(Blame::Origin) => line!(warn),
            Some(Blame::Client) | None => line!(info),
        }
    }
}

/// The path without anything secret: the canonical one, or what was sent without token and query.
fn safe_path<'a>(head: &RequestHeader, ctx: &'a Context) -> Cow<'a, str> {
    if let Some(admitted) = &ctx.admitted {
        return Cow::Borrowed(&admitted.path);
    }
    let sent = String::from_utf8_lossy(head.raw_path());
    let path = sent.split('?').next().unwrap_or_default();
    let path = match path.split_once("/~") {
        Some((before, token)) => {
            format!("{before}/~***{}", token.find('/').map_or("", |slash| &token[slash..]))
        }
        None => path.to_owned(),
    };
    path.chars().take(300).map(|c| if c.is_control() { '?' } else { c }).collect()
}
