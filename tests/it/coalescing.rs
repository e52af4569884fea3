//! Many clients, one fetch: equal misses at once, and readers of what is still arriving.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::picture;

const CROWD: usize = 200;

/// Larger than every socket buffer between an origin and a client that does not read.
const LARGE: usize = 24 << 20;

fn large() -> Vec<u8> {
    (0..LARGE).map(|n| (n / 4096 + n) as u8).collect()
}

/// So many equal requests at once.
fn crowd(edge: &Arc<Edge>, size: usize, target: &'static str) -> JoinSet<Reply> {
    let mut crowd = JoinSet::new();
    for _ in 0..size {
        let edge = Arc::clone(edge);
        crowd.spawn(async move { edge.get(target).await });
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_equal_misses_is_one_fetch_and_one_render() {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(640, 480));
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let crowd = crowd(&edge, CROWD, "/media/photo.jpg?resize=320,&format=webp");
    edge.until("kinora_connections", &[], CROWD as u64).await;
    drop(open);
    let replies = crowd.join_all().await;
    for reply in &replies {
        assert_eq!((reply.status, reply.whole, &reply.body), (200, true, &replies[0].body), "{reply:?}");
    }
    assert_eq!(picture::read(&replies[0].body).width, 320);
    assert_eq!(origin.requests().len(), 1);
    assert_eq!((edge.origin_gets().await, edge.renders().await), (1, 1));
    let stored = replies.iter().filter(|reply| !reply.header("cache-status").contains("collapsed")).count();
    assert!(stored < CROWD, "the others say that they joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_shares_a_failure() {
    let origin = HttpOrigin::start();
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let missing = crowd(&edge, CROWD, "/media/none.jpg?resize=320,");
    edge.until("kinora_connections", &[], CROWD as u64).await;
    drop(open);
    for reply in missing.join_all().await {
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
    }
    let asked = origin.requests().len();
    assert!(asked <= 2, "{asked} requests for one answer");

    for _ in 0..10 {
        origin.fault(Fault::Status(500, "broken"));
    }
    for reply in crowd(&edge, CROWD, "/media/broken.jpg").join_all().await {
        assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"));
    }
    let asked = origin.requests().len() - asked;
    assert!(asked <= 4, "{asked} requests for one answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_takes_nothing_from_the_others() {
    let origin = HttpOrigin::start();
    let object = large();
    origin.put("o.bin", &object);
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(100_000, gate));
    let mut first = edge.connect().await;
    first.ask("GET", "/media/o.bin", &[]).await;
    assert_eq!(first.head().await.status, 200);
    assert!(first.exactly(1000).await.0 == object[..1000]);
    let others = crowd(&edge, 5, "/media/o.bin");
    edge.until("kinora_connections", &[], 6).await;
    drop(first);
    drop(open);
    for reply in others.join_all().await {
        assert!(reply.whole && reply.body == object, "{} of {LARGE} bytes", reply.body.len());
    }
    let asked = origin.requests().len();
    assert!(asked <= 2, "{asked} requests");
    assert!(edge.get("/media/o.bin").await.header("cache-status").starts_with("kinora; hit"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_stalls_nobody() {
    let origin = HttpOrigin::start();
    let object = large();
    origin.put("o.bin", &object);
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    let mut slow = edge.connect().await;
    slow.ask("GET", "/media/o.bin", &[]).await;
    assert_eq!(slow.head().await.status, 200);
    let quick = edge.get("/media/o.bin").await;
    assert!(quick.whole && quick.body == object, "{} of {LARGE} bytes", quick.body.len());
    assert_eq!(origin.requests().len(), 1);
    let (body, whole) = slow.exactly(LARGE).await;
    assert!(whole && body == object, "and the slow one gets everything in the end: {}", body.len());
}

#[tokio::test]
async fn readers_stream_what_is_still_arriving() {
    let origin = HttpOrigin::start();
    let object: Vec<u8> = (0..300_000).map(|n| n as u8).collect();
    origin.put("o.bin", &object);
    let edge = Edge::in_front_of(&origin, &[]);
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(200_000, gate));
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut connection = edge.connect().await;
        connection.ask("GET", "/media/o.bin", &[]).await;
        assert_eq!(connection.head().await.status, 200);
        assert!(connection.exactly(200_000).await.0 == object[..200_000], "before the end has come");
        connections.push(connection);
    }
    let mut part = edge.connect().await;
    part.ask("GET", "/media/o.bin", &[("Range", "bytes=100-199")]).await;
    let part = part.reply("GET").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &object[100..200]), "{part:?}");
    drop(open);
    for mut connection in connections {
        let (rest, whole) = connection.exactly(100_000).await;
        assert!(whole && rest == object[200_000..]);
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_that_breaks_never_looks_whole() {
    let origin = HttpOrigin::start();
    let object: Vec<u8> = (0..300_000).map(|n| n as u8).collect();
    origin.put("o.bin", &object);
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    for cut in [0, 1, 200_000] {
        origin.fault(Fault::Cut(cut));
        let replies = crowd(&edge, 10, "/media/o.bin").join_all().await;
        for reply in &replies {
            let is_short = reply.status == 200 && reply.whole && reply.body != object;
            assert!(!is_short, "{} bytes look like all", reply.body.len());
            assert!(reply.status == 200 || reply.status >= 500, "{reply:?}");
        }
    }
    let after = crate::support::edge::eventually("an answer", async || {
        Some(edge.get("/media/o.bin").await).filter(|reply| reply.status == 200)
    });
    let after = after.await;
    assert!(after.whole && after.body == object, "nothing broken is kept: {} bytes", after.body.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_the_picture_is_made_leaves_the_work_to_the_next() {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    let target = "/media/photo.jpg?resize=32,&format=png";
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let mut first = edge.connect().await;
    first.ask("GET", target, &[]).await;
    edge.until("kinora_renders_in_flight", &[], 1).await;
    let others = crowd(&edge, 20, target);
    edge.until("kinora_connections", &[], 21).await;
    drop(first);
    drop(open);
    for reply in others.join_all().await {
        assert!(reply.status == 200 && reply.whole, "{reply:?}");
    }
    assert_eq!(edge.renders().await, 1);
    assert!(origin.requests().len() <= 2);
}

#[tokio::test]
async fn work_that_everybody_has_left_is_not_begun() {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    let edge = Edge::in_front_of(&origin, &[("cache.originals", "0")]);
    let target = "/media/photo.jpg?resize=32,&format=png";
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut connection = edge.connect().await;
        connection.ask("GET", target, &[]).await;
        waiting.push(connection);
    }
    edge.until("kinora_renders_in_flight", &[], 1).await;
    edge.until("kinora_connections", &[], 3).await;
    drop(waiting);
    let idle = async || (edge.metric("kinora_renders_in_flight", &[]).await == 0).then_some(());
    crate::support::edge::eventually("nothing under way", idle).await;
    drop(open);
    assert_eq!(edge.get("/media/photo.jpg?resize=16,&format=png").await.status, 200);
    assert_eq!(edge.renders().await, 1, "that of the one who stayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_among_the_fills_is_passed_on() {
    let origin = HttpOrigin::start();
    let object: Vec<u8> = (0..2_000_000).map(|n| n as u8).collect();
    origin.put("o.bin", &object);
    origin.put("a.txt", b"text");
    let edge = Edge::in_front_of(&origin, &[("cache.fills", "1MiB")]);
    for fetched in 1..=2 {
        let reply = edge.get("/media/o.bin").await;
        assert!(reply.whole && reply.body == object, "{}", reply.body.len());
        assert_eq!(origin.requests().len(), fetched, "not kept");
    }
    for _ in 0..2 {
        assert_eq!(edge.get("/media/a.txt").await.body, b"text");
    }
    assert_eq!(origin.requests().len(), 3, "what fits is kept as ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_shared_is_fetched_for_each() {
    let origin = HttpOrigin::start();
    origin.put("a.txt", b"text");
    origin.say(&[("cache-control", "no-store")]);
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let crowd = crowd(&edge, 50, "/media/a.txt");
    edge.until("kinora_connections", &[], 50).await;
    drop(open);
    for reply in crowd.join_all().await {
        assert!(reply.status == 200 && reply.body == b"text", "{reply:?}");
    }
    assert_eq!(origin.requests().len(), 50);
}
