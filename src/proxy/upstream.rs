//! Asking the internal upstream, and making its answer fit to be kept.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, IF_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE, TE, TRAILER, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::failure::Code;
use crate::headers::internal;
use crate::proxy::Edge;
use crate::proxy::admit;
use crate::proxy::context::Context;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What a client sends for us alone, and what must not travel between hops (RFC 9110 section 7.6.1).
const NOT_FORWARDED: [HeaderName; 8] = [
    HeaderName::from_static("x-filespin-api-key"),
    HeaderName::from_static(internal::SEAL),
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    UPGRADE,
    IF_MATCH,
    IF_UNMODIFIED_SINCE,
];

/// Never kept and never passed on.
const HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    UPGRADE,
];

/// The internal upstream's socket, with every time limit set.
pub(super) fn peer(edge: &Edge) -> Result<Box<HttpPeer>> {
    let Some(path) = edge.internal.to_str() else {
        return Error::e_explain(ErrorType::InternalError, "the socket's path is not UTF-8");
    };
    let mut peer = HttpPeer::new_uds(path, false, String::new())?;
    peer.options.connection_timeout = Some(edge.internal_timeout);
    peer.options.total_connection_timeout = Some(edge.internal_timeout);
    peer.options.read_timeout = Some(edge.internal_timeout);
    peer.options.write_timeout = Some(edge.internal_timeout);
    peer.options.idle_timeout = Some(edge.client.keepalive_timeout);
    Ok(Box::new(peer))
}

/// Turns a client's request into that of the internal upstream: canonical path and seal.
pub(super) fn ask(edge: &Edge, session: &Session, request: &mut RequestHeader, ctx: &Context) -> Result<()> {
    let Some(admitted) = &ctx.admitted else {
        return Error::e_explain(ErrorType::InternalError, "nothing was admitted");
    };
    let named = connection_named(request.headers.get_all(CONNECTION));
    for name in NOT_FORWARDED.iter().chain(&named) {
        request.remove_header(name);
    }
    // Whether anything else in it passes is for the origin's configuration to say.
    if admit::bearer(session.req_header()).is_some_and(|key| edge.keys.load().has_api_key(key)) {
        request.remove_header(&AUTHORIZATION);
    }
    let sealed = edge.seal.seal(&admitted.variant);
    request.set_raw_path(sealed.path.as_bytes())?;
    request.insert_header(internal::SEAL, sealed.seal)?;
    if let Some(beyond) = &admitted.beyond_cache {
        // The cache is off, so the client's own headers came this far.
        request.set_method(if session.req_header().method == Method::HEAD {
            Method::HEAD
        } else {
            Method::GET
        });
        match &beyond.range {
            Some(range) => request.insert_header(RANGE, range)?,
            None => {
                request.remove_header(&RANGE);
                request.remove_header(&IF_RANGE);
            }
        }
    }
    Ok(())
}

/// Makes the upstream's answer what may be kept: this runs before the cache admits it.
pub(super) fn receive(edge: &Edge, answer: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    ctx.is_answered = true;
    let named = connection_named(answer.headers.get_all(CONNECTION));
    for name in HOP_BY_HOP.iter().chain(&named) {
        answer.remove_header(name);
    }
    ctx.server_timing = take(answer, &SERVER_TIMING);
    let cause = take(answer, &HeaderName::from_static(internal::CAUSE));
    if let Some(code) = answer.headers.get(internal::ERROR).and_then(|code| Code::parse(code.to_str().ok()?))
    {
        ctx.failure = Some((code, cause.unwrap_or_default()));
    }
    if answer.status == 304 {
        return Ok(());
    }
    let is_versioned =
        ctx.admitted.as_ref().is_some_and(|admitted| admitted.variant.value().version.is_some());
    answer.insert_header(CACHE_CONTROL, edge.freshness.announce(answer, is_versioned).to_string())?;
    answer.insert_header(X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    if is_active(answer) {
        answer.insert_header(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        )?;
    }
    Ok(())
}

/// Whether a browser would run what is in it.
fn is_active(answer: &ResponseHeader) -> bool {
    let media_type =
        answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.to_ascii_lowercase();
    ["html", "xml", "svg", "javascript"].iter().any(|active| media_type.contains(active))
}

fn take(answer: &mut ResponseHeader, name: &HeaderName) -> Option<String> {
    let value = answer.remove_header(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// RFC 9110 section 7.6.1: what `Connection` names ends here.
fn connection_named(lines: http::header::GetAll<'_, http::HeaderValue>) -> Vec<HeaderName> {
    let names = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let names = names.map(str::trim).filter(|name| !["close", "keep-alive", ""].contains(name));
    names.filter_map(|name| name.parse().ok()).collect()
}
