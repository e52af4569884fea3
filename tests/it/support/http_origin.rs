//! A web server with objects in memory that does as it is told, faults included.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;

use crate::support::server::{Reply, Server};

/// When every object was last changed.
pub(crate) const LAST_MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// What one request meets instead of a proper answer.
pub(crate) enum Fault {
    /// The connection is closed without an answer.
    Refuse,
    /// No answer until the sender is dropped.
    Hold(oneshot::Receiver<()>),
    /// So many bytes of the body, the others when the sender is dropped.
    HoldAfter(usize, oneshot::Receiver<()>),
    /// So many bytes of the body, and when the sender is dropped the end of the connection.
    HoldThenCut(usize, oneshot::Receiver<()>),
    /// This status with this body.
    Status(u16, &'static str),
    /// The body breaks off after so many bytes.
    Cut(usize),
    /// One more byte is announced than comes.
    Longer,
    /// The length is not announced.
    Chunked,
    /// The length is not announced, and the body breaks off after so many bytes.
    ChunkedCut(usize),
    /// The whole object, whatever part was asked.
    IgnoreRange,
    /// A proper part, but not the one that was asked.
    OtherPart,
    /// Conditions are ignored.
    IgnoreConditions,
    /// Another entity tag than before.
    OtherTag,
    /// The answer has these headers besides.
    Headers(&'static [(&'static str, &'static str)]),
    /// A redirect to this place.
    Redirect(String),
}

/// An answer whose headers and body the test wrote; the length and a date are added. With the status 200
/// it heeds `If-None-Match` and `If-Modified-Since` by its own validators.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// What is answered for one object.
#[derive(Default)]
struct Script {
    current: Option<Answer>,
    turns: VecDeque<Turn>,
}

/// What one request for an object meets.
enum Turn {
    Says(Answer),
    Meets(Fault),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// A running server.
pub(crate) struct HttpOrigin {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Bytes>,
    headers: Vec<(&'static str, &'static str)>,
    faults: VecDeque<Fault>,
    scripts: HashMap<String, Script>,
    seen: Vec<Seen>,
}

impl State {
    /// What this request meets: the object, the answer that was written for it, the fault.
    fn next(&mut self, path: &str) -> (Option<Bytes>, Option<Answer>, Option<Fault>) {
        match self.scripts.get_mut(path) {
            Some(script) => {
                let fault = script.next();
                (None, script.current.clone(), fault)
            }
            None => (self.objects.get(path).cloned(), None, self.faults.pop_front()),
        }
    }
}

impl Script {
    /// Goes on to the next answer, which stays until there is another, or to a fault that stands before it.
    fn next(&mut self) -> Option<Fault> {
        let turn = self.turns.pop_front();
        match turn {
            Some(Turn::Says(answer)) => self.current = Some(answer),
            // After the wait comes what was to come.
            Some(Turn::Meets(fault @ Fault::Hold(_))) => {
                self.next();
                return Some(fault);
            }
            Some(Turn::Meets(fault)) => return Some(fault),
            None => {}
        }
        None
    }
}

impl Answer {
    /// The last modification is [`LAST_MODIFIED`] only where the headers say so.
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { status, headers: headers.collect(), body: Bytes::copy_from_slice(body) }
    }

    fn response(&self, seen: &Seen) -> Response<Body> {
        let own = |name: &str| {
            self.headers
                .iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        };
        let asked = |name: HeaderName| seen.headers.get(name).and_then(|value| value.to_str().ok());
        let is_known = match asked(header::IF_NONE_MATCH) {
            Some(list) => own("etag").is_some_and(|etag| list.contains(etag)),
            None => asked(header::IF_MODIFIED_SINCE)
                .is_some_and(|date| own("last-modified").is_some_and(|own| own == date)),
        };
        let is_known = is_known && self.status == 200;
        let mut head = Response::builder().status(if is_known { 304 } else { self.status });
        for (name, value) in &self.headers {
            head = head.header(name, value);
        }
        if is_known || self.status == 304 {
            return head.body(Body::empty()).expect("a response");
        }
        let body = if seen.method == Method::HEAD { Bytes::new() } else { self.body.clone() };
        head.header(header::CONTENT_LENGTH, self.body.len()).body(Body::from(body)).expect("a response")
    }
}

impl HttpOrigin {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let server = Server::start(move |request| answer(shared.clone(), request));
        Self { server, state }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Stores an object under `/key`.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.lock().objects.insert(format!("/{key}"), Bytes::copy_from_slice(bytes));
    }

    /// From now on every answer for an object has these headers besides.
    pub(crate) fn say(&self, headers: &[(&'static str, &'static str)]) {
        self.lock().headers = headers.to_vec();
    }

    /// The next request without a fault of its own meets this one.
    pub(crate) fn fault(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// The next request for `/key` gets this answer. The last one that was written is repeated.
    pub(crate) fn says(&self, key: &str, answer: Answer) {
        self.lock().scripts.entry(format!("/{key}")).or_default().turns.push_back(Turn::Says(answer));
    }

    /// The next request for `/key`, whose answers are written, meets a fault; no other request does.
    pub(crate) fn fails(&self, key: &str, fault: Fault) {
        self.lock().scripts.entry(format!("/{key}")).or_default().turns.push_back(Turn::Meets(fault));
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Reply {
    let (parts, _) = request.into_parts();
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
    let seen = Seen { method: parts.method, path, headers: parts.headers };
    let (object, written, more, mut fault) = {
        let mut state = state.lock().expect("no panic");
        state.seen.push(seen.clone());
        let (object, written, fault) = state.next(&seen.path);
        (object, written, state.headers.clone(), fault)
    };
    let status = |status: u16| Response::builder().status(status);
    match fault.take() {
        Some(Fault::Refuse) => return None,
        Some(Fault::Status(code, body)) => return status(code).body(Body::from(body)).ok(),
        Some(Fault::Redirect(to)) => {
            return status(302).header(header::LOCATION, to).body(Body::empty()).ok();
        }
        Some(Fault::Hold(gate)) => drop(gate.await),
        other => fault = other,
    }
    if let Some(written) = written {
        return Some(written.response(&seen));
    }
    match object {
        Some(object) => {
            let mut answer = object_answer(&object, &seen, fault);
            for (name, value) in more {
                answer.headers_mut().append(name, HeaderValue::from_static(value));
            }
            Some(answer)
        }
        None => status(404).body(Body::from("not here")).ok(),
    }
}

fn object_answer(object: &Bytes, seen: &Seen, fault: Option<Fault>) -> Response<Body> {
    let etag = match fault {
        Some(Fault::OtherTag) => "\"other\"".to_owned(),
        _ => entity_tag(object),
    };
    let head = Response::builder()
        .header(header::ETAG, &etag)
        .header(header::LAST_MODIFIED, LAST_MODIFIED)
        .header(header::CONTENT_TYPE, "text/plain");
    let asked = |name: HeaderName| seen.headers.get(name).and_then(|value| value.to_str().ok());
    if !matches!(fault, Some(Fault::IgnoreConditions)) {
        if asked(header::IF_MATCH).is_some_and(|tag| tag != etag) {
            return head.status(412).body(Body::empty()).expect("a response");
        }
        if asked(header::IF_NONE_MATCH).is_some_and(|list| list.contains(&etag))
            || asked(header::IF_MODIFIED_SINCE) == Some(LAST_MODIFIED)
        {
            return head.status(304).body(Body::empty()).expect("a response");
        }
    }
    let range = asked(header::RANGE).filter(|_| !matches!(fault, Some(Fault::IgnoreRange)));
    let length = object.len();
    let (head, bytes) = match range.map(|text| part(text, length)) {
        None => (head, object.clone()),
        Some(None) => {
            let head = head.status(416).header(header::CONTENT_RANGE, format!("bytes */{length}"));
            return head.body(Body::empty()).expect("a response");
        }
        Some(Some((first, last))) => {
            let shift = usize::from(matches!(fault, Some(Fault::OtherPart)));
            let (first, last) = (first + shift, last + shift);
            let range = format!("bytes {first}-{last}/{length}");
            (head.status(206).header(header::CONTENT_RANGE, range), object.slice(first..=last))
        }
    };
    let announced = bytes.len() + usize::from(matches!(fault, Some(Fault::Longer)));
    let mut head = match fault {
        Some(Fault::Chunked | Fault::ChunkedCut(_)) => head,
        _ => head.header(header::CONTENT_LENGTH, announced),
    };
    if let Some(Fault::Headers(more)) = &fault {
        for (name, value) in *more {
            head = head.header(*name, *value);
        }
    }
    let body = if seen.method == Method::HEAD { Body::empty() } else { body(bytes, fault) };
    head.body(body).expect("a response")
}

/// The bytes as the fault has them.
fn body(mut bytes: Bytes, fault: Option<Fault>) -> Body {
    match fault {
        Some(Fault::Chunked) => Body::from_stream(stream::iter([Ok::<_, std::io::Error>(bytes)])),
        Some(Fault::Cut(length) | Fault::ChunkedCut(length)) => broken(bytes.split_to(length)),
        Some(Fault::Longer) => broken(bytes),
        Some(Fault::HoldAfter(length, gate)) => held(bytes.split_to(length), gate, Ok(bytes)),
        Some(Fault::HoldThenCut(length, gate)) => {
            held(bytes.split_to(length), gate, Err(std::io::Error::other("cut on purpose")))
        }
        _ => Body::from(bytes),
    }
}

/// These bytes, and the rest when the gate opens.
fn held(first: Bytes, gate: oneshot::Receiver<()>, rest: std::io::Result<Bytes>) -> Body {
    let rest = stream::once(async move {
        let _ = gate.await;
        rest
    });
    Body::from_stream(stream::iter([Ok(first)]).chain(rest))
}

/// These bytes, then the end of the connection.
fn broken(bytes: Bytes) -> Body {
    let end = Err(std::io::Error::other("cut on purpose"));
    // The pause lets the bytes reach the socket before the connection is dropped.
    let end = stream::once(async {
        tokio::task::yield_now().await;
        end
    });
    Body::from_stream(stream::iter([Ok(bytes)]).chain(end))
}

fn part(text: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(end)),
        (Ok(first), Err(_)) => (first, end),
        (Err(_), Ok(0)) => return None,
        (Err(_), Ok(count)) => (length.saturating_sub(count), end),
        (Err(_), Err(_)) => return None,
    };
    (first <= last).then_some((first, last))
}

fn entity_tag(object: &Bytes) -> String {
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    format!("\"{:x}\"", hasher.finish())
}
