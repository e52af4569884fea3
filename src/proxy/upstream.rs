//! The upstream behind the cache: originals and variants as ordinary answers, made in this process.
//!
//! Whatever happens, the upstream answers: a failure is an answer too, so that the cache can remember
//! it for a moment and stand in with an older one.

use std::fmt::Write;
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ETAG, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, RETRY_AFTER, TE, TRAILER, UPGRADE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::{Broken, Head};
use crate::failure::{ERROR, Failure, PROBLEM_TYPE};
use crate::headers::api_key::{API_KEY, bearer};
use crate::headers::cache_control::Directives;
use crate::headers::range::Unsatisfiable;
use crate::origin;
use crate::origin::{Ask, ByteRange, ObjectInfo, ObjectKey, media_type};
use crate::proxy::Edge;
use crate::render::{Rendered, Timings};
use crate::request::{Variant, VariantWork};
use crate::signature::Verified;

/// What a client sends for us alone, what must not travel between hops (RFC 9110 section 7.6.1), and
/// the conditions, which are ours to ask.
const NOT_FORWARDED: [HeaderName; 11] = [
    API_KEY,
    HeaderName::from_static("keep-alive"),
    CONNECTION,
    TE,
    TRAILER,
    UPGRADE,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_UNMODIFIED_SINCE,
    IF_MODIFIED_SINCE,
];

/// Never kept and never passed on.
const HOP_BY_HOP: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    CONNECTION,
    TE,
    TRAILER,
    UPGRADE,
];

/// What a browser may do with an answer that it would otherwise run.
pub(super) const SANDBOX: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// A question to the upstream.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) variant: Verified<Variant>,
    /// The client's headers, as far as the origin may see them.
    pub(super) headers: HeaderMap,
}

/// What the stored answer says of itself, so that it need not be sent again.
#[derive(Debug, Default)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<SystemTime>,
}

/// The upstream's answer.
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: Content,
    /// Where the time of a render went, for `Server-Timing`.
    pub(super) timing: Option<String>,
    /// Why it is a failure, for the log alone.
    pub(super) failure: Option<Failure>,
    /// Headers that are for the first client alone and never stored.
    pub(super) private: HeaderMap,
}

/// The bytes of an answer.
pub(super) enum Content {
    Whole(Bytes),
    Stream(origin::Body),
}

impl Answer {
    /// An answer with nothing else to say.
    pub(super) fn new(head: Head, body: Content) -> Self {
        Self { head, body, timing: None, failure: None, private: HeaderMap::new() }
    }

    /// The body apart from all the rest.
    pub(super) fn split(mut self) -> (Self, Content) {
        let nothing = Content::Whole(Bytes::new());
        let body = std::mem::replace(&mut self.body, nothing);
        (self, body)
    }
}

impl Content {
    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// What the origin has to say; nothing comes after it.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, origin::Error>> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => None,
            Self::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
            Self::Stream(stream) => stream.next().await,
        }
    }
}

impl Question {
    /// The question of an admitted request.
    pub(super) fn new(edge: &Edge, variant: &Verified<Variant>, sent: &HeaderMap) -> Self {
        Self { variant: variant.clone(), headers: forwarded(edge, sent) }
    }

    /// Whether it takes a render to answer it.
    pub(super) fn is_for_a_picture(&self) -> bool {
        matches!(self.variant.value().work, VariantWork::Image { .. })
    }

    pub(super) fn key(&self) -> &ObjectKey {
        &self.variant.value().key
    }
}

/// Those of a client's headers that the origin gets to see.
fn forwarded(edge: &Edge, sent: &HeaderMap) -> HeaderMap {
    let named = connection_named(sent);
    let ours = bearer(sent).is_some_and(|key| edge.keys.load().has_api_key(key));
    let passes = |name: &HeaderName| {
        edge.origin.sees(name)
            && !NOT_FORWARDED.contains(name)
            && !named.contains(name)
            && *name != IF_NONE_MATCH
            && !(ours && *name == AUTHORIZATION)
    };
    let lines = sent.iter().filter(|(name, _)| passes(name));
    lines.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Asks for the whole answer, or whether the stored one still holds (an answer of 304).
pub(super) async fn ask(edge: &Edge, question: &Question, stored: &Validators) -> Answer {
    let result = match &question.variant.value().work {
        VariantWork::Original => original(edge, question, stored).await,
        VariantWork::Image { .. } => picture(edge, question, stored).await,
    };
    complete(edge, question, result)
}

/// Asks for the head of an original. `None` if the origin does not tell.
pub(super) async fn head(edge: &Edge, question: &Question) -> Option<Head> {
    let info = edge.origin.head(question.key()).await.ok()?;
    let answer = Answer::new(original_head(question.key(), &info, None), Content::Whole(Bytes::new()));
    Some(complete(edge, question, Ok(answer)).head)
}

/// Asks for a part of that version of an original which has this tag and length. What comes is that, or
/// nothing.
pub(super) async fn part(
    edge: &Edge,
    question: &Question,
    range: ByteRange,
    etag: &str,
    length: u64,
) -> Result<Content, Broken> {
    let headers = question.headers.clone();
    let ask = Ask { range: Some(range), if_match: Some(etag.to_owned()), headers, ..Ask::default() };
    match edge.origin.get(question.key(), &ask).await {
        Ok(origin::Answer::Object(object)) if object.info.etag.as_deref() != Some(etag) => {
            Err(Broken::Changed)
        }
        Ok(origin::Answer::Object(object)) if object.info.length != Some(length) => Err(Broken::Changed),
        Ok(origin::Answer::Object(object)) if object.part.is_none() => Err(Broken::NoParts),
        Ok(origin::Answer::Object(object)) if object.part == range.within(length) => {
            Ok(Content::Stream(object.body))
        }
        Err(origin::Error::Changed | origin::Error::NotFound(_) | origin::Error::RangeOutside { .. }) => {
            Err(Broken::Changed)
        }
        Ok(_) => {
            Err(Broken::Failed(origin::Error::BadAnswer("another part than the one asked for".to_owned())))
        }
        Err(error) => Err(Broken::Failed(error)),
    }
}

/// Makes an answer, failures included, fit to be kept and shown.
fn complete(edge: &Edge, question: &Question, result: Result<Answer, Failure>) -> Answer {
    let mut answer = result.unwrap_or_else(|failure| refusal(edge, question, failure));
    let headers = &mut answer.head.headers;
    for name in HOP_BY_HOP.iter().chain(&connection_named(headers)) {
        headers.remove(name);
    }
    answer.private = take_restricted(headers);
    if answer.head.status == 304 {
        return answer;
    }
    let is_versioned = question.variant.value().version.is_some();
    let control = edge.freshness.announce(&answer.head, is_versioned).to_string();
    let headers = &mut answer.head.headers;
    // What the origin says by `Expires` alone would be overruled.
    if answer.head.status >= 400 || headers.contains_key(CACHE_CONTROL) || !headers.contains_key(EXPIRES) {
        headers.insert(CACHE_CONTROL, value(&control));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media_type.is_some_and(is_active) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    }
    answer
}

/// Takes the headers out that must not be stored: those that the origin's `Cache-Control` names.
fn take_restricted(headers: &mut HeaderMap) -> HeaderMap {
    let lines = headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::as_bytes);
    let directives = Directives::parse(lines);
    let mut taken = HeaderMap::new();
    for name in directives.restricted_fields() {
        if let http::header::Entry::Occupied(entry) = headers.entry(name) {
            let (name, values) = entry.remove_entry_mult();
            for value in values {
                taken.append(name.clone(), value);
            }
        }
    }
    taken
}

async fn picture(edge: &Edge, question: &Question, stored: &Validators) -> Result<Answer, Failure> {
    if let Some(etag) = &stored.etag
        && edge.renderer.still_current(&question.variant, etag).await?
    {
        return Ok(not_modified(&ObjectInfo { etag: Some(etag.clone()), ..ObjectInfo::default() }));
    }
    let ask = Ask { headers: question.headers.clone(), ..Ask::default() };
    let result = edge.renderer.render(&question.variant, &ask).await;
    edge.metrics.rendered(result.is_ok());
    let rendered = result?;
    for (step, took) in rendered.timings.steps() {
        edge.metrics.render_step(step, took);
    }
    Ok(rendered_answer(rendered))
}

async fn original(edge: &Edge, question: &Question, stored: &Validators) -> Result<Answer, Failure> {
    let ask = Ask {
        if_none_match: stored.etag.clone(),
        if_modified_since: stored.last_modified,
        headers: question.headers.clone(),
        ..Ask::default()
    };
    fetch(edge, question.key(), &ask).await
}

async fn fetch(edge: &Edge, key: &ObjectKey, ask: &Ask) -> Result<Answer, Failure> {
    let object = match edge.origin.get(key, ask).await? {
        origin::Answer::NotModified(info) => return Ok(not_modified(&info)),
        origin::Answer::Object(object) => object,
    };
    let head = original_head(key, &object.info, object.part);
    Ok(Answer::new(head, Content::Stream(object.body)))
}

/// The head of an original, or of a part of it.
fn original_head(key: &ObjectKey, info: &ObjectInfo, part: Option<(u64, u64)>) -> Head {
    let mut head = described(200, info);
    head.headers.insert(CONTENT_TYPE, value(&media_type(key, info)));
    head.headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match (part, info.length) {
        (Some((first, last)), Some(length)) => {
            head.headers.insert(CONTENT_LENGTH, (last - first + 1).into());
            head.headers.insert(CONTENT_RANGE, value(&format!("bytes {first}-{last}/{length}")));
            head.status = 206;
        }
        (_, Some(length)) => {
            head.headers.insert(CONTENT_LENGTH, length.into());
        }
        (_, None) => {}
    }
    head
}

fn rendered_answer(rendered: Rendered) -> Answer {
    let mut head = described(200, &rendered.source);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(rendered.format.media_type()));
    head.headers.insert(CONTENT_LENGTH, rendered.bytes.len().into());
    head.headers.insert(ETAG, value(&rendered.etag));
    let timing = Some(server_timing(&rendered.timings));
    Answer { timing, ..Answer::new(head, Content::Whole(rendered.bytes)) }
}

fn not_modified(info: &ObjectInfo) -> Answer {
    Answer::new(described(304, info), Content::Whole(Bytes::new()))
}

fn refusal(edge: &Edge, question: &Question, mut failure: Failure) -> Answer {
    let mut head = failed(&failure);
    head.headers.extend(std::mem::take(&mut *failure.freshness));
    // What one client is refused, another may get: RFC 9111 section 3.5.
    let told = |name: &HeaderName| question.headers.contains_key(name) && edge.origin.sees(name);
    if [AUTHORIZATION, COOKIE].iter().any(told) {
        head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    let body = Content::Whole(failure.body().into());
    Answer { failure: Some(failure), ..Answer::new(head, body) }
}

/// The head of a failure's answer; its body is [`Failure::body`].
pub(super) fn failed(failure: &Failure) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
    headers.insert(CONTENT_LENGTH, failure.body().len().into());
    headers.insert(ERROR, HeaderValue::from_static(failure.code.as_str()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(seconds) = failure.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if let Some(length) = failure.object_bytes {
        headers.insert(CONTENT_RANGE, value(&Unsatisfiable { length }.content_range()));
    }
    Head { status: failure.code.status(), headers }
}

/// The source's own headers and validators.
fn described(status: u16, info: &ObjectInfo) -> Head {
    let mut headers = info.headers.clone();
    if let Some(etag) = &info.etag {
        headers.insert(ETAG, value(etag));
    }
    if let Some(changed) = info.last_modified {
        headers.insert(LAST_MODIFIED, value(&httpdate::fmt_http_date(changed)));
    }
    Head { status, headers }
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

/// Whether a browser would run what is in it.
pub(super) fn is_active(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    ["html", "xml", "svg", "javascript"].iter().any(|active| media_type.contains(active))
}

/// RFC 9110 section 7.6.1: what `Connection` names ends here.
fn connection_named(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let names = lines.flat_map(|line| line.split(',')).map(str::trim);
    let names = names.filter(|name| !["close", "keep-alive", ""].contains(name));
    names.filter_map(|name| name.parse().ok()).collect()
}

/// A header value of text that an origin may have chosen: what cannot stand in a header is left out.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
