//! The internal upstream: originals and variants as ordinary HTTP answers, behind the cache.
//!
//! The edge asks it over a unix socket with the canonical path and a seal that proves that the request
//! was verified; the same protocol on TCP is a render tier. Answers carry validators and, from an HTTP
//! origin, its freshness headers; what the public sees is added by the edge.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::failure::{Code, Failure};
use crate::headers::internal;
use crate::headers::range::{Parts, Range};
use crate::origin::{
    Answer, Ask, ByteRange, Error as OriginError, ObjectInfo, ObjectKey, Origin, media_type,
};
use crate::render::{Rendered, Renderer, Timings};
use crate::request::{Variant, VariantWork};
use crate::signature::{Seal, Verified};
use crate::telemetry::Metrics;

/// What the internal upstream works with.
pub struct Internal {
    /// Makes variants.
    pub renderer: Arc<Renderer>,
    /// Hands out originals.
    pub origin: Arc<dyn Origin>,
    /// Shared with the edge.
    pub seal: Seal,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Every path is that of a variant in canonical form.
pub fn internal_routes(internal: Internal) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(internal))
}

async fn answer(State(internal): State<Arc<Internal>>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let seal = text(request.headers(), SEAL).unwrap_or_default();
    let Ok(variant) = internal.seal.open(path, seal) else {
        return Failure::new(Code::BadSignature, "not sealed by the edge").into_response();
    };
    let headers = request.headers();
    let result = match &variant.value().work {
        VariantWork::Original => internal.original(&variant, request.method(), headers).await,
        VariantWork::Image { .. } => internal.picture(&variant, headers).await,
    };
    result.unwrap_or_else(|failure| {
        let mut response = failure.into_response();
        // What one client is refused, another may get: RFC 9111 section 3.5.
        let told = |name: &HeaderName| headers.contains_key(name) && internal.origin.sees(name);
        if [AUTHORIZATION, COOKIE].iter().any(told) {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        response
    })
}

const SEAL: HeaderName = HeaderName::from_static(internal::SEAL);

impl Internal {
    async fn picture(&self, variant: &Verified<Variant>, headers: &HeaderMap) -> Result<Response, Failure> {
        if let Some(etag) = text(headers, IF_NONE_MATCH)
            && self.renderer.still_current(variant, etag).await?
        {
            return Ok(not_modified(Some(etag), None, &HeaderMap::new()));
        }
        let ask = Ask { headers: headers.clone(), ..Ask::default() };
        let result = self.renderer.render(variant, &ask).await;
        self.metrics.rendered(result.is_ok());
        let rendered = result?;
        self.count_steps(&rendered.timings);
        Ok(picture_response(rendered))
    }

    fn count_steps(&self, timings: &Timings) {
        for (step, took) in timings.steps() {
            self.metrics.render_step(step, took);
        }
    }

    async fn original(
        &self,
        variant: &Verified<Variant>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Failure> {
        let key = &variant.value().key;
        if method == Method::HEAD {
            let info = self.origin.head(key).await?;
            let mut response = Response::new(Body::empty());
            describe(&mut response, key, &info);
            if let Some(length) = info.length {
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            return Ok(response);
        }
        let ask = ask_of(headers);
        let answer = match self.origin.get(key, &ask).await {
            // If-Range: another version is there now, so all of it is wanted.
            Err(OriginError::Changed) => {
                let whole = Ask { range: None, if_match: None, ..ask };
                self.origin.get(key, &whole).await?
            }
            other => other?,
        };
        Ok(match answer {
            Answer::NotModified(info) => {
                not_modified(info.etag.as_deref(), info.last_modified, &info.headers)
            }
            Answer::Object(object) => {
                let mut response = Response::new(Body::from_stream(object.body));
                describe(&mut response, key, &object.info);
                let headers = response.headers_mut();
                match (object.part, object.info.length) {
                    (Some((first, last)), Some(length)) => {
                        headers.insert(CONTENT_LENGTH, (last - first + 1).into());
                        headers.insert(CONTENT_RANGE, value(&format!("bytes {first}-{last}/{length}")));
                        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    }
                    (_, Some(length)) => {
                        headers.insert(CONTENT_LENGTH, length.into());
                    }
                    (_, None) => {}
                }
                response
            }
        })
    }
}

/// What a client's headers ask of the origin. A range is only seen here for objects too large for the
/// cache; all others are cut by the edge.
fn ask_of(headers: &HeaderMap) -> Ask {
    let mut ask = Ask {
        range: headers.get(RANGE).and_then(resolved_range),
        if_none_match: text(headers, IF_NONE_MATCH).map(str::to_owned),
        if_modified_since: text(headers, IF_MODIFIED_SINCE)
            .and_then(|date| httpdate::parse_http_date(date).ok()),
        headers: headers.clone(),
        ..Ask::default()
    };
    match text(headers, IF_RANGE) {
        Some(tag) if tag.starts_with('"') => ask.if_match = Some(tag.to_owned()),
        // A date is too weak a validator to join parts by: the whole object is always right.
        Some(_) => ask.range = None,
        None => {}
    }
    ask
}

/// The edge asks for one part, first and last byte, so no length is needed to understand it.
fn resolved_range(header: &HeaderValue) -> Option<ByteRange> {
    match Range::parse(header.as_bytes())?.of(u64::MAX) {
        Ok(Parts::One(part)) => Some(ByteRange::Between(part.first, part.last)),
        Ok(Parts::Whole | Parts::Two(..)) | Err(_) => None,
    }
}

fn picture_response(rendered: Rendered) -> Response {
    let mut response = Response::new(Body::from(rendered.bytes));
    let headers = response.headers_mut();
    headers.extend(rendered.source.headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(rendered.format.media_type()));
    headers.insert(ETAG, value(&rendered.etag));
    if let Some(changed) = rendered.source.last_modified {
        headers.insert(LAST_MODIFIED, value(&httpdate::fmt_http_date(changed)));
    }
    headers.insert("server-timing", value(&server_timing(&rendered.timings)));
    response
}

/// W3C Server-Timing, milliseconds.
fn server_timing(timings: &Timings) -> String {
    let mut text = String::new();
    for (step, took) in timings.steps() {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{step};dur={:.1}", took.as_secs_f64() * 1000.0);
    }
    text
}

fn describe(response: &mut Response, key: &ObjectKey, info: &ObjectInfo) {
    let headers = response.headers_mut();
    headers.extend(info.headers.clone());
    headers.insert(CONTENT_TYPE, value(&media_type(key, info)));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(etag) = &info.etag {
        headers.insert(ETAG, value(etag));
    }
    if let Some(changed) = info.last_modified {
        headers.insert(LAST_MODIFIED, value(&httpdate::fmt_http_date(changed)));
    }
}

fn not_modified(etag: Option<&str>, changed: Option<std::time::SystemTime>, origin: &HeaderMap) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    headers.extend(origin.clone());
    if let Some(etag) = etag {
        headers.insert(ETAG, value(etag));
    }
    if let Some(changed) = changed {
        headers.insert(LAST_MODIFIED, value(&httpdate::fmt_http_date(changed)));
    }
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A header value of text that an origin may have chosen: what cannot stand in a header is left out.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
