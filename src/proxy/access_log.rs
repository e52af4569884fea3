//! One line and one set of counters for every request.

use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::failure::Blame;
use crate::proxy::Edge;
use crate::proxy::context::Context;

/// Counts and logs a request that has ended, with the error that ended it early.
pub(super) fn write(edge: &Edge, session: &ServerSession, error: Option<&ErrorType>, ctx: &Context) {
    let status = session.response_written().map_or(0, |answer| answer.status.as_u16());
    let took = ctx.began.elapsed();
    let sent = session.body_bytes_sent();
    edge.metrics.answered(ctx.outcome, status, took, sent as u64);
    let failure = ctx.failure.as_ref();
    let (code, blame) = (failure.map(|(code, _)| code.as_str()), failure.map(|(code, _)| code.blame()));
    if let (Some(code), Some(blame)) = (code, blame) {
        edge.metrics.failed(code, blame.as_str());
    }
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                method = %session.req_header().method,
                path = %safe_path(session.req_header(), ctx),
                status,
                cache = ctx.outcome.as_str(),
                bytes = sent,
                ms = took.as_secs_f64() * 1000.0,
                timing = ctx.server_timing.as_deref(),
                code,
                blame = blame.map(Blame::as_str),
                cause = failure.map(|(_, cause)| cause.as_str()).filter(|cause| !cause.is_empty()),
                ended = error.map(ErrorType::as_str),
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

/// The path without anything secret: the canonical one, or what was sent without token and query.
pub(super) fn safe_path(head: &RequestHeader, ctx: &Context) -> String {
    if let Some(admitted) = &ctx.admitted {
        return admitted.path.clone();
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
