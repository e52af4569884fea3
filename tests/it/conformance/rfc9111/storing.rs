//! Sections 3, 5.2 and 7: what may be stored, and for whom.

use crate::conformance::raw_origin::RawOrigin;
use crate::conformance::{Cache, FIRST, Headers, Kept, SECOND, is_hit, none};
use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::{Answer, Fault};

#[tokio::test]
async fn rfc9111_3_what_allows_it_is_stored() {
    let cache = Cache::start();
    cache.controls(Kept::Fresh, &["max-age=600", "s-maxage=600", "public, max-age=600", "public"]).await;
    cache.all(Kept::Fresh, &[&[]]).await;
}

#[tokio::test]
async fn rfc9111_5_2_2_5_no_store() {
    let cache = Cache::start();
    let values =
        ["no-store", "No-StOrE", "no-store, max-age=600", "max-age=600, no-store", "public, no-store"];
    cache.controls(Kept::Never, &values).await;
    let lines: Headers<'_> = &[("cache-control", "max-age=600"), ("cache-control", "no-store")];
    cache.all(Kept::Never, &[lines]).await;
}

#[tokio::test]
async fn rfc9111_5_2_2_7_private_is_not_for_a_shared_cache() {
    let cache = Cache::start();
    cache.controls(Kept::Never, &["private", "private, max-age=600", "public, private, s-maxage=600"]).await;
}

#[tokio::test]
async fn rfc9111_5_2_2_7_private_fields_are_left_out() {
    let cache = Cache::start();
    let control = [("cache-control", "max-age=600, private=\"X-Mine, x-also\""), ("x-mine", "1")];
    let object = cache.object(&[&control[..], &[("x-also", "2"), ("x-all", "3")]].concat());
    assert_eq!(object.get().await.header("x-mine"), "1", "it is for whom it was made");
    let second = object.ask(&[("X-Other", "client")]).await;
    assert_eq!((second.header("x-mine"), second.header("x-also")), (String::new(), String::new()));
    assert_eq!((second.header("x-all").as_str(), object.fetched()), ("3", 1), "{second:?}");
}

#[tokio::test]
async fn rfc9111_5_2_2_4_no_cache_is_stored_and_always_checked() {
    let cache = Cache::start();
    cache
        .controls(
            Kept::Stale,
            &["no-cache", "no-cache, max-age=600", "max-age=600, NO-CACHE", "no-cache=\"\""],
        )
        .await;
}

#[tokio::test]
async fn rfc9111_5_2_2_4_no_cache_fields_are_left_out() {
    let cache = Cache::start();
    for name in ["set-cookie", "x-mine"] {
        let control = format!("max-age=600, no-cache=\"{name}\"");
        let object = cache.object(&[("cache-control", &control), (name, "1"), ("x-all", "3")]);
        assert_eq!(object.get().await.header(name), "1");
        let second = object.get().await;
        assert_eq!((second.has(name), second.header("x-all").as_str()), (false, "3"), "{second:?}");
        assert_eq!(object.fetched(), 1, "{name}");
    }
}

#[tokio::test]
async fn rfc9111_5_2_2_3_must_understand_stands_over_no_store() {
    let cache = Cache::start();
    cache.controls(Kept::Fresh, &["must-understand, no-store, max-age=600"]).await;
}

#[tokio::test]
async fn rfc9111_5_2_3_unknown_directives_are_ignored() {
    let cache = Cache::start();
    let values = [
        "max-age=600, foo",
        "foo=bar, max-age=600",
        "max-age=600, x-no-store, no-storex=1",
        "foo=\"no-store, private\", max-age=600",
        ", ,max-age=600, ",
    ];
    cache.controls(Kept::Fresh, &values).await;
}

#[tokio::test]
async fn rfc9111_5_2_1_a_request_cannot_make_us_fetch_or_forget() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600")]);
    object.get().await;
    for (name, value) in [
        ("Cache-Control", "no-cache"),
        ("Cache-Control", "max-age=0"),
        ("Cache-Control", "no-store"),
        ("Cache-Control", "min-fresh=100000"),
        ("Cache-Control", "only-if-cached"),
        ("Pragma", "no-cache"),
    ] {
        assert!(is_hit(&object.ask(&[(name, value)]).await), "{name}: {value}");
    }
    assert_eq!(object.fetched(), 1);
    let object = cache.object(&[("cache-control", "max-age=600")]);
    assert_eq!(object.is_kept(&[("Cache-Control", "no-store")]).await, Kept::Fresh, "they are advisory");
}

#[tokio::test]
async fn rfc9111_5_4_pragma_in_an_answer_means_nothing() {
    let cache = Cache::start();
    cache
        .all(
            Kept::Fresh,
            &[&[("pragma", "no-cache"), ("cache-control", "max-age=600")], &[("pragma", "no-cache")]],
        )
        .await;
}

#[tokio::test]
async fn rfc9111_3_5_what_one_client_proved_is_for_all_only_if_the_origin_says_so() {
    let cache = Cache::start();
    let mut wrong = Vec::new();
    for (control, expected) in [
        ("max-age=600", Kept::Never),
        ("max-age=600, proxy-revalidate", Kept::Never),
        ("public, max-age=600", Kept::Fresh),
        ("s-maxage=600", Kept::Fresh),
        ("max-age=600, must-revalidate", Kept::Fresh),
        ("public, private", Kept::Never),
    ] {
        let object = cache.object(&[("cache-control", control)]);
        let kept = object.is_kept(&[("Authorization", "Basic YTpi")]).await;
        if kept != expected {
            wrong.push(format!("{control} is {kept:?} and not {expected:?}"));
        }
    }
    none(&wrong, "RFC 9111 section 3.5 allows it");
}

#[tokio::test]
async fn rfc9111_3_5_what_is_for_all_is_also_for_those_who_proved_something() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600")]);
    object.get().await;
    assert!(is_hit(&object.ask(&[("Authorization", "Basic YTpi")]).await));
    let object = cache.object(&[("cache-control", "max-age=600")]);
    object.ask(&[("Authorization", "Basic YTpi")]).await;
    object.get().await;
    assert!(is_hit(&object.get().await), "a personal answer leaves no trace");
    assert_eq!(object.fetched(), 2);
}

#[tokio::test]
async fn rfc9111_7_3_a_cookie_that_is_set_is_for_one_client() {
    let cache = Cache::start();
    cache
        .all(
            Kept::Never,
            &[&[("set-cookie", "id=1"), ("cache-control", "max-age=600")], &[("set-cookie", "id=1")]],
        )
        .await;
}

#[tokio::test]
async fn rfc9111_3_3_a_part_is_never_stored_as_a_whole() {
    let cache = Cache::start();
    let part = [("content-range", "bytes 0-4/100"), ("cache-control", "max-age=600"), ("etag", "\"1\"")];
    let object = cache.written(Answer::new(206, &part, b"parts"));
    object.changes(&[("cache-control", "max-age=600")]);
    let reply = object.get().await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"), "nobody asked for a part");
    let whole =
        eventually("the whole", async || Some(object.get().await).filter(|reply| reply.status == 200));
    assert_eq!(whole.await.body, SECOND);
}

#[tokio::test]
async fn rfc9111_3_3_what_breaks_off_is_not_stored() {
    let cache = Cache::start();
    for fault in [Fault::Cut(3), Fault::ChunkedCut(3), Fault::Longer, Fault::Cut(0)] {
        let object = cache.nameless();
        cache.origin.put(&object.key, FIRST);
        cache.origin.fault(fault);
        let broken = object.get().await;
        assert!(!broken.whole || broken.status >= 500, "{broken:?}");
        let after =
            eventually("the whole", async || Some(object.get().await).filter(|reply| reply.status == 200));
        assert_eq!(after.await.body, FIRST);
    }
}

#[tokio::test]
async fn rfc9111_4_2_2_what_is_missing_is_remembered_for_a_short_time() {
    let cache = Cache::start();
    for status in [404, 410] {
        let object = cache.written(Answer::new(status, &[], b"none"));
        for _ in 0..2 {
            let reply = object.get().await;
            assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
        }
        assert_eq!(object.fetched(), 1, "{status}");
    }
    let cache = Cache::with(&[("cache.negative_ttl", "0s")]);
    let object = cache.written(Answer::new(404, &[], b"none"));
    for _ in 0..2 {
        assert_eq!(object.get().await.status, 404);
    }
    assert_eq!(object.fetched(), 2, "as configured");
}

#[tokio::test]
async fn rfc9111_3_no_store_and_private_hold_for_what_is_missing_too() {
    let cache = Cache::start();
    let mut wrong = Vec::new();
    for control in ["no-store", "private", "no-store, max-age=600"] {
        let object = cache.written(Answer::new(404, &[("cache-control", control)], b"none"));
        for _ in 0..2 {
            assert_eq!(object.get().await.status, 404);
        }
        if object.fetched() != 2 {
            wrong.push(control);
        }
    }
    none(&wrong, "a 404 is asked for each time");
}

#[tokio::test]
async fn a_failure_of_the_origin_lives_a_second_at_most() {
    let cache = Cache::start();
    for status in [500, 503] {
        let object = cache.written(Answer::new(status, &[("cache-control", "max-age=600")], b"broken"));
        object.changes(&[("cache-control", "max-age=600")]);
        assert_eq!(object.get().await.status, 502);
        let well =
            eventually("the recovery", async || Some(object.get().await).filter(|reply| reply.status == 200));
        assert_eq!((well.await.body.as_slice(), object.fetched()), (SECOND, 2));
    }
}

#[tokio::test]
async fn rfc9112_6_3_an_invalid_length_is_no_answer() {
    for length in ["5x", "-5", "5, 6", "5\r\nContent-Length: 6", "18446744073709551616", "0x5"] {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"1\"\r\nConnection: close\r\n";
        let origin = RawOrigin::start(&format!("{head}Content-Length: {length}\r\n\r\nwords"));
        let url = origin.url();
        let settings = [("origin.kind", "http"), ("origin.http.base_url", &url), ("origin.retries", "0")];
        let edge = Edge::start(&settings);
        let reply = edge.get("/media/a.txt").await;
        assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"), "{length}");
        assert_eq!(origin.requests(), 1, "{length}");
    }
}
