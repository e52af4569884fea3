//! From a request's head to an admitted request, or to an early answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::cache::Key;
use crate::failure::{Code, Failure};
use crate::headers::FormatClass;
use crate::headers::api_key::api_key;
use crate::proxy::Edge;
use crate::proxy::config::ServerConfig;
use crate::request::{MediaRequest, Variant, split_target};
use crate::signature::{Claim, Proof, Verified, verify};

/// A request that may be answered.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) request: Verified<MediaRequest>,
    pub(super) variant: Verified<Variant>,
    /// The variant's canonical path: the cache key's text.
    pub(super) path: String,
    pub(super) cache_key: Key,
    /// The client's key opened it, so that no shared cache may keep the answer.
    pub(super) by_api_key: bool,
}

/// An answer without the cache.
pub(super) enum Early {
    /// `OPTIONS`.
    Preflight,
    /// Something is wrong with the request.
    Failure(Failure),
}

impl<E: Into<Failure>> From<E> for Early {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

/// Sets what Pingora leaves without a limit.
pub(super) fn limit(session: &mut ServerSession, client: &ServerConfig) {
    session.set_read_timeout(Some(client.read_timeout));
    session.set_write_timeout(Some(client.write_timeout));
    session.set_total_drain_timeout(Some(client.read_timeout));
    let rate = usize::try_from(client.min_send_rate.as_u64()).unwrap_or(usize::MAX);
    session.set_min_send_rate((rate > 0).then_some(rate));
}

/// Reads, verifies and negotiates, in the order of cost and of safety.
pub(super) fn admit(edge: &Edge, head: &RequestHeader) -> Result<Admitted, Early> {
    match head.method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return Err(Early::Preflight),
        _ => return Err(Failure::new(Code::MethodNotAllowed, "use GET, HEAD or OPTIONS").into()),
    }
    if has_body(head) {
        return Err(Failure::new(Code::BadRequest, "a body is not expected here").into());
    }
    let target = std::str::from_utf8(head.raw_path())
        .map_err(|_| Failure::new(Code::BadRequest, "the path is not UTF-8"))?;
    // RFC 9112 section 3.2.2: a server has to accept the absolute form, and Pingora keeps it as it came.
    let claim = Claim { target: origin_form(target), api_key: api_key(&head.headers) };
    let accept = head.headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
    Ok(verified(edge, &claim, accept, SystemTime::now())?)
}

/// The same for a `GET` without a body, whoever has parsed its head.
pub(super) fn verified<'a>(
    edge: &Edge,
    claim: &Claim<'_>,
    accept: impl IntoIterator<Item = &'a [u8]>,
    now: SystemTime,
) -> Result<Admitted, Failure> {
    let request = MediaRequest::parse(&split_target(claim.target), &edge.rules)?;
    let request = verify(request, claim, &edge.keys.load(), &edge.policy, unix_seconds(now))?;
    let class = match request.value().is_negotiated() {
        true => FormatClass::negotiate(accept)?,
        false => FormatClass::JpegOrPng,
    };
    let variant = request.negotiate(class);
    let path = variant.value().to_path();
    let cache_key = Key::of(&variant, &path);
    let by_api_key = matches!(request.proof(), Proof::ApiKey);
    Ok(Admitted { request, variant, path, cache_key, by_api_key })
}

fn has_body(head: &RequestHeader) -> bool {
    let length = head.headers.get(CONTENT_LENGTH);
    length.is_some_and(|length| length != "0") || head.headers.contains_key(TRANSFER_ENCODING)
}

fn origin_form(target: &str) -> &str {
    let Some((scheme, rest)) = target.split_once("://") else { return target };
    if !matches!(scheme, "http" | "https") {
        return target;
    }
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9112_3_2_2_the_absolute_form_is_the_same_request() {
        assert_eq!(origin_form("http://h:1/media/a?b=http://x/y"), "/media/a?b=http://x/y");
        assert_eq!(origin_form("/media/a://b"), "/media/a://b");
        assert_eq!(origin_form("http://h"), "/");
    }
}
