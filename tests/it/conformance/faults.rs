//! Origins that lie and clients that misbehave: the right bytes or a clear error, and nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::conformance::{Cache, FIRST, is_hit, none};
use crate::support::client::{Connection, Reply};
use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::{Answer, Fault, HttpOrigin};
use crate::support::program::with_crypto;

/// More than sockets and windows take in for a client that does not read.
const LARGE: usize = 12 << 20;

/// For what takes milliseconds when nobody is waited for.
const PROMPTLY: Duration = Duration::from_secs(15);

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 4096 * 7 + at + seed) as u8).collect()
}

/// An object too large to be kept as a whole, in two versions of the same length.
fn changing() -> (HttpOrigin, Edge, [Vec<u8>; 2]) {
    let origin = HttpOrigin::start();
    let versions = [bytes(LARGE, 0), bytes(LARGE, 1)];
    origin.put("o.bin", &versions[0]);
    let edge = Edge::in_front_of(&origin, &[("cache.max_object", "1MiB")]);
    (origin, edge, versions)
}

async fn part(edge: &Edge, first: usize, last: usize) -> Reply {
    let range = format!("bytes={first}-{last}");
    edge.send("GET", "/media/o.bin", &[("Range", &range)]).await
}

/// The bytes are those that the answer says they are, of one of the versions.
fn is_of_one(reply: &Reply, versions: &[Vec<u8>; 2]) -> bool {
    let (first, last) = match reply.status {
        206 => {
            let range = reply.header("content-range");
            let range =
                range.strip_prefix("bytes ").and_then(|range| range.split_once('/')).expect("a range").0;
            let (first, last) = range.split_once('-').expect("a range");
            (first.parse().expect("a number"), last.parse::<usize>().expect("a number"))
        }
        200 => (0, LARGE - 1),
        status => return status >= 500,
    };
    !reply.whole || versions.iter().any(|version| reply.body == version[first..=last])
}

#[tokio::test]
async fn two_versions_of_an_object_are_never_joined() {
    let (origin, edge, versions) = changing();
    let old = part(&edge, 0, 9).await;
    assert_eq!((old.status, old.body.as_slice()), (206, &versions[0][..10]));
    origin.put("o.bin", &versions[1]);
    let tag = old.header("etag");
    let mut tags = Vec::new();
    for first in [0, 4 << 20, LARGE - 10] {
        let reply = part(&edge, first, first + 9).await;
        assert!(is_of_one(&reply, &versions) && reply.status == 206, "{reply:?}");
        let is_old = reply.body == versions[0][first..first + 10];
        assert_eq!(is_old, reply.header("etag") == tag, "the tag is that of the bytes: {reply:?}");
        tags.push(reply.header("etag"));
    }
    let joined = [("Range", "bytes=4194304-4194313"), ("If-Range", tag.as_str())];
    let joined = edge.send("GET", "/media/o.bin", &joined).await;
    assert!(is_of_one(&joined, &versions));
    assert!(joined.status == 200 || joined.header("etag") == tag, "{:?}", joined.headers);
}

#[tokio::test]
async fn a_change_in_the_middle_of_an_answer_ends_it_or_is_not_seen() {
    let (origin, edge, versions) = changing();
    let mut slow = edge.connect().await;
    slow.ask("GET", "/media/o.bin", &[]).await;
    let mut reply = slow.head().await;
    let start = slow.exactly(1000).await.0;
    origin.put("o.bin", &versions[1]);
    // The new version is what the parts that are still to be fetched will be of.
    assert!(is_of_one(&part(&edge, LARGE - 10, LARGE - 1).await, &versions));
    let (rest, whole) = slow.exactly(LARGE - 1000).await;
    (reply.body, reply.whole) = ([start, rest].concat(), whole);
    assert!(is_of_one(&reply, &versions), "{} bytes of both versions", reply.body.len());
}

#[tokio::test]
async fn a_coded_answer_is_no_answer() {
    for status in [200, 206] {
        let (origin, edge, versions) = changing();
        if status == 200 {
            origin.put("a.txt", FIRST);
            origin.fault(Fault::Headers(&[("content-encoding", "gzip")]));
            let reply = edge.get("/media/a.txt").await;
            assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"));
        } else {
            origin.say(&[("content-encoding", "gzip")]);
            let reply = part(&edge, 0, 9).await;
            assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"), "{reply:?}");
            origin.say(&[]);
            let well = eventually("the recovery", async || {
                Some(part(&edge, 0, 9).await).filter(|reply| reply.status == 206)
            });
            assert_eq!(well.await.body, versions[0][..10]);
        }
    }
}

#[tokio::test]
async fn another_part_or_the_whole_for_a_part() {
    let (origin, edge, versions) = changing();
    for lie in 0..3 {
        // One answer tells the size, the next ones bring the part.
        for _ in 0..2 {
            origin.fault(match lie {
                0 => Fault::IgnoreRange,
                1 => Fault::OtherPart,
                _ => Fault::Chunked,
            });
        }
        let first = 100 + lie * 10;
        let reply = part(&edge, first, first + 9).await;
        assert!(is_of_one(&reply, &versions), "{lie}: {:?}", reply.headers);
        assert!(reply.status < 500 || reply.code().starts_with("origin_"), "{reply:?}");
        let well = eventually("the recovery", async || {
            Some(part(&edge, first, first + 9).await).filter(|reply| reply.status == 206)
        });
        assert_eq!(well.await.body, versions[0][first..first + 10], "{lie}");
    }
}

#[tokio::test]
async fn rfc9110_15_4_a_redirect_within_the_origin_is_followed() {
    let cache = Cache::start();
    let goal = cache.object(&[("cache-control", "max-age=600")]);
    let place = format!("{}/{}", cache.origin.url(), goal.key);
    let object = cache.written(Answer::new(302, &[("location", &place)], b"there"));
    for hit in [false, true] {
        let reply = object.get().await;
        assert_eq!((reply.status, reply.body.as_slice(), is_hit(&reply)), (200, FIRST, hit));
    }
    assert_eq!((object.fetched(), goal.fetched()), (1, 1));
}

fn h2(edge: &Edge) -> (Client, String) {
    with_crypto();
    let client = Client::builder().http2_prior_knowledge();
    // What one stream may hold back leaves room for the others of its connection.
    let client =
        client.http2_initial_stream_window_size(65_535).http2_initial_connection_window_size(16 << 20);
    (client.build().expect("a client"), format!("http://{}/media/o.bin", edge.public))
}

async fn large() -> (HttpOrigin, Arc<Edge>, Vec<u8>) {
    let origin = HttpOrigin::start();
    let object = bytes(LARGE, 3);
    origin.put("o.bin", &object);
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    (origin, edge, object)
}

/// Readers of the whole object, some on HTTP/1.1 and some on HTTP/2; each says whether it got it.
fn readers(edge: &Arc<Edge>, object: &[u8]) -> JoinSet<bool> {
    let object: Arc<[u8]> = object.into();
    let mut readers = JoinSet::new();
    for number in 0..4 {
        let (edge, object) = (Arc::clone(edge), Arc::clone(&object));
        readers.spawn(async move {
            if number % 2 == 0 {
                let reply = edge.get("/media/o.bin").await;
                return reply.whole && reply.body[..] == object[..];
            }
            let (client, url) = h2(&edge);
            let body = client.get(url).send().await.expect("an answer").bytes().await;
            body.is_ok_and(|body| body[..] == object[..])
        });
    }
    readers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_at_any_byte_takes_nothing_from_the_others() {
    let (origin, edge, object) = large().await;
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(LARGE / 2, gate));
    let (client, url) = h2(&edge);
    for position in [0, 1, 16_384, 65_536, 1 << 20, LARGE / 2] {
        let mut leaver = edge.connect().await;
        leaver.ask("GET", "/media/o.bin", &[]).await;
        assert_eq!(leaver.head().await.status, 200);
        assert!(leaver.exactly(position).await.0 == object[..position], "{position}");
        let mut stream = client.get(&url).send().await.expect("an answer");
        let mut taken = 0;
        while taken < position {
            taken += stream.chunk().await.expect("bytes").expect("more").len();
        }
    }
    let staying = readers(&edge, &object);
    eventually("the fill", async || (edge.metric("kinora_connections", &[]).await >= 4).then_some(())).await;
    drop(open);
    let all = timeout(PROMPTLY, staying.join_all()).await.expect("promptly");
    assert_eq!(all, [true; 4]);
    assert_eq!(origin.requests().len(), 1, "and the fill goes on for them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_a_first_client_that_stops_reading_stalls_nobody() {
    let (origin, edge, object) = large().await;
    let mut stopped = edge.connect().await;
    stopped.ask("GET", "/media/o.bin", &[]).await;
    assert_eq!(stopped.head().await.status, 200);
    let all = timeout(PROMPTLY, readers(&edge, &object).join_all()).await.expect("promptly");
    assert_eq!(all, [true; 4]);
    assert_eq!(origin.requests().len(), 1);
    let (body, whole) = stopped.exactly(LARGE).await;
    assert!(whole && body == object, "the rest is there when it reads on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9113_5_2_a_first_stream_that_stops_reading_stalls_nobody() {
    let (origin, edge, object) = large().await;
    let (client, url) = h2(&edge);
    let stopped = client.get(&url).send().await.expect("an answer");
    assert_eq!(stopped.status().as_u16(), 200);
    let beside = timeout(PROMPTLY, async { client.get(&url).send().await.expect("an answer").bytes().await });
    let beside = beside.await.expect("promptly").expect("a body");
    assert!(beside[..] == object[..], "another stream of the same connection");
    let all = timeout(PROMPTLY, readers(&edge, &object).join_all()).await.expect("promptly");
    assert_eq!(all, [true; 4]);
    assert_eq!(origin.requests().len(), 1);
    let rest = stopped.bytes().await.expect("a body");
    assert!(rest[..] == object[..], "the rest is there when it reads on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_that_breaks_is_an_error_on_every_connection() {
    let (origin, edge, object) = large().await;
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldThenCut(LARGE / 2, gate));
    let mut first = edge.connect().await;
    first.ask("GET", "/media/o.bin", &[]).await;
    assert_eq!(first.head().await.status, 200);
    let staying = readers(&edge, &object);
    edge.until("kinora_connections", &[], 5).await;
    drop(open);
    let (body, whole) = first.exactly(LARGE).await;
    assert!(!whole && body.len() <= LARGE / 2, "{} bytes", body.len());
    // Who came later may have been given a new fill, but never a short body that looks whole.
    timeout(PROMPTLY, staying.join_all()).await.expect("promptly");
    let well = eventually("the recovery", async || {
        Some(edge.get("/media/o.bin").await).filter(|reply| reply.status == 200 && reply.whole)
    });
    assert!(well.await.body == object);
}

/// What a client gets for these bytes, all of it.
async fn said(edge: &Edge, bytes: &[u8]) -> String {
    let mut connection: Connection = edge.connect().await;
    connection.write(bytes).await;
    String::from_utf8_lossy(&connection.rest().await).into_owned()
}

#[tokio::test]
async fn rfc9112_9_3_2_pipelined_requests_are_answered_in_order_or_left() {
    let edge = Edge::start(&[]);
    for key in ["a.txt", "b.txt", "c.txt"] {
        edge.put(key, key.as_bytes());
        edge.get(&format!("/media/{key}")).await;
    }
    let request = |key: &str, last: &str| format!("GET /media/{key} HTTP/1.1\r\nHost: x\r\n{last}\r\n");
    let three =
        [request("a.txt", ""), request("b.txt", ""), request("c.txt", "Connection: close\r\n")].concat();
    let mut connection = edge.connect().await;
    connection.write(three.as_bytes()).await;
    let mut answered = Vec::new();
    while let Some(reply) = connection.next().await {
        assert!(reply.status == 200 && reply.whole, "{reply:?}");
        answered.push(String::from_utf8(reply.body).expect("text"));
    }
    let expected = ["a.txt", "b.txt", "c.txt"];
    assert!(!answered.is_empty() && expected[..answered.len()] == answered[..], "{answered:?}");
}

#[tokio::test]
async fn rfc9112_what_can_be_read_in_two_ways_is_refused_and_nobody_else_notices() {
    let (origin, edge, object) = large().await;
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(LARGE / 2, gate));
    let mut bystander = edge.connect().await;
    bystander.ask("GET", "/media/o.bin", &[]).await;
    assert_eq!(bystander.head().await.status, 200);
    let mut wrong = Vec::new();
    for (head, status) in [
        ("GET /media/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET /media/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET /media/x HTTP/1.1\r\nHost: a, b\r\nConnection: close\r\n\r\n", "400"),
        ("GET /media/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "4"),
        ("GET /media/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nab", "4"),
        ("GET /media/x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "4"),
        (
            "GET /media/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "4",
        ),
        ("GET http://a/media/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
        ("GET http://b/media/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "4"),
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ] {
        let said = timeout(PROMPTLY, said(&edge, head.as_bytes())).await.unwrap_or("no end".to_owned());
        // Closed without a word is an answer, too.
        let is_refused = said.is_empty() || said.starts_with(&format!("HTTP/1.1 {status}"));
        if !is_refused || said.matches("HTTP/1.1 ").count() > 1 {
            wrong.push(format!("{head}: {said}"));
        }
    }
    none(&wrong, "one answer at most, and a refusal");
    drop(open);
    let (body, whole) = bystander.exactly(LARGE).await;
    assert!(whole && body == object, "{} bytes", body.len());
}
