//! RFC 5861, `stale-while-revalidate` and `stale-if-error`.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::conformance::{Cache, FIRST, Kept, SECOND, is_hit, none, seconds};
use crate::support::client::Reply;
use crate::support::edge::eventually;
use crate::support::http_origin::{Answer, Fault};

/// 1000 seconds old, fresh for 600.
fn old(control: &str) -> [(&str, &str); 2] {
    [("cache-control", control), ("age", "1000")]
}

/// Whether the answer is the first state, or none because the origin fails.
fn is_stale(reply: &Reply) -> bool {
    if reply.status == 200 {
        assert_eq!(reply.body, FIRST, "{reply:?}");
    } else {
        assert!([502, 504].contains(&reply.status), "{reply:?}");
    }
    reply.status == 200
}

#[tokio::test]
async fn rfc5861_3_the_stored_answer_at_once_and_one_fetch() {
    let cache = Cache::start();
    let object = cache.object(&old("max-age=600, stale-while-revalidate=600"));
    object.get().await;
    let (open, gate) = oneshot::channel();
    object.fails(Fault::Hold(gate)).changes(&[("cache-control", "max-age=600")]);
    for _ in 0..5 {
        let reply = object.get().await;
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, FIRST),
            "while the origin holds its answer back"
        );
        assert!(seconds(&reply, "age") >= 1000, "{reply:?}");
    }
    drop(open);
    let new =
        eventually("the new one", async || Some(object.get().await).filter(|reply| reply.body == SECOND));
    assert!(is_hit(&new.await));
    assert_eq!(object.fetched(), 2, "exactly one in the background");
}

#[tokio::test]
async fn rfc5861_3_a_check_in_the_background_makes_it_fresh() {
    let cache = Cache::start();
    let object = cache.object(&old("max-age=600, stale-while-revalidate=600"));
    object.get().await;
    let fresh = [("cache-control", "max-age=600"), ("age", "0"), ("etag", "\"1\"")];
    object.then(Answer::new(304, &fresh, b""));
    assert!(seconds(&object.get().await, "age") >= 1000);
    eventually("a fresh one", async || (seconds(&object.get().await, "age") < 600).then_some(())).await;
    assert_eq!(object.fetched(), 2);
    assert_eq!(object.requests()[1].headers["if-none-match"], "\"1\"");
}

#[tokio::test]
async fn rfc5861_3_beyond_the_window_it_waits() {
    let cache = Cache::start();
    for control in
        ["max-age=600, stale-while-revalidate=300", "max-age=600, stale-while-revalidate=0", "max-age=600"]
    {
        let object = cache.object(&old(control));
        object.changes(&[("cache-control", "max-age=600")]);
        object.get().await;
        assert_eq!(object.get().await.body, SECOND, "{control}");
        assert_eq!(object.fetched(), 2);
    }
}

#[tokio::test]
async fn rfc5861_3_a_window_that_is_no_number_is_none() {
    let cache = Cache::start();
    for window in ["stale-while-revalidate", "stale-while-revalidate=long", "stale-while-revalidate=-1"] {
        let object = cache.object(&old(&format!("max-age=600, {window}")));
        object.changes(&[("cache-control", "max-age=600")]);
        object.get().await;
        assert_eq!(object.get().await.body, SECOND, "{window}");
    }
}

#[tokio::test]
async fn rfc5861_3_a_background_fetch_that_fails_is_tried_again() {
    let cache = Cache::start();
    let object = cache.object(&old("max-age=600, stale-while-revalidate=600"));
    object.get().await;
    object.fails(Fault::Status(500, "broken")).changes(&[("cache-control", "max-age=600")]);
    let new = eventually("the new one", async || {
        let reply = object.get().await;
        assert_eq!(reply.status, 200, "nobody is told: {reply:?}");
        Some(reply).filter(|reply| reply.body == SECOND)
    });
    new.await;
    assert_eq!(object.fetched(), 3);
}

#[tokio::test]
async fn rfc5861_3_the_window_of_the_configuration_holds_where_the_origin_is_silent() {
    let cache = Cache::with(&[("delivery.s_maxage", "600s"), ("delivery.stale_while_revalidate", "600s")]);
    let object = cache.object(&[("age", "1000")]);
    object.get().await;
    let (_open, gate) = oneshot::channel();
    object.fails(Fault::Hold(gate));
    assert!(is_hit(&object.get().await), "at once");
    let object = cache.object(&old("max-age=600"));
    object.changes(&[]);
    object.get().await;
    assert_eq!(object.get().await.body, SECOND, "the origin's own words leave no window");
}

#[tokio::test]
async fn rfc5861_4_every_failure_counts_within_the_bound() {
    let cache = Cache::with(&[("origin.first_byte_timeout", "300ms"), ("origin.read_timeout", "300ms")]);
    let held = || {
        let (open, gate) = oneshot::channel();
        // The gate stays shut until the test is over.
        std::mem::forget(open);
        Fault::Hold(gate)
    };
    let faults: [(&str, &dyn Fn() -> Fault); 6] = [
        ("closed", &|| Fault::Refuse),
        ("silent", &held),
        ("500", &|| Fault::Status(500, "broken")),
        ("502", &|| Fault::Status(502, "broken")),
        ("503", &|| Fault::Status(503, "broken")),
        ("504", &|| Fault::Status(504, "broken")),
    ];
    let mut wrong = Vec::new();
    for (name, fault) in faults {
        for (control, allowed) in [
            ("max-age=600, stale-if-error=600", true),
            ("max-age=600, stale-if-error=300", false),
            ("max-age=600", false),
            ("max-age=600, stale-if-error=600, must-revalidate", false),
            ("max-age=600, stale-if-error=600, proxy-revalidate", false),
            ("stale-if-error=600, no-cache", false),
        ] {
            let object = cache.object(&old(control));
            assert_eq!(object.get().await.body, FIRST);
            object.fails(fault());
            if is_stale(&object.get().await) != allowed {
                wrong.push(format!("{name}: {control}"));
            }
            assert_eq!(object.fetched(), 2, "{name}: {control}");
        }
    }
    none(&wrong, "stale within its bound, and only there");
}

#[tokio::test]
async fn rfc9111_5_2_2_10_s_maxage_leaves_only_what_is_allowed_by_name() {
    let cache =
        Cache::with(&[("delivery.stale_if_error", "600s"), ("delivery.stale_while_revalidate", "600s")]);
    for (control, allowed) in [
        ("s-maxage=600", false),
        ("s-maxage=600, stale-if-error=600", true),
        ("s-maxage=600, max-age=9", false),
    ] {
        let object = cache.object(&old(control));
        object.get().await;
        object.fails(Fault::Status(500, "broken"));
        assert_eq!(is_stale(&object.get().await), allowed, "{control}");
    }
}

#[tokio::test]
async fn rfc5861_4_nobody_listens_there() {
    let mut cache = Cache::start();
    let (allowed, banned) = ("/media/allowed", "/media/banned");
    for (key, control) in [("allowed", "max-age=0, stale-if-error=600"), ("banned", "max-age=0")] {
        cache.origin.says(key, Answer::new(200, &[("cache-control", control), ("etag", "\"1\"")], FIRST));
        assert_eq!(cache.edge.get(&format!("/media/{key}")).await.status, 200);
    }
    drop(std::mem::replace(&mut cache.origin, crate::support::http_origin::HttpOrigin::start()));
    for _ in 0..2 {
        assert!(is_stale(&cache.edge.get(allowed).await));
        assert!(!is_stale(&cache.edge.get(banned).await));
    }
}

#[tokio::test]
async fn rfc5861_4_an_answer_that_breaks_off_counts_as_well() {
    let cache = Cache::start();
    cache.origin.put("a.txt", FIRST);
    cache.origin.say(&[("cache-control", "max-age=0, stale-if-error=600")]);
    assert_eq!(cache.edge.get("/media/a.txt").await.body, FIRST);
    cache.origin.put("a.txt", SECOND);
    cache.origin.fault(Fault::Cut(0));
    let reply = cache.edge.get("/media/a.txt").await;
    assert!(reply.body == FIRST || !reply.whole || reply.status == 502, "{reply:?}");
    cache.origin.fault(Fault::Refuse);
    assert_eq!(cache.edge.get("/media/a.txt").await.body, FIRST, "what was there is still there");
}

#[tokio::test]
async fn rfc5861_4_a_clear_answer_is_no_failure() {
    let cache = Cache::start();
    for status in [404, 410] {
        let object = cache.object(&old("max-age=600, stale-if-error=600"));
        object.then(Answer::new(status, &[], b"gone"));
        object.get().await;
        assert_eq!(object.get().await.status, 404, "{status}");
    }
}

#[tokio::test]
async fn rfc5861_4_stale_after_a_failure_is_no_slower_than_the_failure() {
    let cache = Cache::with(&[("origin.first_byte_timeout", "300ms")]);
    let object = cache.object(&old("max-age=600, stale-if-error=600"));
    object.get().await;
    let (_open, gate) = oneshot::channel();
    object.fails(Fault::Hold(gate));
    let began = Instant::now();
    assert!(is_stale(&object.get().await));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn rfc5861_what_is_fresh_asks_nobody() {
    let cache = Cache::start();
    let values = ["max-age=600, stale-while-revalidate=600", "max-age=600, stale-if-error=600"];
    cache.controls(Kept::Fresh, &values).await;
}
