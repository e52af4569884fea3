//! What each way through the cache costs: fetches from the origin and renders, counted for an original
//! and for a picture that is made of it.

use tokio::sync::oneshot;

use crate::conformance::Headers;
use crate::support::client::Reply;
use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::picture;

const ORIGINAL: &str = "/media/photo.jpg";
const VARIANT: &str = "/media/photo.jpg?resize=32,&format=png";

/// A web server with a photo, and the program before it.
struct Bench {
    origin: HttpOrigin,
    edge: Edge,
    target: &'static str,
}

/// What has been spent so far. A check that finds no change costs the origin a head alone.
#[derive(Debug, PartialEq, Eq)]
struct Spent {
    bodies: u64,
    checks: u64,
    renders: u64,
}

impl Bench {
    fn start(target: &'static str, control: &'static str) -> Self {
        let origin = HttpOrigin::start();
        origin.put("photo.jpg", &picture::jpeg(64, 48));
        origin.say(&[("cache-control", control)]);
        let edge = Edge::in_front_of(&origin, &[]);
        Self { origin, edge, target }
    }

    async fn ask(&self, headers: Headers<'_>) -> Reply {
        self.edge.send("GET", self.target, headers).await
    }

    async fn get(&self) -> Reply {
        let reply = self.ask(&[]).await;
        assert!(reply.status == 200 && reply.whole, "{reply:?}");
        reply
    }

    async fn spent(&self) -> Spent {
        let bodies =
            self.edge.metric("kinora_origin_requests_total", &[r#"method="get""#, r#"result="ok""#]).await;
        let requests = self.origin.requests().len() as u64;
        Spent { bodies, checks: requests - bodies, renders: self.edge.renders().await }
    }

    /// Compares what has been spent; a render is due only for a picture.
    async fn has_spent(&self, bodies: u64, checks: u64, renders: u64, what: &str) {
        let renders = if self.target == VARIANT { renders } else { 0 };
        assert_eq!(self.spent().await, Spent { bodies, checks, renders }, "{what} of {}", self.target);
    }
}

#[tokio::test]
async fn a_miss_costs_one_and_a_hit_nothing() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "max-age=600");
        let first = bench.get().await;
        bench.has_spent(1, 0, 1, "a miss").await;
        assert_eq!(bench.get().await.body, first.body);
        assert_eq!(bench.edge.send("HEAD", target, &[]).await.status, 200);
        bench.has_spent(1, 0, 1, "a hit").await;
    }
}

#[tokio::test]
async fn a_304_to_the_client_costs_nothing() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "max-age=600");
        let tag = bench.get().await.header("etag");
        assert_eq!(bench.ask(&[("If-None-Match", &tag)]).await.status, 304);
        bench.has_spent(1, 0, 1, "a 304").await;
    }
}

#[tokio::test]
async fn a_range_costs_nothing_more_than_the_whole() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "max-age=600");
        for headers in [[("Range", "bytes=0-9")], [("Range", "bytes=-5")], [("Range", "bytes=0-1,4-5")]] {
            assert_eq!(bench.ask(&headers).await.status, 206);
        }
        bench.get().await;
        eventually("the end of the fill", async || {
            (bench.edge.metric("kinora_cache_fills", &[]).await == 0).then_some(())
        })
        .await;
        assert_eq!(bench.ask(&[("Range", "bytes=9999999-")]).await.status, 416);
        let spent = bench.spent().await;
        assert_eq!(
            (spent.bodies, spent.renders),
            (1, u64::from(target == VARIANT)),
            "three ranges and the whole"
        );
        assert!(spent.checks <= 1, "the size may be asked first: {spent:?}");
    }
}

#[tokio::test]
async fn a_check_costs_a_304_and_no_render() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "no-cache");
        let first = bench.get().await;
        for round in 1..=3 {
            assert_eq!(bench.get().await.body, first.body);
            bench.has_spent(1, round, 1, "a check").await;
        }
        bench.origin.put("photo.jpg", &picture::jpeg(48, 64));
        assert_ne!(bench.get().await.body, first.body);
        let spent = bench.spent().await;
        assert_eq!((spent.bodies, spent.renders), (2, 2 * u64::from(target == VARIANT)), "a change");
        assert!(spent.checks <= 4, "a check of its own may come before: {spent:?}");
    }
}

#[tokio::test]
async fn a_stale_answer_costs_one_in_the_background() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "max-age=0, stale-while-revalidate=600");
        let first = bench.get().await;
        bench.origin.put("photo.jpg", &picture::jpeg(48, 64));
        let (open, gate) = oneshot::channel();
        bench.origin.fault(Fault::Hold(gate));
        for _ in 0..5 {
            assert_eq!(bench.get().await.body, first.body);
        }
        bench.origin.say(&[("cache-control", "max-age=600")]);
        drop(open);
        eventually("the new one", async || (bench.get().await.body != first.body).then_some(())).await;
        let spent = bench.spent().await;
        assert_eq!(
            (spent.bodies, spent.renders),
            (2, 2 * u64::from(target == VARIANT)),
            "five stale answers"
        );
        assert!(spent.checks <= 1, "a check of its own may come before: {spent:?}");
    }
}

#[tokio::test]
async fn a_stale_answer_for_want_of_an_origin_costs_nothing_but_the_attempt() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "max-age=0, stale-if-error=600");
        let first = bench.get().await;
        bench.origin.fault(Fault::Status(500, "broken"));
        assert_eq!(bench.get().await.body, first.body);
        bench.has_spent(1, 1, 1, "an attempt").await;
    }
}

#[tokio::test]
async fn who_leaves_costs_nothing_more() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "max-age=600");
        let (open, gate) = oneshot::channel();
        bench.origin.fault(Fault::Hold(gate));
        let mut leaver = bench.edge.connect().await;
        leaver.ask("GET", target, &[]).await;
        eventually("its request", async || (!bench.origin.requests().is_empty()).then_some(())).await;
        drop(leaver);
        let stays = async { bench.get().await };
        futures::future::join(stays, async { drop(open) }).await;
        bench.has_spent(1, 0, 1, "one that left and one that stayed").await;
    }
}

#[tokio::test]
async fn nothing_that_is_forbidden_is_kept() {
    for target in [ORIGINAL, VARIANT] {
        let bench = Bench::start(target, "no-store");
        for round in 1..=3 {
            bench.get().await;
            bench.has_spent(round, 0, round, "no-store").await;
        }
    }
}
