//! Section 4.3: asking the origin whether what is stored still holds.

use crate::conformance::{Cache, FIRST, SECOND, date, is_hit, seconds, status_parameter};
use crate::support::http_origin::{Answer, Fault, LAST_MODIFIED};

const STALE: (&str, &str) = ("cache-control", "max-age=0");

#[tokio::test]
async fn rfc9111_4_3_1_the_stored_validators_are_sent() {
    let cache = Cache::start();
    for (headers, tag, changed) in [
        (&[STALE, ("etag", "\"1\"")][..], Some("\"1\""), None),
        (&[STALE, ("etag", "W/\"1\"")], Some("W/\"1\""), None),
        (&[STALE, ("last-modified", LAST_MODIFIED)], None, Some(LAST_MODIFIED)),
    ] {
        let object = cache.object(headers);
        for _ in 0..2 {
            assert_eq!(object.get().await.body, FIRST);
        }
        let requests = object.requests();
        assert!(requests[0].headers.keys().all(|name| !name.as_str().starts_with("if-")), "{requests:?}");
        let sent = |name| {
            requests[1].headers.get(name).map(|value: &http::HeaderValue| value.to_str().expect("text"))
        };
        assert_eq!((sent("if-none-match"), sent("if-modified-since")), (tag, changed));
    }
    let object = cache.object(&[STALE, ("etag", "\"1\""), ("last-modified", LAST_MODIFIED)]);
    for _ in 0..2 {
        object.get().await;
    }
    assert_eq!(object.requests()[1].headers["if-none-match"], "\"1\"", "the tag at least");
}

#[tokio::test]
async fn rfc9111_4_3_1_without_a_validator_it_is_fetched_anew() {
    let cache = Cache::start();
    let object = cache.written(Answer::new(200, &[STALE], FIRST));
    object.then(Answer::new(200, &[STALE], SECOND));
    assert_eq!(object.get().await.body, FIRST);
    assert_eq!(object.get().await.body, SECOND);
    assert!(object.requests()[1].headers.keys().all(|name| !name.as_str().starts_with("if-")));
}

#[tokio::test]
async fn rfc9111_4_3_3_a_full_answer_takes_the_place_of_the_stored_one() {
    let cache = Cache::start();
    let object = cache.object(&[STALE, ("x-old", "1")]);
    object.changes(&[("cache-control", "max-age=600"), ("x-new", "2")]);
    object.get().await;
    let new = object.get().await;
    assert_eq!((new.body.as_slice(), status_parameter(&new, "fwd").as_deref()), (SECOND, Some("stale")));
    let hit = object.get().await;
    assert!(is_hit(&hit) && hit.body == SECOND, "{hit:?}");
    assert_eq!(
        (hit.has("x-old"), hit.header("x-new"), hit.header("etag")),
        (false, "2".into(), "\"2\"".into())
    );
    assert_eq!(object.fetched(), 2);
}

#[tokio::test]
async fn rfc9111_4_3_4_a_304_updates_every_header_but_those_of_the_body() {
    let cache = Cache::start();
    let object = cache.object(&[
        STALE,
        ("content-type", "text/plain"),
        ("x-changed", "old"),
        ("x-lines", "1"),
        ("x-lines", "2"),
        ("x-kept", "as it was"),
    ]);
    object.then(Answer::new(
        304,
        &[
            ("cache-control", "max-age=600"),
            ("etag", "\"1\""),
            ("x-changed", "new"),
            ("x-lines", "3"),
            ("x-added", "now"),
            ("x-hop", "never"),
            ("connection", "x-hop"),
            ("content-type", "text/html"),
            ("content-encoding", "br"),
            ("content-range", "bytes 0-1/2"),
        ],
        b"",
    ));
    let first = object.get().await;
    for (reply, hit) in [(object.get().await, false), (object.get().await, true)] {
        assert_eq!((reply.status, reply.body.as_slice(), is_hit(&reply)), (200, FIRST, hit), "{reply:?}");
        let headers =
            ["cache-control", "x-changed", "x-lines", "x-added", "x-kept"].map(|name| reply.header(name));
        assert_eq!(headers, ["max-age=600", "new", "3", "now", "as it was"], "{reply:?}");
        assert_eq!(reply.header("content-type"), first.header("content-type"), "{reply:?}");
        assert_eq!(reply.header("content-length"), FIRST.len().to_string());
        for absent in ["x-hop", "content-encoding", "content-range"] {
            assert!(!reply.has(absent), "{absent}: {reply:?}");
        }
    }
    assert_eq!(object.fetched(), 2);
}

#[tokio::test]
async fn rfc9111_4_3_4_the_age_counts_from_the_304() {
    let cache = Cache::start();
    let dated = date(0);
    let object = cache.object(&[("cache-control", "max-age=600"), ("age", "900")]);
    object.then(Answer::new(304, &[("etag", "\"1\""), ("date", &dated)], b""));
    object.get().await;
    object.get().await;
    let hit = object.get().await;
    assert!(is_hit(&hit) && seconds(&hit, "age") < 100, "it is fresh again: {hit:?}");
    let object = cache.object(&[("cache-control", "max-age=600"), ("age", "900")]);
    object.then(Answer::new(304, &[("etag", "\"1\""), ("age", "300")], b""));
    object.get().await;
    object.get().await;
    let hit = object.get().await;
    assert!(is_hit(&hit) && seconds(&hit, "age") >= 300, "{hit:?}");
}

#[tokio::test]
async fn rfc9111_4_3_4_a_304_may_end_the_storing() {
    let cache = Cache::start();
    let object = cache.object(&[STALE]);
    object.then(Answer::new(304, &[("cache-control", "no-store"), ("etag", "\"1\"")], b""));
    object.changes(&[STALE]);
    object.get().await;
    let last = object.get().await;
    assert_eq!((last.status, last.body.as_slice()), (200, FIRST));
    let after = object.get().await;
    assert_eq!(after.body, SECOND, "{after:?}");
}

#[tokio::test]
async fn rfc9111_4_3_2_the_clients_condition_is_not_ours() {
    let cache = Cache::start();
    let object = cache.object(&[STALE]);
    object.get().await;
    let other = object.ask(&[("If-None-Match", "\"other\"")]).await;
    assert_eq!((other.status, other.body.as_slice()), (200, FIRST), "its copy is old, ours holds");
    assert_eq!(object.requests()[1].headers["if-none-match"], "\"1\"");
    let same = object.ask(&[("If-None-Match", "\"1\"")]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    object.changes(&[STALE]);
    let outdated = object.ask(&[("If-None-Match", "\"1\"")]).await;
    assert_eq!((outdated.status, outdated.body.as_slice()), (200, SECOND));
    let new = object.ask(&[("If-None-Match", "\"2\"")]).await;
    assert_eq!(
        (new.status, new.header("etag").as_str()),
        (304, "\"2\""),
        "the client has what is new already"
    );
}

#[tokio::test]
async fn rfc9111_4_3_3_a_missing_object_takes_the_place_of_the_stored_one() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=0, stale-if-error=600")]);
    object.then(Answer::new(404, &[], b"gone"));
    object.get().await;
    for _ in 0..2 {
        let reply = object.get().await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "404 is no failure");
    }
}

#[tokio::test]
async fn rfc9111_4_3_3_a_failed_check_leaves_what_is_stored() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=0, must-revalidate")]);
    object.get().await;
    object.fails(Fault::Status(500, "broken"));
    assert_eq!(object.get().await.status, 502);
    let again = crate::support::edge::eventually("the recovery", async || {
        Some(object.get().await).filter(|reply| reply.status == 200)
    });
    assert_eq!(again.await.body, FIRST);
    let last = object.requests().pop().expect("a request");
    assert_eq!(last.headers.get("if-none-match").expect("a condition"), "\"1\"", "not fetched again");
}

#[tokio::test]
async fn rfc9111_4_3_1_a_crowd_asks_once() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600"), ("age", "601")]);
    object.get().await;
    let (open, gate) = tokio::sync::oneshot::channel();
    object.fails(Fault::Hold(gate));
    object.then(Answer::new(304, &[("cache-control", "max-age=600"), ("age", "0"), ("etag", "\"1\"")], b""));
    let crowd = futures::future::join_all((0..20).map(|_| object.get()));
    let opened = async {
        cache.edge.until("kinora_connections", &[], 20).await;
        drop(open);
    };
    let (replies, ()) = futures::future::join(crowd, opened).await;
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.body == FIRST));
    assert_eq!(object.fetched(), 2);
}
