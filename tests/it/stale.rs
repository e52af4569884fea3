//! Past its freshness: RFC 5861, revalidation, and what must never be kept.

use tokio::sync::oneshot;

use crate::support::client::Reply;
use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::picture;

type Headers = &'static [(&'static str, &'static str)];

/// A web server with a text and a photo, which says this of all it has.
fn origin(headers: Headers) -> HttpOrigin {
    let origin = HttpOrigin::start();
    origin.put("a.txt", b"first");
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    origin.say(headers);
    origin
}

fn status(reply: &Reply) -> String {
    reply.header("cache-status").split("; ttl=").next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn rfc5861_3_stale_while_one_revalidates() {
    let origin = origin(&[("cache-control", "max-age=0, stale-while-revalidate=600")]);
    let edge = Edge::in_front_of(&origin, &[]);
    assert_eq!(edge.get("/media/a.txt").await.body, b"first");
    origin.put("a.txt", b"second");
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    for _ in 0..5 {
        let reply = edge.get("/media/a.txt").await;
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, b"first".as_slice()),
            "at once, not when it came"
        );
        assert_eq!(status(&reply), "kinora; hit");
    }
    edge.until("kinora_requests_total", &[r#"cache="stale""#], 5).await;
    assert_eq!(origin.requests().len(), 2, "one fetch in the background");
    drop(open);
    eventually("the new one", async || (edge.get("/media/a.txt").await.body == b"second").then_some(()))
        .await;
    let since = origin.requests();
    assert!(since[1].headers.contains_key("if-none-match"), "{since:?}");
}

#[tokio::test]
async fn rfc5861_4_stale_if_the_origin_fails() {
    let origin = origin(&[("cache-control", "max-age=0, stale-if-error=600")]);
    let edge = Edge::in_front_of(&origin, &[]);
    for target in ["/media/a.txt", "/media/photo.jpg?resize=32,&format=png"] {
        let first = edge.get(target).await;
        assert_eq!(first.status, 200);
        for fault in [Fault::Refuse, Fault::Status(500, "broken"), Fault::Status(503, "broken")] {
            origin.fault(fault);
            let reply = edge.get(target).await;
            assert_eq!((reply.status, &reply.body), (200, &first.body), "{target}");
        }
        let after = edge.get(target).await;
        assert_eq!((after.status, &after.body), (200, &first.body), "{target}");
    }
    let without = self::origin(&[("cache-control", "max-age=0")]);
    let edge = Edge::in_front_of(&without, &[]);
    assert_eq!(edge.get("/media/a.txt").await.status, 200);
    without.fault(Fault::Status(500, "broken"));
    let reply = edge.get("/media/a.txt").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (502, "origin_failed"),
        "nothing allows a stale answer"
    );
}

#[tokio::test]
async fn an_unchanged_original_is_neither_sent_nor_rendered_again() {
    let origin = origin(&[("cache-control", "no-cache")]);
    let edge = Edge::in_front_of(&origin, &[]);
    for target in ["/media/a.txt", "/media/photo.jpg?resize=32,&format=png"] {
        let first = edge.get(target).await;
        assert_eq!(status(&first), "kinora; fwd=miss; fwd-status=200; stored");
        for _ in 0..2 {
            let again = edge.get(target).await;
            assert_eq!((again.status, &again.body), (200, &first.body));
            assert_eq!(status(&again), "kinora; fwd=stale; fwd-status=304", "{target}");
            assert_eq!(again.header("etag"), first.header("etag"));
            assert_eq!(again.header("cache-control"), "no-cache", "{target}");
        }
    }
    assert_eq!(edge.renders().await, 1);
    assert_eq!(edge.metric("kinora_origin_requests_total", &[r#"result="not_modified""#]).await, 2);
    let bodies = origin
        .requests()
        .iter()
        .filter(|seen| seen.method == "GET" && !seen.headers.contains_key("if-none-match"))
        .count();
    assert_eq!(bodies, 2);
}

#[tokio::test]
async fn a_changed_original_is_noticed() {
    let origin = origin(&[("cache-control", "no-cache")]);
    let edge = Edge::in_front_of(&origin, &[]);
    let target = "/media/photo.jpg?resize=32,&format=png";
    let first = edge.get(target).await;
    origin.put("photo.jpg", &picture::jpeg(48, 64));
    let second = edge.get(target).await;
    assert_eq!(status(&second), "kinora; fwd=stale; fwd-status=200; stored");
    assert_ne!((&first.body, first.header("etag")), (&second.body, second.header("etag")));
    assert_eq!(picture::read(&second.body).height, 43);
    assert_eq!(edge.renders().await, 2);
    let known = first.header("etag");
    let reply = edge.send("GET", target, &[("If-None-Match", &known)]).await;
    assert_eq!(reply.status, 200, "the client's own old copy does not count: {reply:?}");
    let known = second.header("etag");
    assert_eq!(edge.send("GET", target, &[("If-None-Match", &known)]).await.status, 304);
}

#[tokio::test]
async fn the_configured_life_of_a_bucket_object_ends() {
    let edge = Edge::start(&[
        ("delivery.s_maxage", "0s"),
        ("delivery.stale_while_revalidate", "0s"),
        ("delivery.stale_if_error", "0s"),
    ]);
    edge.put("a.txt", b"first");
    assert_eq!(edge.get("/media/a.txt").await.body, b"first");
    assert_eq!(status(&edge.get("/media/a.txt").await), "kinora; fwd=stale; fwd-status=304");
    edge.put("a.txt", b"second");
    assert_eq!(edge.get("/media/a.txt").await.body, b"second");
    std::fs::remove_file(edge.bucket().join("a.txt")).expect("there");
    let gone = edge.get("/media/a.txt").await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn rfc9111_5_2_2_what_must_not_be_kept_is_not() {
    for value in ["no-store", "private", "private, max-age=60", "no-store, s-maxage=60"] {
        let said: Headers = Vec::leak(vec![("cache-control", value)]);
        let origin = origin(said);
        let edge = Edge::in_front_of(&origin, &[]);
        for target in ["/media/a.txt", "/media/photo.jpg?resize=32,&format=png"] {
            let before = origin.requests().len();
            for _ in 0..2 {
                let reply = edge.get(target).await;
                assert_eq!(reply.status, 200);
                assert_eq!(status(&reply), "kinora; fwd=miss; fwd-status=200", "{value}");
                assert!(!reply.header("cache-control").contains("public"), "{reply:?}");
            }
            assert_eq!(origin.requests().len() - before, 2, "{value} {target}");
        }
        assert_eq!(edge.metric("kinora_cache_entries", &[]).await, 0, "{value}");
    }
}

#[tokio::test]
async fn rfc9213_the_targeted_field_leads() {
    let origin = origin(&[("cdn-cache-control", "max-age=600"), ("cache-control", "no-store")]);
    let edge = Edge::in_front_of(&origin, &[]);
    edge.get("/media/a.txt").await;
    assert_eq!(status(&edge.get("/media/a.txt").await), "kinora; hit");
    assert_eq!(origin.requests().len(), 1);
}

/// Two clients with a header of their own that the origin gets to see.
async fn seen_by_two(said: Headers, header: &str) -> usize {
    let origin = origin(said);
    let edge = Edge::in_front_of(&origin, &[("origin.http.forward_request_headers", "*")]);
    for target in ["/media/a.txt", "/media/photo.jpg?resize=32,&format=png"] {
        for value in ["Basic YTpi", "Basic Yzpk"] {
            assert_eq!(edge.send("GET", target, &[(header, value)]).await.status, 200);
        }
    }
    let requests = origin.requests();
    assert_eq!(requests[0].headers.get(header).expect("it is passed on"), "Basic YTpi");
    requests.iter().filter(|seen| seen.method == "GET").count()
}

#[tokio::test]
async fn rfc9111_3_5_what_one_client_proved_is_not_for_others() {
    for header in ["Authorization", "Cookie"] {
        for (said, fetched) in [
            (&[][..], 4),
            (&[("cache-control", "max-age=600")], 4),
            (&[("cache-control", "public, max-age=600")], 2),
            (&[("cache-control", "s-maxage=600")], 2),
        ] {
            assert_eq!(seen_by_two(said, header).await, fetched, "{header} {said:?}");
        }
    }
}

#[tokio::test]
async fn rfc9111_4_1_an_answer_that_varies_is_for_its_like() {
    let said: Headers = &[("cache-control", "public, max-age=600"), ("vary", "Accept-Language")];
    assert_eq!(seen_by_two(said, "Accept-Language").await, 4);
    let said: Headers = &[("cache-control", "public, max-age=600"), ("vary", "Accept-Encoding")];
    assert_eq!(seen_by_two(said, "X-Other").await, 2, "we always ask for the same coding");
}

#[tokio::test]
async fn rfc9111_3_5_what_one_client_is_refused_is_not_refused_to_others() {
    let origin = origin(&[]);
    let edge = Edge::in_front_of(&origin, &[("origin.http.forward_request_headers", "Authorization")]);
    for (fault, status) in [(Fault::Status(403, "no"), 502), (Fault::Status(404, "none"), 404)] {
        origin.fault(fault);
        let refused = edge.send("GET", "/media/a.txt", &[("Authorization", "Basic YTpi")]).await;
        assert_eq!(refused.status, status);
        assert!(refused.header("cache-control").contains("private"), "{refused:?}");
        let other = edge.send("GET", "/media/a.txt", &[("Authorization", "Basic Yzpk")]).await;
        assert_eq!(other.status, 200, "{other:?}");
    }
}

#[tokio::test]
async fn a_cookie_that_is_set_is_for_one_client() {
    let origin = origin(&[("set-cookie", "id=1"), ("cache-control", "max-age=600")]);
    let edge = Edge::in_front_of(&origin, &[("origin.http.forward_response_headers", "set-cookie")]);
    for _ in 0..2 {
        let reply = edge.get("/media/a.txt").await;
        assert_eq!((reply.status, reply.header("set-cookie").as_str()), (200, "id=1"));
    }
    assert_eq!(origin.requests().len(), 2);
    let quiet = Edge::in_front_of(&origin, &[]);
    for _ in 0..2 {
        assert!(!quiet.get("/media/a.txt").await.has("set-cookie"), "not passed on unless configured");
    }
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn our_own_key_never_reaches_the_origin() {
    let origin = origin(&[("cache-control", "public, max-age=600")]);
    let edge = Edge::in_front_of(&origin, &[("origin.http.forward_request_headers", "*")]);
    let key = eventually("the first start's words", async || {
        let said = edge.said();
        let line = said.lines().find(|line| line.trim_start().starts_with("API key"))?;
        line.split_whitespace().last().map(str::to_owned)
    });
    let key = key.await;
    let bearer = format!("Bearer {key}");
    for header in [("Authorization", bearer.as_str()), ("X-FileSpin-Api-Key", key.as_str())] {
        let target = format!("/media/a.txt?v={}", origin.requests().len());
        let reply = edge.send("GET", &target, &[header]).await;
        assert_eq!(reply.status, 200);
        assert!(
            reply.header("cache-control").contains("private"),
            "what a key opened is for its holder: {reply:?}"
        );
    }
    edge.send("GET", "/media/a.txt?v=other", &[("Authorization", "Bearer of-the-origin")]).await;
    let requests = origin.requests();
    assert!(!format!("{:?}", &requests[..2]).contains(&key), "{requests:?}");
    assert_eq!(requests[2].headers["authorization"], "Bearer of-the-origin");
}

#[tokio::test]
async fn rfc5861_3_a_stale_picture_is_rendered_anew_once() {
    let origin = origin(&[("cache-control", "max-age=0, stale-while-revalidate=600")]);
    let edge = Edge::in_front_of(&origin, &[]);
    let target = "/media/photo.jpg?resize=32,&format=png";
    let first = edge.get(target).await;
    origin.put("photo.jpg", &picture::jpeg(48, 64));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    for _ in 0..3 {
        assert_eq!(edge.get(target).await.body, first.body);
    }
    drop(open);
    edge.until("kinora_renders_total", &[r#"result="done""#], 2).await;
    eventually("the new one", async || (edge.get(target).await.body != first.body).then_some(())).await;
    assert_eq!(edge.renders().await, 2, "later ones find it unchanged");
}

#[tokio::test]
async fn a_replaced_original_takes_all_its_variants_along() {
    let origin = origin(&[("cache-control", "max-age=600")]);
    // Else the second is made of the same answer of the origin as the first, and lasts as long.
    let edge = Edge::in_front_of(&origin, &[("cache.originals", "0")]);
    let (fresh, other) = ("/media/photo.jpg?resize=32,&format=png", "/media/photo.jpg?resize=16,&format=png");
    let before = edge.get(fresh).await;
    origin.say(&[("cache-control", "max-age=0")]);
    assert_eq!(edge.get(other).await.status, 200);
    origin.put("photo.jpg", &picture::jpeg(48, 64));
    assert_eq!(edge.get(fresh).await.body, before.body, "nobody has noticed yet");
    assert_eq!(edge.get(other).await.status, 200);
    let after = edge.get(fresh).await;
    assert!(after.status == 200 && after.body != before.body, "noticed by the other one's revalidation");
}

#[tokio::test]
async fn a_renewal_that_breaks_leaves_what_was_there() {
    let origin = origin(&[("cache-control", "max-age=0, stale-if-error=600")]);
    let edge = Edge::in_front_of(&origin, &[]);
    assert_eq!(edge.get("/media/a.txt").await.body, b"first");
    origin.put("a.txt", b"second");
    origin.fault(Fault::Cut(2));
    let broken = edge.get("/media/a.txt").await;
    // Cut short, the stale one, or, where no byte was sent yet, the fault by its name.
    assert!(!broken.whole || broken.body == b"first" || broken.code() == "origin_failed", "{broken:?}");
    origin.fault(Fault::Refuse);
    let kept = edge.get("/media/a.txt").await;
    assert_eq!((kept.status, kept.body.as_slice()), (200, b"first".as_slice()));
    let renewed = edge.get("/media/a.txt").await;
    assert_eq!((renewed.status, renewed.body.as_slice()), (200, b"second".as_slice()));
}
