//! From a request's head to an admitted request, or to an early answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::cache::Key;
use crate::failure::{Code, Failure};
use crate::headers::FormatClass;
use crate::headers::api_key::api_key;
use crate::metadata::AssetSource;
use crate::origin::ObjectKey;
use crate::proxy::Edge;
use crate::proxy::config::ServerConfig;
use crate::request::{MediaRequest, Source, Variant, split_target};
use crate::signature::{Claim, Proof, Verified, verify};

/// A request that may be answered.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) request: Verified<MediaRequest>,
    /// The asset that the request names.
    pub(super) asset: Option<Arc<AssetSource>>,
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
pub(super) async fn admit(edge: &Edge, head: &RequestHeader) -> Result<Admitted, Early> {
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
    let request = verified(edge, &claim, SystemTime::now())?;
    let asset = match request.value().source.asset() {
        Some(id) => edge.assets.find(id).await?,
        None => None,
    };
    let accept = head.headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
    Ok(chosen(edge, request, asset, accept)?)
}

/// A request for reading, whoever has parsed its head, as far as it can be told without the catalogue.
pub(super) fn verified(
    edge: &Edge,
    claim: &Claim<'_>,
    now: SystemTime,
) -> Result<Verified<MediaRequest>, Failure> {
    let request = MediaRequest::parse(&split_target(claim.target), &edge.rules)?;
    Ok(verify(request, claim, &edge.keys.load(), &edge.policy, unix_seconds(now))?)
}

/// The variant that the client gets. `asset` is the one that the request is for, if there is such a one.
pub(super) fn chosen<'a>(
    edge: &Edge,
    request: Verified<MediaRequest>,
    asset: Option<Arc<AssetSource>>,
    accept: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Admitted, Failure> {
    let (key, is_public) = object(edge, &request, asset.as_deref())?;
    let class = match request.value().is_negotiated() {
        true => FormatClass::negotiate(accept)?,
        false => FormatClass::JpegOrPng,
    };
    let variant = request.negotiate(key, is_public, class)?;
    let path = variant.value().to_path();
    let cache_key = Key::of(&variant, &path);
    let by_api_key = matches!(request.proof(), Proof::ApiKey);
    Ok(Admitted { request, asset, variant, path, cache_key, by_api_key })
}

/// The object that a request comes down to, and whether strangers may have it: what they may not, they are
/// told nothing about.
fn object<'a>(
    edge: &Edge,
    request: &'a Verified<MediaRequest>,
    asset: Option<&'a AssetSource>,
) -> Result<(&'a ObjectKey, bool), Failure> {
    let source = &request.value().source;
    if let Some(key) = source.object() {
        return Ok((key, true));
    }
    let asset = asset.ok_or_else(|| Failure::new(Code::NotFound, "there is no such asset"))?;
    let is_public = edge.assets_are_public && asset.is_open(source);
    request.opens(is_public)?;
    if asset.is_deleted {
        return Err(Failure::new(Code::Deleted, "the asset is deleted"));
    }
    match asset.object(source) {
        Some(object) => Ok((&object.key, is_public)),
        None if matches!(source, Source::Conversion(..)) => {
            Err(Failure::new(Code::NotFound, "there is no preset and no conversion of this name"))
        }
        None => Err(Failure::new(Code::NotStored, format!("its status is {}", asset.status))),
    }
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
