//! RFC 9211, `Cache-Status`.

use tokio::sync::oneshot;

use crate::conformance::{Cache, is_hit, status_parameter};
use crate::support::client::Reply;
use crate::support::edge::eventually;
use crate::support::http_origin::{Answer, Fault};

fn ttl(reply: &Reply) -> i64 {
    status_parameter(reply, "ttl")
        .and_then(|ttl| ttl.parse().ok())
        .unwrap_or_else(|| panic!("no ttl: {reply:?}"))
}

fn forwarded(reply: &Reply) -> String {
    status_parameter(reply, "fwd").unwrap_or_default()
}

#[tokio::test]
async fn rfc9211_2_1_a_hit_is_what_did_not_go_forward() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600")]);
    assert!(!is_hit(&object.get().await));
    for (headers, status) in [
        (&[][..], 200),
        (&[("Range", "bytes=0-1")], 206),
        (&[("If-None-Match", "\"1\"")], 304),
        (&[("Range", "bytes=900-")], 416),
    ] {
        let reply = object.ask(headers).await;
        assert_eq!(
            (reply.status, is_hit(&reply), forwarded(&reply).as_str()),
            (status, true, ""),
            "{reply:?}"
        );
    }
    assert!(is_hit(&object.send("HEAD", &[]).await));
}

#[tokio::test]
async fn rfc9211_2_2_why_it_went_forward() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600"), ("age", "900")]);
    let (miss, stale) = (object.get().await, object.get().await);
    assert!(["uri-miss", "miss"].contains(&forwarded(&miss).as_str()), "{miss:?}");
    assert_eq!(forwarded(&stale), "stale", "{stale:?}");
    let varying = [("cache-control", "max-age=600"), ("vary", "X-Kind")];
    let object = cache.object(&varying);
    object.ask(&[("X-Kind", "1")]).await;
    let other = object.ask(&[("X-Kind", "2")]).await;
    assert!(["vary-miss", "miss"].contains(&forwarded(&other).as_str()), "{other:?}");
    let object = cache.object(&[("cache-control", "no-store")]);
    for _ in 0..2 {
        assert!(!forwarded(&object.get().await).is_empty());
    }
}

#[tokio::test]
async fn rfc9211_2_3_the_origins_status() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=0")]);
    let status = |reply: &Reply| status_parameter(reply, "fwd-status");
    assert_eq!(status(&object.get().await).as_deref(), Some("200"));
    let checked = object.get().await;
    assert_eq!((checked.status, status(&checked).as_deref()), (200, Some("304")));
    let known = object.ask(&[("If-None-Match", "\"1\"")]).await;
    assert_eq!((known.status, status(&known).as_deref()), (304, Some("304")));
    let part = cache.object(&[("cache-control", "max-age=0")]).ask(&[("Range", "bytes=0-1")]).await;
    assert_eq!((part.status, status(&part).as_deref()), (206, Some("200")), "the whole was fetched");
}

#[tokio::test]
async fn rfc9211_2_4_freshness_left_or_past() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600"), ("age", "100")]);
    object.get().await;
    assert!((400..=500).contains(&ttl(&object.get().await)));
    let object =
        cache.object(&[("cache-control", "max-age=600, stale-while-revalidate=6000"), ("age", "1000")]);
    object.get().await;
    let stale = object.get().await;
    assert!(is_hit(&stale) && (-500..=-400).contains(&ttl(&stale)), "it did not go forward: {stale:?}");
    let object = cache.object(&[("cache-control", "max-age=600, stale-if-error=6000"), ("age", "1000")]);
    object.get().await;
    object.fails(Fault::Status(503, "later"));
    let stale = object.get().await;
    assert_eq!(
        (stale.status, forwarded(&stale).as_str(), ttl(&stale) <= -400),
        (200, "stale", true),
        "{stale:?}"
    );
    assert!(!is_hit(&stale), "it went forward in vain: {stale:?}");
}

#[tokio::test]
async fn rfc9211_2_5_whether_it_was_stored() {
    let cache = Cache::start();
    let stored = |reply: &Reply| status_parameter(reply, "stored").is_some();
    assert!(stored(&cache.object(&[("cache-control", "max-age=600")]).get().await));
    assert!(stored(&cache.object(&[("cache-control", "no-cache")]).get().await));
    for control in ["no-store", "private"] {
        assert!(!stored(&cache.object(&[("cache-control", control)]).get().await), "{control}");
    }
    let object = cache.object(&[("cache-control", "max-age=600")]);
    object.get().await;
    assert!(!stored(&object.get().await), "a hit stores nothing");
}

#[tokio::test]
async fn rfc9211_2_6_who_waited_for_another() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600")]);
    let (open, gate) = oneshot::channel();
    cache.origin.fails("held", Fault::Hold(gate));
    cache.origin.says("held", Answer::new(200, &[("cache-control", "max-age=600")], b"held"));
    let crowd = futures::future::join_all((0..5).map(|_| cache.edge.get("/media/held")));
    let opened = async {
        cache.edge.until("kinora_connections", &[], 5).await;
        drop(open);
    };
    let (replies, ()) = futures::future::join(crowd, opened).await;
    let collapsed = replies.iter().filter(|reply| status_parameter(reply, "collapsed").is_some());
    assert!((1..5).contains(&collapsed.count()), "all but those who asked or came later: {replies:?}");
    assert!(status_parameter(&object.get().await, "collapsed").is_none(), "nobody waited");
}

#[tokio::test]
async fn rfc9211_2_the_status_of_the_caches_behind_us_comes_first() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600"), ("cache-status", "inner; hit; ttl=30")]);
    for reply in [object.get().await, object.get().await] {
        let line = reply.header("cache-status");
        assert!(line.starts_with("inner; hit; ttl=30, kinora; "), "{line}");
        assert_eq!(line.matches("kinora").count(), 1, "{line}");
    }
}

#[tokio::test]
async fn rfc9211_2_the_status_is_of_this_request_and_not_stored() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600")]);
    object.get().await;
    let hit = eventually("a hit", async || Some(object.get().await).filter(is_hit)).await;
    assert!(!hit.header("cache-status").contains("fwd"), "{hit:?}");
}
