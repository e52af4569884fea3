//! HTTP as the standards have it, asked of the whole program: one test per rule, named by the section of
//! the RFC, each with the requests counted that reached the origin.
//!
//! No test sleeps: an answer's age comes from the origin's `Age`, `Date` and `Expires`.

mod faults;
mod matrix;
mod raw_origin;
mod rfc5861;
mod rfc8246;
mod rfc9110;
mod rfc9111;
mod rfc9211;
mod rfc9213;

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::http_origin::{Answer, Fault, HttpOrigin, Seen};

type Headers<'a> = &'a [(&'a str, &'a str)];

/// The two states of every object here; their entity tags are [`FIRST_TAG`] and [`SECOND_TAG`].
const FIRST: &[u8] = b"the first state";
const SECOND: &[u8] = b"the second state of it";
const FIRST_TAG: &str = "\"1\"";
const SECOND_TAG: &str = "\"2\"";

/// The program in front of a web server whose every word is written by the test. All headers pass in
/// both directions, and nothing stale is used unless the origin allows it.
struct Cache {
    origin: HttpOrigin,
    edge: Edge,
    objects: AtomicUsize,
}

/// One object of the web server.
struct Object<'a> {
    cache: &'a Cache,
    key: String,
}

/// What an answer is good for afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// The origin is not asked again.
    Fresh,
    /// It is stored, and the origin is asked whether it still holds.
    Stale,
    /// It is not stored.
    Never,
}

impl Cache {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(settings: Headers<'_>) -> Self {
        let ours = [
            ("origin.http.forward_request_headers", "*"),
            ("origin.http.forward_response_headers", "*"),
            ("delivery.stale_while_revalidate", "0s"),
            ("delivery.stale_if_error", "0s"),
        ];
        let origin = HttpOrigin::start();
        let edge = Edge::in_front_of(&origin, &[&ours, settings].concat());
        Self { origin, edge, objects: AtomicUsize::new(0) }
    }

    /// A new object that the origin describes with these headers. It has an entity tag unless they have a
    /// validator.
    fn object(&self, headers: Headers<'_>) -> Object<'_> {
        self.written(Answer::new(200, &with_tag(headers, FIRST_TAG), FIRST))
    }

    /// A new object that is answered with exactly these headers.
    fn written(&self, answer: Answer) -> Object<'_> {
        let object = self.nameless();
        self.origin.says(&object.key, answer);
        object
    }

    /// A new object that nothing is known of.
    fn nameless(&self) -> Object<'_> {
        let number = self.objects.fetch_add(1, Ordering::Relaxed);
        Object { cache: self, key: format!("object-{number}") }
    }

    /// What becomes of an answer with these headers, seen by asking twice.
    async fn keeps(&self, headers: Headers<'_>) -> Kept {
        self.object(headers).is_kept(&[]).await
    }

    /// Answers with each of these headers are kept so.
    async fn all(&self, expected: Kept, cases: &[Headers<'_>]) {
        let mut others = Vec::new();
        for headers in cases {
            let kept = self.keeps(headers).await;
            if kept != expected {
                others.push(format!("{kept:?}: {headers:?}"));
            }
        }
        none(&others, &format!("{expected:?} is expected"));
    }

    /// Answers with each of these values of `Cache-Control` are kept so.
    async fn controls(&self, expected: Kept, values: &[&str]) {
        let headers: Vec<_> = values.iter().map(|value| [("cache-control", *value)]).collect();
        let cases: Vec<Headers<'_>> = headers.iter().map(|headers| &headers[..]).collect();
        self.all(expected, &cases).await;
    }
}

impl Object<'_> {
    fn target(&self) -> String {
        format!("/media/{}", self.key)
    }

    /// What the origin answers after what it was told to answer before.
    fn then(&self, answer: Answer) -> &Self {
        self.cache.origin.says(&self.key, answer);
        self
    }

    /// The origin then has the second state of it.
    fn changes(&self, headers: Headers<'_>) -> &Self {
        self.then(Answer::new(200, &with_tag(headers, SECOND_TAG), SECOND))
    }

    /// The origin then fails once.
    fn fails(&self, fault: Fault) -> &Self {
        self.cache.origin.fails(&self.key, fault);
        self
    }

    async fn get(&self) -> Reply {
        self.ask(&[]).await
    }

    async fn ask(&self, headers: Headers<'_>) -> Reply {
        self.send("GET", headers).await
    }

    async fn send(&self, method: &str, headers: Headers<'_>) -> Reply {
        self.cache.edge.send(method, &self.target(), headers).await
    }

    /// Asks twice, the second time with these headers.
    async fn is_kept(&self, headers: Headers<'_>) -> Kept {
        for headers in [headers, headers] {
            let reply = self.ask(headers).await;
            assert_eq!((reply.status, reply.body.as_slice()), (200, FIRST), "{reply:?}");
        }
        let requests = self.requests();
        match requests.as_slice() {
            [_] => Kept::Fresh,
            [_, second] if is_conditional(second) => Kept::Stale,
            [_, _] => Kept::Never,
            _ => panic!("{requests:?}"),
        }
    }

    /// The requests for it that reached the origin.
    fn requests(&self) -> Vec<Seen> {
        let path = format!("/{}", self.key);
        let requests = self.cache.origin.requests().into_iter();
        requests.filter(|seen| seen.path == path && seen.method == "GET").collect()
    }

    fn fetched(&self) -> usize {
        self.requests().len()
    }
}

fn is_conditional(seen: &Seen) -> bool {
    ["if-none-match", "if-modified-since"].iter().any(|name| seen.headers.contains_key(*name))
}

fn with_tag<'a>(headers: Headers<'a>, tag: &'a str) -> Vec<(&'a str, &'a str)> {
    let is_validator = |name: &str| ["etag", "last-modified"].contains(&name);
    let mut headers = headers.to_vec();
    if !headers.iter().any(|(name, _)| is_validator(name)) {
        headers.push(("etag", tag));
    }
    headers
}

/// The date so many seconds from now.
fn date(seconds: i64) -> String {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    httpdate::fmt_http_date(if seconds < 0 { now - span } else { now + span })
}

fn seconds(reply: &Reply, header: &str) -> i64 {
    reply.header(header).parse().unwrap_or_else(|_| panic!("no seconds in {header}: {reply:?}"))
}

/// A parameter of our member of `Cache-Status`, RFC 9211.
fn status_parameter(reply: &Reply, name: &str) -> Option<String> {
    let line = reply.header("cache-status");
    let ours = line.rsplit(", ").next().expect("a member");
    let mut parameters = ours.split("; ");
    assert_eq!(parameters.next(), Some("kinora"), "{line}");
    parameters.find_map(|parameter| match parameter.split_once('=') {
        Some((key, value)) => (key == name).then(|| value.to_owned()),
        None => (parameter == name).then(String::new),
    })
}

fn is_hit(reply: &Reply) -> bool {
    status_parameter(reply, "hit").is_some()
}

fn none<T: Debug>(wrong: &[T], expected: &str) {
    assert!(wrong.is_empty(), "{expected}, but not for\n{wrong:#?}");
}
