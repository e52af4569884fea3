//! The answer as one client gets it: its head, the part that was asked for, and its bytes.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED,
    RANGE, TRANSFER_ENCODING, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use crate::cache::ReadError;
use crate::failure::{Code, ERROR, Failure, PROBLEM_TYPE};
use crate::headers::cache_control::Directives;
use crate::headers::cache_status::CacheStatus;
use crate::headers::conditional::{EntityTag, Validators, http_date};
use crate::headers::content_disposition::attachment;
use crate::headers::range::{Parts, Range, Unsatisfiable};
use crate::proxy::Edge;
use crate::proxy::admit::{Admitted, unix_seconds};
use crate::proxy::answer::Found;
use crate::proxy::context::Context;
use crate::proxy::cors::Cors;
use crate::proxy::parts::Cut;
use crate::proxy::upstream;
use crate::request::{Delivery, VariantWork};

/// What the routes of media answer to.
pub(super) const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// A preflight is worth remembering for a day; browsers cap it lower.
const PREFLIGHT_SECONDS: &str = "86400";

/// What became of an answer.
pub(super) enum Sent {
    /// All of it is out.
    Whole,
    /// Nothing: what was stored turned out to be wrong before the first byte, and has been forgotten.
    Nothing,
}

/// Sends what was found.
///
/// # Errors
/// If the client is gone, or the bytes do not come: the connection must be closed then, so that a
/// short body cannot look whole.
pub(super) async fn send(
    edge: &Edge,
    session: &mut ServerSession,
    ctx: &mut Context,
    admitted: &Admitted,
    mut found: Found,
    may_begin_anew: bool,
) -> Result<Sent> {
    let now = SystemTime::now();
    if let Some(failure) = found.failure.take() {
        ctx.note(&failure);
    }
    let asked = session.req_header();
    let (mut answer, cut) = match whole_or_part(&asked.method, &asked.headers, &found)? {
        Ok(chosen) => chosen,
        Err(refused) => {
            let failure = Failure::range_outside(refused.length);
            ctx.note(&failure);
            let status = found.how().status(found.source.ttl(now));
            refuse(edge, session, &failure, Some(status)).await?;
            return Ok(Sent::Whole);
        }
    };
    let is_bodiless = asked.method == Method::HEAD || answer.status == 304;
    // The first bytes come before the head goes out: what breaks off before them is a clean failure.
    let mut body = cut.body();
    let first = match is_bodiless {
        true => None,
        false => match body.next(&mut found.source).await {
            Ok(first) => first,
            Err(ReadError::Changed | ReadError::Disk(_)) if may_begin_anew => return Ok(Sent::Nothing),
            Err(error) => {
                let failure = Failure::from(error);
                ctx.note(&failure);
                refuse(edge, session, &failure, None).await?;
                return Ok(Sent::Whole);
            }
        },
    };
    ctx.outcome = found.how().outcome();
    describe(edge, &asked.headers, &mut answer, &found, now)?;
    personalise(admitted, &mut answer, now)?;
    ctx.server_timing = found.timing.take();
    if let Some(timing) = &ctx.server_timing {
        answer.insert_header("Server-Timing", timing)?;
    }
    if ctx.failure.is_none() && answer.status.as_u16() >= 400 {
        // From the cache, whose cause was logged when it was made.
        let code = answer.headers.get(&ERROR).and_then(|code| Code::parse(code.to_str().ok()?));
        ctx.failure = code.map(|code| (code, String::new()));
    }
    if is_bodiless {
        head_only(session, answer).await?;
        return Ok(Sent::Whole);
    }
    write_head(session, answer).await?;
    let mut piece = first;
    while let Some(bytes) = piece {
        session.write_response_body(bytes, false).await?;
        piece = body.next(&mut found.source).await.map_err(|error| {
            let explained = Error::explain(ErrorType::ReadError, error.to_string());
            ctx.note(&error.into());
            explained
        })?;
    }
    session.write_response_body(Bytes::new(), true).await?;
    Ok(Sent::Whole)
}

/// The head of the whole of an answer, for a request that says nothing about how it wants it.
///
/// # Errors
/// If a header of the answer cannot be written.
pub(super) fn plain_head(
    edge: &Edge,
    admitted: &Admitted,
    found: &Found,
    now: SystemTime,
) -> Result<Option<ResponseHeader>> {
    let nothing = HeaderMap::new();
    let Ok((mut answer, _)) = whole_or_part(&Method::GET, &nothing, found)? else { return Ok(None) };
    describe(edge, &nothing, &mut answer, found, now)?;
    personalise(admitted, &mut answer, now)?;
    Ok(Some(answer))
}

/// A head alone. The end of the stream must be told on HTTP/2, and is known on HTTP/1.1.
pub(super) async fn head_only(session: &mut ServerSession, answer: ResponseHeader) -> Result<()> {
    session.write_response_header(Box::new(answer)).await?;
    session.write_response_body(Bytes::new(), true).await
}

/// A head before a body. Without a length, HTTP/1.1 needs chunks and HTTP/1.0 the end of the connection;
/// HTTP/2 has its own framing, and Pingora drops ours there.
pub(super) async fn write_head(session: &mut ServerSession, mut answer: ResponseHeader) -> Result<()> {
    if !answer.headers.contains_key(CONTENT_LENGTH) {
        match session.req_header().version {
            Version::HTTP_10 => session.set_keepalive(None),
            _ => answer.insert_header(TRANSFER_ENCODING, "chunked")?,
        }
    }
    session.write_response_header(Box::new(answer)).await
}

/// The stored head and what part of the body goes with it: RFC 9110 sections 13.2.2 and 14.2.
fn whole_or_part(
    method: &Method,
    asked: &HeaderMap,
    found: &Found,
) -> Result<Result<(ResponseHeader, Cut), Unsatisfiable>> {
    let head = found.source.head();
    let mut answer = ResponseHeader::build_no_case(head.status, Some(head.headers.len() + 8))?;
    for (name, value) in head.headers.iter().chain(&found.private) {
        answer.append_header(name, value)?;
    }
    let length = content_length(&head.headers);
    let whole = match length {
        Some(length) => Cut::whole(length),
        None => Cut::to_the_end(),
    };
    if head.status != 200 {
        return Ok(Ok((answer, whole)));
    }
    let validators = validators(&head.headers);
    let lines = asked.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
    let since = asked.get(IF_MODIFIED_SINCE).map(HeaderValue::as_bytes);
    if validators.is_not_modified(lines, since) {
        answer.set_status(304)?;
        for name in [CONTENT_LENGTH, CONTENT_TYPE, ACCEPT_RANGES] {
            answer.remove_header(&name);
        }
        return Ok(Ok((answer, whole)));
    }
    let Some(length) = length else { return Ok(Ok((answer, whole))) };
    answer.insert_header(ACCEPT_RANGES, "bytes")?;
    let range =
        asked.get(RANGE).filter(|_| method == Method::GET).and_then(|range| Range::parse(range.as_bytes()));
    let holds = asked.get(IF_RANGE).is_none_or(|tag| validators.meets_if_range(tag.as_bytes()));
    let Some(range) = range.filter(|_| holds) else { return Ok(Ok((answer, whole))) };
    let content_type = answer.headers.get(CONTENT_TYPE).cloned();
    let cut = match range.of(length) {
        Err(refused) => return Ok(Err(refused)),
        Ok(Parts::Whole) => return Ok(Ok((answer, whole))),
        Ok(Parts::One(part)) => {
            answer.insert_header(CONTENT_RANGE, part.content_range(length))?;
            Cut::one(part)
        }
        Ok(Parts::Two(first, second)) => {
            let cut = Cut::two([first, second], content_type.as_ref(), length);
            answer.insert_header(CONTENT_TYPE, cut.content_type())?;
            cut
        }
    };
    answer.set_status(206)?;
    answer.insert_header(CONTENT_LENGTH, cut.length().to_string())?;
    Ok(Ok((answer, cut)))
}

/// What every answer says besides: its age, how the cache came to it, and who may read it.
fn describe(
    edge: &Edge,
    asked: &HeaderMap,
    answer: &mut ResponseHeader,
    found: &Found,
    now: SystemTime,
) -> Result<()> {
    if let Some(age) = found.source.age(found.how, now) {
        answer.insert_header(AGE, age)?;
    }
    // RFC 9211 section 2: those behind us come first.
    answer.append_header("Cache-Status", found.how().status(found.source.ttl(now)).to_string())?;
    edge.cors.apply(asked, answer)
}

/// What this client's URL asked for beyond the stored answer.
fn personalise(admitted: &Admitted, answer: &mut ResponseHeader, now: SystemTime) -> Result<()> {
    if admitted.request.value().is_negotiated() {
        answer.append_header(VARY, "Accept")?;
    }
    shorten(admitted, answer, now)?;
    let is_active = describe_asset(admitted, answer)?;
    if !answer.status.is_success() {
        return Ok(());
    }
    let filename = match &admitted.request.value().delivery {
        Delivery::Download { filename } => filename.as_deref(),
        Delivery::Display if is_active => None,
        Delivery::Display => return Ok(()),
    };
    let key = admitted.variant.value().key.as_str();
    let stored = admitted.asset.as_ref().map(|asset| asset.name.as_str()).or_else(|| key.rsplit('/').next());
    let name = filename.or(stored).unwrap_or(key);
    answer.insert_header(CONTENT_DISPOSITION, attachment(name))
}

/// What the catalogue says of an asset's object, where it knows better than the bucket; and whether a browser
/// would run what is in it, which none is to do.
fn describe_asset(admitted: &Admitted, answer: &mut ResponseHeader) -> Result<bool> {
    let Some(asset) = &admitted.asset else { return Ok(false) };
    answer.append_header("Cache-Tag", asset.id.as_str())?;
    let source = &admitted.request.value().source;
    let is_original = admitted.variant.value().work == VariantWork::Original;
    let Some(object) = asset.object(source).filter(|_| is_original && answer.status.is_success()) else {
        return Ok(false);
    };
    if let Ok(media_type) = HeaderValue::from_str(&object.content_type)
        && !is_multipart(answer)
    {
        answer.insert_header(CONTENT_TYPE, media_type)?;
    }
    let is_active = upstream::is_active(&object.content_type);
    if is_active {
        answer.insert_header(CONTENT_SECURITY_POLICY, upstream::SANDBOX)?;
    }
    Ok(is_active)
}

/// Whether it is an answer of several parts, each of which says what it is.
fn is_multipart(answer: &ResponseHeader) -> bool {
    let media_type = answer.headers.get(CONTENT_TYPE);
    media_type.is_some_and(|media_type| media_type.as_bytes().starts_with(b"multipart/byteranges"))
}

/// No cache may outlive the proof, and none but the client's own may keep what an API key opened.
fn shorten(admitted: &Admitted, answer: &mut ResponseHeader, now: SystemTime) -> Result<()> {
    if !admitted.by_api_key && admitted.request.expires().is_none() {
        return Ok(());
    }
    let left = admitted.request.expires().map_or(u32::MAX, |expiry| {
        u32::try_from(expiry.saturating_sub(unix_seconds(now))).unwrap_or(u32::MAX)
    });
    let own = Directives::parse(answer.headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::as_bytes));
    let at_most = |seconds: Option<u32>| seconds.map(|seconds| seconds.min(left));
    let fresh = own.s_maxage.map_or(0, |seconds| seconds.min(left));
    // What is served stale is served within the time left, too.
    let after = |seconds: Option<u32>| seconds.map(|seconds| seconds.min(left.saturating_sub(fresh)));
    let shortened = Directives {
        max_age: at_most(own.max_age),
        s_maxage: if admitted.by_api_key { None } else { at_most(own.s_maxage) },
        stale_while_revalidate: after(own.stale_while_revalidate),
        stale_if_error: after(own.stale_if_error),
        is_public: own.is_public && !admitted.by_api_key,
        is_private: own.is_private || admitted.by_api_key,
        is_immutable: false,
        ..own
    };
    answer.insert_header(CACHE_CONTROL, shortened.to_string())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn validators(headers: &HeaderMap) -> Validators {
    let etag = headers.get(ETAG).and_then(|tag| EntityTag::parse(tag.as_bytes()));
    let changed =
        headers.get(LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Validators { etag, last_modified: changed.and_then(http_date) }
}

/// The answer to `OPTIONS`.
pub(super) async fn preflight(session: &mut ServerSession, cors: &Cors, methods: &str) -> Result<()> {
    let mut answer = ResponseHeader::build_no_case(204, Some(8))?;
    answer.insert_header(ALLOW, methods)?;
    cors.preflight(&mut answer, methods, PREFLIGHT_SECONDS)?;
    cors.apply(&session.req_header().headers, &mut answer)?;
    head_only(session, answer).await
}

/// A failure as the answer, with what the cache did before it.
pub(super) async fn refuse(
    edge: &Edge,
    session: &mut ServerSession,
    failure: &Failure,
    status: Option<CacheStatus>,
) -> Result<()> {
    let head = upstream::failed(failure);
    let mut answer = ResponseHeader::build_no_case(head.status, Some(12))?;
    for (name, value) in &head.headers {
        answer.append_header(name, value)?;
    }
    answer.insert_header(CONTENT_TYPE, PROBLEM_TYPE)?;
    answer.insert_header(CACHE_CONTROL, "no-store")?;
    match failure.code {
        Code::MethodNotAllowed => answer.insert_header(ALLOW, ALLOWED)?,
        Code::SignatureMissing => answer.insert_header(WWW_AUTHENTICATE, "Bearer realm=\"kinora\"")?,
        _ => {}
    }
    if let Some(status) = status {
        answer.insert_header("Cache-Status", status.to_string())?;
    }
    edge.cors.apply(&session.req_header().headers, &mut answer)?;
    if session.req_header().method == Method::HEAD {
        return head_only(session, answer).await;
    }
    session.write_response_header(Box::new(answer)).await?;
    session.write_response_body(Bytes::from(failure.body()), true).await
}
