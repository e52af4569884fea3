//! Faults of a server that S3 and web origins meet alike.

use std::net::TcpListener;
use std::time::Duration;

use futures::StreamExt;
use kinora::origin::{Address, Ask, ByteRange, Error, Kind};
use tokio::sync::oneshot;

use crate::origin::{config, error, key, object, open, read, web_config};
use crate::support::http_origin::{Fault, HttpOrigin};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_passing_fault_is_not_seen() {
    let server = HttpOrigin::start();
    server.put("a", b"a");
    let origin = open(&web_config(&server));
    for status in [500, 502, 503] {
        server.fault(Fault::Status(status, "later"));
        server.fault(Fault::Refuse);
        assert_eq!(read(&origin, "a").await, b"a", "{status}");
    }
    assert_eq!(server.requests().len(), 9, "three times one request and two retries");
}

#[tokio::test]
async fn retries_are_bounded_and_only_for_what_may_pass() {
    let server = HttpOrigin::start();
    server.put("a", b"a");
    let origin = open(&web_config(&server));
    for (status, requests) in [(500, 3), (502, 3), (503, 3), (504, 1), (429, 1), (403, 1), (404, 1), (418, 1)]
    {
        for _ in 0..requests {
            server.fault(Fault::Status(status, "no"));
        }
        let before = server.requests().len();
        error(&origin, "a", &Ask::default()).await;
        assert_eq!(server.requests().len() - before, requests, "{status}");
    }
    for _ in 0..3 {
        server.fault(Fault::Refuse);
    }
    let refused = error(&origin, "a", &Ask::default()).await;
    assert!(matches!(refused, Error::Unreachable(_)), "{refused:?}");
    assert_eq!(read(&origin, "a").await, b"a", "no fault is left over");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let mut config = config(Kind::Http);
    config.http.base_url = Address::new(format!("http://{address}"));
    let origin = open(&config);
    let unreachable = error(&origin, "private/name", &Ask::default()).await;
    assert!(matches!(unreachable, Error::Unreachable(_)), "{unreachable:?}");
    assert!(!unreachable.to_string().contains("private/name"), "no URL: {unreachable}");
    assert!(matches!(origin.ready().await, Err(Error::Unreachable(_))), "not ready");
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_an_error() {
    let server = HttpOrigin::start();
    server.put("a", &[7; 200_000]);
    let origin = open(&web_config(&server));
    let part = Ask { range: Some(ByteRange::From(100_000)), ..Ask::default() };
    for (what, ask, fault) in [
        ("cut", Ask::default(), Fault::Cut(150_000)),
        ("cut at the beginning", Ask::default(), Fault::Cut(0)),
        ("one byte short", Ask::default(), Fault::Longer),
        ("cut without an announced length", Ask::default(), Fault::ChunkedCut(150_000)),
        ("a part, cut", part.clone(), Fault::Cut(50_000)),
        ("a part, cut without an announced length", part.clone(), Fault::ChunkedCut(50_000)),
        ("another part", Ask { range: Some(ByteRange::Between(5, 9)), ..Ask::default() }, Fault::OtherPart),
        ("gzip", Ask::default(), Fault::Headers(&[("content-encoding", "gzip")])),
        ("gzip in a list", Ask::default(), Fault::Headers(&[("content-encoding", "identity, gzip")])),
        ("br", part, Fault::Headers(&[("content-encoding", "br")])),
    ] {
        server.fault(fault);
        let said = error(&origin, "a", &ask).await;
        assert!(matches!(said, Error::BadAnswer(_)), "{what}: {said:?}");
    }
    server.fault(Fault::Headers(&[("content-encoding", "identity")]));
    assert_eq!(read(&origin, "a").await.len(), 200_000, "identity is no coding");
    server.fault(Fault::Chunked);
    let found = object(origin.get(&key("a"), &Ask::default()).await);
    assert_eq!(found.info.length, None, "no length was announced");
    assert_eq!(crate::origin::bytes(found.body).await.expect("a whole body").len(), 200_000);
}

#[tokio::test]
async fn statuses_that_were_not_asked_for_are_errors() {
    let server = HttpOrigin::start();
    let origin = open(&web_config(&server));
    for status in [204, 206, 300, 304, 416, 302, 407, 505] {
        server.fault(Fault::Status(status, ""));
        let said = error(&origin, "a", &Ask::default()).await;
        assert!(matches!(said, Error::BadAnswer(_)), "{status}: {said:?}");
    }
    server.fault(Fault::Status(410, ""));
    let gone = error(&origin, "a", &Ask::default()).await;
    assert!(matches!(gone, Error::NotFound(_)), "410: {gone:?}");
}

#[tokio::test]
async fn a_server_without_ranges_hands_out_the_whole() {
    let server = HttpOrigin::start();
    server.put("a", b"0123456789");
    let origin = open(&web_config(&server));
    server.fault(Fault::IgnoreRange);
    let ask = Ask { range: Some(ByteRange::Last(1)), ..Ask::default() };
    let found = object(origin.get(&key("a"), &ask).await);
    assert_eq!((found.part, found.info.length), (None, Some(10)), "which the caller can see");
}

#[tokio::test]
async fn a_server_that_ignores_conditions_cannot_mix_two_objects() {
    let server = HttpOrigin::start();
    server.put("a", b"0123456789");
    let origin = open(&web_config(&server));
    let ask = Ask { range: Some(ByteRange::From(5)), if_match: Some("\"x\"".to_owned()), ..Ask::default() };
    server.fault(Fault::IgnoreConditions);
    let changed = error(&origin, "a", &ask).await;
    assert!(matches!(changed, Error::Changed), "{changed:?}");
    let etag = origin.head(&key("a")).await.expect("facts").etag;
    server.fault(Fault::OtherTag);
    let changed = error(&origin, "a", &Ask { if_match: etag, ..ask }).await;
    assert!(matches!(changed, Error::Changed), "{changed:?}");
}

#[tokio::test]
async fn every_wait_ends() {
    let server = HttpOrigin::start();
    server.put("a", &[7; 200_000]);
    let mut config = web_config(&server);
    config.first_byte_timeout = SHORT;
    let (_held, gate) = oneshot::channel();
    server.fault(Fault::Hold(gate));
    let late = error(&open(&config), "a", &Ask::default()).await;
    assert!(matches!(late, Error::TimedOut(_)), "{late:?}");
    assert!(server.requests().len() < 2, "a request that took too long is not sent again");

    let mut config = web_config(&server);
    config.read_timeout = SHORT;
    let (_held, gate) = oneshot::channel();
    server.fault(Fault::HoldAfter(100_000, gate));
    let late = error(&open(&config), "a", &Ask::default()).await;
    assert!(matches!(late, Error::TimedOut(_)), "{late:?}");
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let server = HttpOrigin::start();
    server.put("a", &[7; 200_000]);
    let (release, gate) = oneshot::channel();
    server.fault(Fault::HoldAfter(100_000, gate));
    let origin = open(&web_config(&server));
    let mut body = object(origin.get(&key("a"), &Ask::default()).await).body;
    let mut received = 0;
    while received < 100_000 {
        received += body.next().await.expect("a piece").expect("a good piece").len();
    }
    drop(release);
    while let Some(piece) = body.next().await {
        received += piece.expect("a good piece").len();
    }
    assert_eq!(received, 200_000);
}

#[tokio::test]
async fn a_body_that_is_dropped_stops_the_server() {
    let server = HttpOrigin::start();
    server.put("a", &[7; 200_000]);
    let (mut release, gate) = oneshot::channel();
    server.fault(Fault::HoldAfter(100_000, gate));
    let origin = open(&web_config(&server));
    let mut body = object(origin.get(&key("a"), &Ask::default()).await).body;
    body.next().await.expect("a piece").expect("a good piece");
    drop(body);
    let stopped = tokio::time::timeout(Duration::from_secs(20), release.closed()).await;
    assert!(stopped.is_ok(), "the server sees that nobody reads");
}
