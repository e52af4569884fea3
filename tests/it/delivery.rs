//! Originals and pictures as a client gets them, from a directory as bucket.

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::picture;

const TEXT: &[u8] = b"not even a picture";

/// A server with a JPEG, a transparent PNG and a text.
fn edge(settings: &[(&str, &str)]) -> Edge {
    let edge = Edge::start(settings);
    edge.put("photo.jpg", &picture::jpeg(64, 48));
    edge.put("art.png", &picture::png(64, 48));
    edge.put("a/note.txt", TEXT);
    edge
}

fn is_hit(reply: &Reply) -> bool {
    reply.header("cache-status").starts_with("kinora; hit")
}

fn is_miss(reply: &Reply) -> bool {
    reply.header("cache-status").starts_with("kinora; fwd=miss; fwd-status=200; stored")
}

#[tokio::test]
async fn an_original_comes_byte_for_byte_whatever_is_accepted() {
    let edge = edge(&[]);
    let photo = picture::jpeg(64, 48);
    for accept in ["image/avif,image/webp", "text/plain", "image/jpeg;q=0"] {
        let reply = edge.send("GET", "/media/photo.jpg", &[("Accept", accept)]).await;
        assert_eq!((reply.status, &reply.body), (200, &photo), "{accept}");
        assert_eq!(reply.header("content-type"), "image/jpeg");
        assert_eq!(reply.header("vary"), "", "nothing is negotiated");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("accept-ranges"), "bytes");
    }
    assert_eq!((edge.origin_gets().await, edge.renders().await), (1, 0));
}

#[tokio::test]
async fn the_format_is_negotiated_and_says_so() {
    let edge = edge(&[]);
    let browser = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
    let cases = [
        ("photo.jpg", browser, "image/avif"),
        ("photo.jpg", "image/avif;q=0,image/webp,*/*", "image/webp"),
        ("photo.jpg", "image/webp,*/*;q=0.1", "image/webp"),
        ("photo.jpg", "*/*", "image/jpeg"),
        ("art.png", browser, "image/avif"),
        ("art.png", "image/webp", "image/webp"),
        ("art.png", "image/*", "image/png"),
    ];
    for (key, accept, expected) in cases {
        let reply = edge.send("GET", &format!("/media/{key}?resize=32,"), &[("Accept", accept)]).await;
        assert_eq!((reply.status, reply.header("content-type").as_str()), (200, expected), "{key} {accept}");
        assert_eq!(reply.header("vary"), "Accept", "{accept}");
        assert!(expected.ends_with(&picture::read(&reply.body).format.name().to_lowercase()), "{expected}");
        assert!(reply.has("etag") && reply.has("last-modified"), "{reply:?}");
    }
    let reply = edge.get("/media/photo.jpg?resize=32,").await;
    assert_eq!(reply.header("content-type"), "image/jpeg", "nothing said is no wish for AVIF");
    assert!(is_hit(&reply), "and one class with */*: {reply:?}");
    assert_eq!(edge.renders().await, 6, "three classes for each picture");
}

#[tokio::test]
async fn an_explicit_format_does_not_vary() {
    let edge = edge(&[]);
    for (format, expected) in [
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("png", "image/png"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
    ] {
        let target = format!("/media/photo.jpg?resize=16,16&format={format}");
        let reply = edge.send("GET", &target, &[("Accept", "text/html")]).await;
        assert_eq!((reply.status, reply.header("content-type").as_str()), (200, expected));
        assert_eq!(reply.header("vary"), "", "{format}");
    }
    assert_eq!(edge.renders().await, 4, "jpg and jpeg are one");
}

#[tokio::test]
async fn equal_meaning_is_one_cache_entry_and_a_version_is_another() {
    let edge = edge(&[]);
    let same = [
        "resize=40,30&quality=80&format=png",
        "format=png&quality=80&resize=40,30",
        "resize=20,15&dpr=2&quality=80&format=png",
        "resize=40,30&quality=80&format=png&fit=inside&rotate=0",
        "resize=40,30&quality=80&format=png&utm_source=mail",
        "resize=40,30&quality=80&format=png&delivery=download",
    ];
    let first = edge.get(&format!("/media/photo.jpg?{}", same[0])).await;
    assert!(is_miss(&first), "{first:?}");
    for query in same {
        let reply = edge.get(&format!("/media/photo.jpg?{query}")).await;
        assert!(is_hit(&reply), "{query}: {reply:?}");
        assert_eq!((&reply.body, reply.header("etag")), (&first.body, first.header("etag")), "{query}");
    }
    assert!(
        is_hit(&edge.get(&format!("/media/%70hoto.jpg?{}", same[0])).await),
        "an encoded path is the same"
    );
    assert_eq!(edge.renders().await, 1);

    let versioned = edge.get(&format!("/media/photo.jpg?v=1&{}", same[0])).await;
    assert!(is_miss(&versioned), "{versioned:?}");
    assert!(versioned.header("cache-control").ends_with("immutable"), "{versioned:?}");
    assert!(is_miss(&edge.get(&format!("/media/photo.jpg?v=2&{}", same[0])).await));
    assert_eq!(edge.renders().await, 3);
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let edge = edge(&[]);
    for target in ["/media/photo.jpg?resize=32,", "/media/a/note.txt"] {
        let head = edge.send("HEAD", target, &[]).await;
        assert!(head.status == 200 && is_miss(&head), "{head:?}");
        let get = edge.get(target).await;
        assert!(is_hit(&get), "HEAD fills the cache: {get:?}");
        assert_eq!(head.header("content-length"), get.body.len().to_string());
        let again = edge.send("HEAD", target, &[]).await;
        assert!(is_hit(&again), "{again:?}");
        for name in ["content-length", "content-type", "etag", "last-modified", "cache-control", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
            assert_eq!(again.header(name), get.header(name), "{name}");
        }
    }
    let mut connection = edge.connect().await;
    for method in ["HEAD", "GET", "HEAD"] {
        connection.ask(method, "/media/a/note.txt", &[]).await;
        let reply = connection.reply(method).await;
        assert_eq!(reply.status, 200, "no stray byte of a body stands before the next answer");
    }
    assert_eq!((edge.origin_gets().await, edge.renders().await), (2, 1));
}

#[tokio::test]
async fn other_methods() {
    let edge = edge(&[]);
    let options = edge
        .send(
            "OPTIONS",
            "/media/photo.jpg?resize=9,",
            &[("Origin", "https://a.test"), ("Access-Control-Request-Method", "GET")],
        )
        .await;
    assert_eq!((options.status, options.header("allow").as_str()), (204, "GET, HEAD, OPTIONS"));
    assert_eq!(options.header("access-control-allow-origin"), "*");
    assert_eq!(options.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert!(options.has("access-control-max-age"));
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let reply = edge.send(method, "/media/photo.jpg", &[("Content-Length", "0")]).await;
        assert_eq!((reply.status, reply.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
    }
    assert_eq!(edge.origin_gets().await, 0);
}

#[tokio::test]
async fn rfc9112_3_2_2_the_absolute_form() {
    let edge = edge(&[]);
    let absolute = edge.get("http://edge.test/media/a/note.txt").await;
    assert!(is_miss(&absolute), "{absolute:?}");
    let reply = edge.get("/media/a/note.txt").await;
    assert!(is_hit(&reply) && reply.body == TEXT, "{reply:?}");
    let torn = edge.get("http://elsewhere.test/media/a/note.txt").await;
    assert_eq!(torn.status, 400, "two hosts in one request are a way to smuggle: {torn:?}");
}

#[tokio::test]
async fn websites_that_may_read() {
    let all = edge(&[]);
    for origin in [&[][..], &[("Origin", "https://a.test")]] {
        let reply = all.send("GET", "/media/a/note.txt", origin).await;
        assert_eq!(reply.header("access-control-allow-origin"), "*");
    }
    assert_eq!(all.get("/media/none").await.header("access-control-allow-origin"), "*", "failures, too");

    let some = edge(&[("delivery.cors_origins", "https://a.test,https://b.test")]);
    for (origin, expected) in [
        ("https://a.test", "https://a.test"),
        ("https://b.test", "https://b.test"),
        ("https://c.test", ""),
        ("null", ""),
    ] {
        let reply = some.send("GET", "/media/photo.jpg?resize=9,", &[("Origin", origin)]).await;
        assert_eq!(reply.header("access-control-allow-origin"), expected, "{origin}");
        assert_eq!(reply.header("vary"), "Origin, Accept");
    }
    assert_eq!(some.renders().await, 1, "the website is no part of the key");
    let none = edge(&[("delivery.cors_origins", "")]);
    let reply = none.send("GET", "/media/a/note.txt", &[("Origin", "https://a.test")]).await;
    assert!(!reply.has("access-control-allow-origin"), "{reply:?}");
}

#[tokio::test]
async fn a_download_has_its_name() {
    let edge = edge(&[]);
    let plain = edge.get("/media/a/note.txt").await;
    assert!(!plain.has("content-disposition"), "{plain:?}");
    let named = edge.get("/media/a/note.txt?delivery=download&filename=Gr%C3%B6%C3%9Fe%20%22a%22.txt").await;
    assert!(is_hit(&named) && named.body == TEXT, "only the head differs: {named:?}");
    let disposition = named.header("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
    assert!(disposition.contains("filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%22a%22.txt"), "{disposition}");
    let unnamed = edge.get("/media/a/note.txt?delivery=download").await.header("content-disposition");
    assert!(unnamed.contains("note.txt"), "{unnamed}");
    assert!(!edge.get("/media/a/note.txt?delivery=display").await.has("content-disposition"));
    assert!(!edge.get("/media/none?delivery=download").await.has("content-disposition"));
}

#[tokio::test]
async fn what_a_browser_would_run_is_sandboxed() {
    let edge = edge(&[]);
    for key in ["x.svg", "x.html", "x.xhtml", "x.xml", "x.js", "x.HTM"] {
        edge.put(key, b"<svg/>");
        for _ in 0..2 {
            let reply = edge.get(&format!("/media/{key}")).await;
            assert_eq!(reply.status, 200, "{key}");
            assert!(reply.header("content-security-policy").contains("sandbox"), "{reply:?}");
            assert_eq!(reply.header("x-content-type-options"), "nosniff");
        }
    }
    assert!(!edge.get("/media/photo.jpg").await.has("content-security-policy"));
}

#[tokio::test]
async fn what_is_missing_is_remembered_for_a_while() {
    let edge = edge(&[]);
    for target in ["/media/none.jpg", "/media/none.jpg?resize=9,&format=png"] {
        let before = edge.origin_gets().await;
        for status in ["kinora; fwd=miss; fwd-status=404; stored", "kinora; hit", "kinora; hit"] {
            let reply = edge.get(target).await;
            assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
            assert!(reply.header("cache-status").starts_with(status), "{reply:?}");
            assert_eq!(reply.header("cache-control"), "max-age=10");
        }
        assert_eq!(edge.origin_gets().await - before, 1, "{target}");
    }
    let head = edge.send("HEAD", "/media/none.jpg", &[]).await;
    assert_eq!((head.status, head.header("kinora-error").as_str()), (404, "not_found"));
    let line = edge.log_line(|line| line["status"] == 404).await;
    assert_eq!((&line["code"], &line["blame"]), (&"not_found".into(), &"client".into()));

    let forgetful = Edge::start(&[("cache.negative_ttl", "0s")]);
    assert_eq!(forgetful.get("/media/late.txt").await.header("cache-control"), "no-store");
    forgetful.put("late.txt", TEXT);
    assert_eq!(forgetful.get("/media/late.txt").await.status, 200, "it is there now");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_its_code() {
    let edge = edge(&[]);
    let long = format!("/media/photo.jpg?x={}", "y".repeat(9000));
    let many = format!("/media/photo.jpg?{}", "x=1&".repeat(70));
    let cases = [
        ("/media/photo.jpg?quality=0", 400, "bad_option"),
        ("/media/photo.jpg?resize=abc", 400, "bad_option"),
        ("/media/photo.jpg?format=bmp", 400, "bad_option"),
        ("/media/photo.jpg?quality=80&quality=80", 400, "repeated_option"),
        ("/media/photo.jpg?resize=9,&crop=9,9", 400, "conflicting_options"),
        ("/media/photo.jpg?blur=3", 400, "unsupported_option"),
        ("/media/photo.jpg?region=100,100,9,9", 400, "region_outside"),
        ("/", 404, "not_found"),
        ("/nothing/photo.jpg", 404, "not_found"),
        ("/media/", 404, "not_found"),
        ("/media/../photo.jpg", 404, "not_found"),
        ("/media/a/%2e%2e/%2e%2e/kinora.sqlite", 404, "not_found"),
        ("/media/%ff", 404, "not_found"),
        ("/media/%00", 404, "not_found"),
        ("/media/a/note.txt?resize=9,", 415, "unsupported_format"),
        (&long, 414, "query_too_long"),
        (&many, 414, "query_too_long"),
    ];
    for (target, status, code) in cases {
        let reply = edge.get(target).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{target}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{target}");
        let line = edge.log_line(|line| line["code"] == code).await;
        assert!(line["blame"] == "client" || code == "unsupported_format", "{line}");
    }
    let refused = edge.send("GET", "/media/photo.jpg?resize=9,", &[("Accept", "text/html")]).await;
    assert_eq!((refused.status, refused.code().as_str()), (406, "not_acceptable"));
    assert_eq!(edge.get("/media/photo.jpg?resize=9,").await.status, 200, "the next one is served");
}

#[tokio::test]
async fn a_body_is_refused_and_never_read_as_a_request() {
    let edge = edge(&[]);
    let smuggled = "GET /media/photo.jpg HTTP/1.1\r\nHost: a\r\n\r\n";
    let framings = [
        ("Content-Length", smuggled.len().to_string(), smuggled.to_owned()),
        (
            "Transfer-Encoding",
            "chunked".to_owned(),
            format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()),
        ),
    ];
    for (name, value, body) in framings {
        let mut connection = edge.connect().await;
        connection.write(format!("GET /media/a/note.txt HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\nConnection: close\r\n\r\n{body}").as_bytes()).await;
        let reply = connection.reply("GET").await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"), "{name}");
        assert_eq!(connection.rest().await, b"", "{name}");
        let mut connection = edge.connect().await;
        connection.write(format!("GET /media/a/note.txt HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n{body}GET /media/none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(connection.reply("GET").await.status, 400);
        let after = connection.rest().await;
        let after = String::from_utf8_lossy(&after);
        assert!(after.is_empty() || after.starts_with("HTTP/1.1 404"), "{name}: {after}");
    }
    assert_eq!(
        edge.origin_gets().await.min(1),
        edge.metric("kinora_failures_total", &["not_found"]).await.min(1)
    );
}

#[tokio::test]
async fn timings_belong_to_misses_and_age_to_hits() {
    let edge = edge(&[]);
    let target = "/media/photo.jpg?resize=32,&format=webp";
    let miss = edge.get(target).await;
    let timing = miss.header("server-timing");
    for step in ["queue;dur=", "fetch;dur=", "decode;dur=", "resize;dur=", "encode;dur="] {
        assert!(timing.contains(step), "{step} is missing in {timing}");
    }
    let hit = edge.get(target).await;
    assert!(is_hit(&hit) && !hit.has("server-timing"), "{hit:?}");
    assert!(hit.header("age").parse::<u32>().is_ok_and(|age| age < 60), "{hit:?}");
    assert!(hit.header("cache-status").contains("ttl="), "{hit:?}");
    assert!(hit.header("cache-control").starts_with("public, max-age=3600, s-maxage=86400"), "{hit:?}");
}

#[tokio::test]
async fn an_entity_tag_survives_a_new_render() {
    let edge = edge(&[("cache.memory", "0"), ("cache.disk", "0")]);
    let target = "/media/photo.jpg?resize=32,&format=png";
    let (first, second) = (edge.get(target).await, edge.get(target).await);
    assert_eq!(edge.renders().await, 2, "nothing is kept");
    assert_eq!(first.header("etag"), second.header("etag"));
    assert!(first.header("etag").starts_with('"'), "strong: {first:?}");
    let other = edge.get("/media/photo.jpg?resize=31,&format=png").await;
    assert_ne!(first.header("etag"), other.header("etag"));
}

#[tokio::test]
async fn rfc9110_13_conditions_give_304_from_the_cache() {
    let edge = edge(&[]);
    for target in ["/media/photo.jpg?resize=32,", "/media/a/note.txt"] {
        let whole = edge.get(target).await;
        let (etag, changed) = (whole.header("etag"), whole.header("last-modified"));
        let weak = format!("\"x\", W/{etag}");
        let hits = [
            ("If-None-Match", etag.as_str()),
            ("If-None-Match", &weak),
            ("If-None-Match", "*"),
            ("If-Modified-Since", &changed),
        ];
        for (name, value) in hits {
            for method in ["GET", "HEAD"] {
                let reply = edge.send(method, target, &[(name, value)]).await;
                assert_eq!(reply.status, 304, "{method} {name}: {value}");
                assert_eq!(reply.header("etag"), etag);
                for header in ["cache-control", "vary"] {
                    assert_eq!(reply.header(header), whole.header(header), "{name}");
                }
                assert!(reply.header("cache-status").starts_with("kinora; hit"), "{reply:?}");
            }
        }
        let cold = self::edge(&[("cache.memory", "0"), ("cache.disk", "0")]);
        for key in ["photo.jpg", "a/note.txt"] {
            let changed = std::fs::metadata(edge.bucket().join(key)).and_then(|of| of.modified());
            let copy = std::fs::File::options().append(true).open(cold.bucket().join(key)).expect("there");
            copy.set_modified(changed.expect("a time")).expect("settable");
        }
        let current = cold.get(target).await.header("etag");
        assert_eq!(cold.send("GET", target, &[("If-None-Match", &current)]).await.status, 304, "on a miss");
        let old = "Sun, 06 Nov 1994 08:49:37 GMT";
        for condition in [&[("If-None-Match", "\"x\"")][..], &[("If-Modified-Since", old)]] {
            assert_eq!(edge.send("GET", target, condition).await.body, whole.body, "{condition:?}");
        }
        let both = [("If-None-Match", "\"x\""), ("If-Modified-Since", changed.as_str())];
        assert_eq!(edge.send("GET", target, &both).await.status, 200, "the date is ignored beside a tag");
    }
}
