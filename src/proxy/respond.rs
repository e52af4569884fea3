//! The answer's head as the client sees it, and answers that no upstream was asked for.

use std::fmt::Write;

use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, ORIGIN, RANGE, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, MultiRangeInfo, RangeType, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::failure::{Code, Failure, PROBLEM_TYPE};
use crate::headers::cache_control::Directives;
use crate::headers::conditional::{EntityTag, Validators, http_date};
use crate::headers::content_disposition::attachment;
use crate::headers::internal;
use crate::headers::range::{Part, Parts, Range, Unsatisfiable};
use crate::proxy::Edge;
use crate::proxy::admit::{Early, unix_now};
use crate::proxy::caching;
use crate::proxy::context::{Admitted, Context};
use crate::request::Delivery;
use crate::telemetry::Outcome;

const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// A preflight is worth remembering for a day; browsers cap it lower.
const PREFLIGHT_SECONDS: &str = "86400";

/// Which websites may read answers by script.
#[derive(Debug, Clone)]
pub enum Cors {
    /// Every one.
    All,
    /// These.
    Only(Vec<String>),
}

impl Cors {
    /// `*` anywhere in the list means all.
    pub fn new(origins: &[String]) -> Self {
        match origins.iter().any(|origin| origin == "*") {
            true => Self::All,
            false => Self::Only(origins.to_vec()),
        }
    }

    fn apply(&self, request: &RequestHeader, answer: &mut ResponseHeader) -> Result<()> {
        match self {
            Self::All => answer.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")?,
            Self::Only(origins) => {
                answer.append_header(VARY, "Origin")?;
                let asking = request.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
                let Some(origin) = asking.filter(|asking| origins.iter().any(|origin| origin == asking))
                else {
                    return Ok(());
                };
                answer.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
            }
        }
        answer.insert_header(ACCESS_CONTROL_EXPOSE_HEADERS, "*")
    }
}

/// Completes the head of every answer that went through the cache or came from upstream.
pub(super) fn finish(
    edge: &Edge,
    session: &mut Session,
    answer: &mut ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    ctx.outcome = caching::outcome(&session.cache);
    if ctx.outcome == Outcome::Miss && may_end_before_its_fill(session.req_header()) {
        // Pingora listens on while it fills, and takes the client's next request for a fault.
        session.set_keepalive(None);
    }
    let status = caching::status(&session.cache, answer.status.as_u16());
    answer.insert_header("Cache-Status", status.to_string())?;
    edge.cors.apply(session.req_header(), answer)?;
    if let Some(timing) = &ctx.server_timing {
        answer.insert_header("Server-Timing", timing)?;
    }
    let Some(admitted) = &ctx.admitted else { return Ok(()) };
    if admitted.request.value().is_negotiated() {
        answer.append_header(VARY, "Accept")?;
    }
    shorten(admitted, answer)?;
    if answer.status.is_success() {
        if let Delivery::Download { filename } = &admitted.request.value().delivery {
            let key = admitted.variant.value().key.as_str();
            let name = filename.as_deref().or_else(|| key.rsplit('/').next()).unwrap_or(key);
            answer.insert_header(CONTENT_DISPOSITION, attachment(name))?;
        }
    } else if ctx.failure.is_none() && answer.status.as_u16() >= 400 {
        // From the cache, whose cause was logged when it was made, or a range, which has no more to it.
        let code = answer.headers.get(internal::ERROR).and_then(|code| Code::parse(code.to_str().ok()?));
        ctx.failure = code.map(|code| (code, String::new()));
    }
    Ok(())
}

/// Whether a client may have its whole answer while the cache still fetches the object.
fn may_end_before_its_fill(request: &RequestHeader) -> bool {
    let asks_for_less = [RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE];
    request.method == Method::HEAD || asks_for_less.iter().any(|name| request.headers.contains_key(name))
}

/// No cache may outlive the proof, and none but the client's own may keep what an API key opened.
fn shorten(admitted: &Admitted, answer: &mut ResponseHeader) -> Result<()> {
    if !admitted.by_api_key && admitted.request.expires().is_none() {
        return Ok(());
    }
    let left = admitted
        .request
        .expires()
        .map_or(u32::MAX, |expiry| u32::try_from(expiry.saturating_sub(unix_now())).unwrap_or(u32::MAX));
    let now =
        Directives::parse(answer.headers.get_all(CACHE_CONTROL).iter().map(http::HeaderValue::as_bytes));
    let at_most = |seconds: Option<u32>| seconds.map(|seconds| seconds.min(left));
    let fresh = now.s_maxage.map_or(0, |seconds| seconds.min(left));
    // What is served stale is served within the time left, too.
    let after = |seconds: Option<u32>| seconds.map(|seconds| seconds.min(left.saturating_sub(fresh)));
    let shortened = Directives {
        max_age: at_most(now.max_age),
        s_maxage: if admitted.by_api_key { None } else { at_most(now.s_maxage) },
        stale_while_revalidate: after(now.stale_while_revalidate),
        stale_if_error: after(now.stale_if_error),
        is_public: now.is_public && !admitted.by_api_key,
        is_private: now.is_private || admitted.by_api_key,
        is_immutable: false,
        ..now
    };
    answer.insert_header(CACHE_CONTROL, shortened.to_string())
}

/// Cuts a whole answer to the range that was asked for, RFC 9110 section 14.
pub(super) fn cut(request: &RequestHeader, answer: &mut ResponseHeader, ctx: &mut Context) -> RangeType {
    let length =
        answer.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let Some(length) = length.filter(|_| answer.status == 200) else { return RangeType::None };
    // Setting a well-formed header fails only beyond http's limit on header count.
    let _ = answer.insert_header(ACCEPT_RANGES, "bytes");
    let Some(range) = request.headers.get(RANGE).and_then(|range| Range::parse(range.as_bytes())) else {
        return RangeType::None;
    };
    if request.headers.get(IF_RANGE).is_some_and(|tag| !validators(answer).meets_if_range(tag.as_bytes())) {
        return RangeType::None;
    }
    let cut = match range.of(length) {
        Ok(Parts::Whole) => Ok(RangeType::None),
        Ok(Parts::One(part)) => one(answer, part, length),
        Ok(Parts::Two(first, second)) => two(answer, [first, second], length),
        Err(refused) => unsatisfiable(answer, refused, ctx),
    };
    cut.unwrap_or(RangeType::None)
}

fn validators(answer: &ResponseHeader) -> Validators {
    let etag = answer.headers.get(ETAG).and_then(|tag| EntityTag::parse(tag.as_bytes()));
    let changed = answer
        .headers
        .get(LAST_MODIFIED)
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Validators { etag, last_modified: changed.and_then(http_date) }
}

fn one(answer: &mut ResponseHeader, part: Part, length: u64) -> Result<RangeType> {
    answer.set_status(206)?;
    answer.insert_header(CONTENT_LENGTH, part.length().to_string())?;
    answer.insert_header(CONTENT_RANGE, part.content_range(length))?;
    Ok(RangeType::Single(span(part)))
}

fn two(answer: &mut ResponseHeader, parts: [Part; 2], length: u64) -> Result<RangeType> {
    let mut parts = MultiRangeInfo::new(parts.map(span).to_vec());
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    parts.set_content_type(content_type.unwrap_or("application/octet-stream").to_owned());
    parts.set_total_length(usize::try_from(length).unwrap_or(usize::MAX));
    answer.set_status(206)?;
    answer.insert_header(CONTENT_LENGTH, parts.calculate_multipart_length().to_string())?;
    answer.insert_header(CONTENT_TYPE, format!("multipart/byteranges; boundary={}", parts.boundary))?;
    Ok(RangeType::Multi(parts))
}

/// Pingora sends no body for a range that it calls invalid. So the first byte is asked for, which is
/// always there, and [`substitute`] puts the problem in its place.
fn unsatisfiable(
    answer: &mut ResponseHeader,
    refused: Unsatisfiable,
    ctx: &mut Context,
) -> Result<RangeType> {
    let failure = Failure::range_outside(refused.length);
    let body = Bytes::from(failure.body());
    answer.set_status(416)?;
    answer.insert_header(CONTENT_RANGE, refused.content_range())?;
    answer.insert_header(internal::ERROR, failure.code.as_str())?;
    answer.insert_header(CONTENT_LENGTH, body.len().to_string())?;
    answer.insert_header(CONTENT_TYPE, PROBLEM_TYPE)?;
    answer.remove_header(&ETAG);
    answer.remove_header(&LAST_MODIFIED);
    answer.insert_header(CACHE_CONTROL, "no-store")?;
    ctx.instead = Some(body);
    Ok(RangeType::Single(0..1))
}

/// Sends what stands ready in place of the body, once.
pub(super) fn substitute(body: &mut Option<Bytes>, ctx: &mut Context) {
    if let Some(instead) = &mut ctx.instead
        && body.is_some()
    {
        *body = Some(std::mem::take(instead));
    }
}

fn span(part: Part) -> std::ops::Range<usize> {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    index(part.first)..index(part.last).saturating_add(1)
}

/// Answers without the cache. `true` tells Pingora that the request is done.
pub(super) async fn early(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Context,
    early: Early,
) -> Result<bool> {
    match early {
        Early::Preflight => preflight(edge, session).await?,
        Early::Failure(failure) => {
            ctx.note(&failure);
            refuse(edge, session, &failure).await?;
        }
    }
    Ok(true)
}

async fn preflight(edge: &Edge, session: &mut Session) -> Result<()> {
    let mut answer = ResponseHeader::build_no_case(204, Some(8))?;
    answer.insert_header(ALLOW, ALLOWED)?;
    answer.insert_header(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED)?;
    answer.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, "*, Authorization")?;
    answer.insert_header(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS)?;
    edge.cors.apply(session.req_header(), &mut answer)?;
    session.write_response_header(Box::new(answer), true).await
}

async fn refuse(edge: &Edge, session: &mut Session, failure: &Failure) -> Result<()> {
    let body = Bytes::from(failure.body());
    let mut answer = ResponseHeader::build_no_case(failure.code.status(), Some(12))?;
    answer.insert_header(CONTENT_TYPE, PROBLEM_TYPE)?;
    answer.insert_header(CONTENT_LENGTH, body.len())?;
    answer.insert_header(internal::ERROR, failure.code.as_str())?;
    answer.insert_header(CACHE_CONTROL, "no-store")?;
    answer.insert_header(X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    match failure.code {
        Code::MethodNotAllowed => answer.insert_header(ALLOW, ALLOWED)?,
        Code::SignatureMissing => answer.insert_header(WWW_AUTHENTICATE, "Bearer realm=\"kinora\"")?,
        _ => {}
    }
    if let Some(seconds) = failure.retry_after {
        answer.insert_header(RETRY_AFTER, seconds.to_string())?;
    }
    if let Some(length) = failure.object_bytes {
        answer.insert_header(CONTENT_RANGE, Unsatisfiable { length }.content_range())?;
    }
    edge.cors.apply(session.req_header(), &mut answer)?;
    let header_only = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(answer), header_only).await?;
    match header_only {
        true => Ok(()),
        false => session.write_response_body(Some(body), true).await,
    }
}

/// Something broke between the phases: the upstream is gone, or the client.
pub(super) async fn broken(
    edge: &Edge,
    session: &mut Session,
    error: &Error,
    ctx: &mut Context,
) -> FailToProxy {
    let nobody_there = *error.esource() == ErrorSource::Downstream
        && matches!(
            error.etype(),
            ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed
        );
    if nobody_there || session.response_written().is_some() {
        // A head that has gone out cannot be taken back: closing tells the client that the body is short.
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    let code = match error.esource() {
        ErrorSource::Downstream => Code::BadRequest,
        // The internal upstream breaks an answer off when the origin broke it off.
        ErrorSource::Upstream if ctx.is_answered => Code::OriginFailed,
        ErrorSource::Upstream | ErrorSource::Internal | ErrorSource::Unset => Code::Internal,
    };
    let failure = Failure::hidden(code, chain(error));
    ctx.note(&failure);
    // The client may leave while we tell it; the access log has the failure in any case.
    let _ = refuse(edge, session, &failure).await;
    FailToProxy { error_code: code.status(), can_reuse_downstream: false }
}

/// Pingora's error on one line.
fn chain(error: &Error) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{error}");
    text
}
