//! Parts of answers, RFC 9110 section 14: cut from the cache, or passed on where it holds nothing.

use tokio::sync::oneshot;

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::picture;

const LENGTH: usize = 100_000;

fn object() -> Vec<u8> {
    (0..LENGTH).map(|n| (n * 7 + n / 256) as u8).collect()
}

fn edge(settings: &[(&str, &str)]) -> Edge {
    let edge = Edge::start(settings);
    edge.put("o.bin", &object());
    edge.put("empty.bin", b"");
    edge
}

async fn range(edge: &Edge, range: &str) -> Reply {
    edge.send("GET", "/media/o.bin", &[("Range", range)]).await
}

#[tokio::test]
async fn rfc9110_14_one_part_on_a_miss_and_on_hits() {
    let edge = edge(&[]);
    let object = object();
    let end = LENGTH - 1;
    for (asked, first, last) in [
        ("bytes=10-19", 10, 19),
        ("bytes=0-0", 0, 0),
        ("bytes=-500", LENGTH - 500, end),
        ("bytes=99990-", 99_990, end),
        ("bytes=0-", 0, end),
        ("bytes=99990-999999", 99_990, end),
        ("bytes=-999999", 0, end),
        ("bytes=0-9,200000-", 0, 9),
    ] {
        let reply = range(&edge, asked).await;
        assert_eq!((reply.status, reply.whole), (206, true), "{asked}: {reply:?}");
        assert_eq!(reply.body, &object[first..=last], "{asked}");
        assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/{LENGTH}"));
        assert_eq!(reply.header("content-length"), (last - first + 1).to_string());
        assert!(reply.has("etag") && reply.header("accept-ranges") == "bytes", "{reply:?}");
    }
    let whole = edge.get("/media/o.bin").await;
    assert!(whole.body == object && whole.status == 200);
    assert_eq!(edge.origin_gets().await, 1, "a part fetches the whole, once");
}

#[tokio::test]
async fn rfc9110_14_6_two_parts() {
    let edge = edge(&[]);
    let object = object();
    for asked in ["bytes=0-9,50-59", "bytes=5-6,-4", "bytes=0-0,1-1", "bytes=100-70000,70001-"] {
        for _ in 0..2 {
            let reply = range(&edge, asked).await;
            assert_eq!(
                (reply.status, reply.whole),
                (206, true),
                "{asked}: {}",
                reply.header("content-range")
            );
            assert!(!reply.has("content-range"), "each part has its own");
            let parts = parts(&reply);
            assert_eq!(parts.len(), 2, "{asked}");
            for (first, last, body) in parts {
                assert_eq!(body, &object[first..=last], "{asked}");
            }
        }
    }
    assert_eq!(edge.origin_gets().await, 1);
}

/// First byte, last byte and bytes of each part.
fn parts(reply: &Reply) -> Vec<(usize, usize, Vec<u8>)> {
    let kind = reply.header("content-type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    let mut rest = reply.body.as_slice();
    let mut parts = Vec::new();
    loop {
        let delimiter = format!("--{boundary}");
        let at = find(rest, delimiter.as_bytes()).expect("a delimiter");
        assert!(rest[..at].iter().all(|byte| b"\r\n".contains(byte)), "nothing between parts");
        rest = &rest[at + delimiter.len()..];
        if rest.starts_with(b"--") {
            assert!(rest[2..].iter().all(|byte| b"\r\n".contains(byte)), "nothing after the end");
            return parts;
        }
        let end = find(rest, b"\r\n\r\n").expect("the end of a head");
        let head = String::from_utf8(rest[..end].to_vec()).expect("text").to_lowercase();
        assert!(head.contains("content-type: application/octet-stream"), "{head}");
        let range =
            head.split("content-range: bytes ").nth(1).expect("a range").lines().next().expect("a line");
        let (range, length) = range.split_once('/').expect("a length");
        assert_eq!(length, LENGTH.to_string());
        let (first, last) = range.split_once('-').expect("a range");
        let (first, last): (usize, usize) =
            (first.parse().expect("a number"), last.parse().expect("a number"));
        let body = &rest[end + 4..][..last - first + 1];
        parts.push((first, last, body.to_vec()));
        rest = &rest[end + 4 + body.len()..];
    }
}

fn find(within: &[u8], wanted: &[u8]) -> Option<usize> {
    within.windows(wanted.len()).position(|window| window == wanted)
}

#[tokio::test]
async fn what_cannot_be_cut_is_refused_or_whole() {
    let edge = edge(&[]);
    for _ in 0..2 {
        for asked in [
            "bytes=100000-",
            "bytes=200000-300000",
            "bytes=-0",
            "bytes=0-1,4-5,8-9",
            "bytes=0-9,5-20",
            "bytes=50-59,0-9",
        ] {
            let reply = range(&edge, asked).await;
            assert_eq!(reply.status, 416, "{asked}: {reply:?}");
            assert_eq!(reply.header("content-range"), format!("bytes */{LENGTH}"), "{asked}");
            assert_eq!(reply.header("kinora-error"), "range_not_satisfiable", "{asked}");
            assert!(reply.whole, "{asked}: {} bytes", reply.body.len());
            let problem: serde_json::Value = serde_json::from_slice(&reply.body).expect("a problem");
            assert_eq!(
                (&problem["status"], &problem["code"]),
                (&416.into(), &"range_not_satisfiable".into()),
                "{asked}"
            );
        }
        for asked in ["items=0-1", "bytes=5-2", "bytes=a-b", "bytes", ""] {
            let reply = range(&edge, asked).await;
            assert_eq!((reply.status, reply.body.len()), (200, LENGTH), "{asked:?} is ignored");
        }
    }
    for _ in 0..2 {
        let reply = edge.send("GET", "/media/empty.bin", &[("Range", "bytes=0-")]).await;
        assert_eq!((reply.status, reply.body.len(), reply.header("content-length").as_str()), (200, 0, "0"));
    }
    let reply = edge.send("HEAD", "/media/o.bin", &[("Range", "bytes=0-9")]).await;
    assert!(
        matches!(reply.status, 200 | 206),
        "RFC 9110 section 14.2 defines a range for GET alone: {reply:?}"
    );
    let reply = edge.send("GET", "/media/none", &[("Range", "bytes=0-9")]).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn rfc9110_13_1_5_if_range() {
    let edge = edge(&[]);
    let whole = edge.get("/media/o.bin").await;
    let (etag, changed) = (whole.header("etag"), whole.header("last-modified"));
    let with = async |condition: &str| {
        edge.send("GET", "/media/o.bin", &[("Range", "bytes=0-9"), ("If-Range", condition)]).await.status
    };
    assert_eq!(with(&etag).await, 206);
    assert_eq!(with(&changed).await, 206);
    assert_eq!(with("\"other\"").await, 200);
    assert_eq!(with(&format!("W/{etag}")).await, 200, "only a strong tag joins parts");
    assert_eq!(with("Sun, 06 Nov 1994 08:49:37 GMT").await, 200);
    let outside = [("Range", "bytes=200000-"), ("If-Range", "\"other\"")];
    assert_eq!(edge.send("GET", "/media/o.bin", &outside).await.status, 200, "the range is ignored, then");
}

#[tokio::test]
async fn a_picture_that_was_made_has_parts_too() {
    let edge = edge(&[]);
    edge.put("photo.jpg", &picture::jpeg(64, 48));
    let target = "/media/photo.jpg?resize=32,&format=png";
    let part = edge.send("GET", target, &[("Range", "bytes=1-3")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"PNG".as_slice()), "{part:?}");
    let whole = edge.get(target).await;
    let rest = edge.send("GET", target, &[("Range", "bytes=4-"), ("If-Range", &whole.header("etag"))]).await;
    assert_eq!(rest.body, &whole.body[4..]);
    assert_eq!(edge.renders().await, 1);
}

/// A web server with one object that the cache will not hold.
fn large() -> (HttpOrigin, Edge) {
    let origin = HttpOrigin::start();
    origin.put("o.bin", &object());
    let edge = Edge::in_front_of(
        &origin,
        &[("cache.max_object", "50kB"), ("cache.slice_above", "50kB"), ("cache.slice", "64KiB")],
    );
    (origin, edge)
}

/// The parts that the origin was asked for since `before`, and whether each was bound to its version.
fn asked(origin: &HttpOrigin, before: usize) -> Vec<(String, String, bool)> {
    let seen = origin.requests().split_off(before);
    let text = |value: Option<&http::HeaderValue>| {
        value.map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
    };
    let line = |seen: &crate::support::http_origin::Seen| {
        let bound = seen.headers.contains_key("if-match");
        (seen.method.to_string(), text(seen.headers.get("range")), bound)
    };
    seen.iter().map(line).collect()
}

#[tokio::test]
async fn a_part_of_a_large_original_costs_its_slices_once() {
    let (origin, edge) = large();
    let object = object();
    let get = |range: &str| ("GET".to_owned(), range.to_owned(), true);
    let head = ("HEAD".to_owned(), String::new(), false);
    for (wanted, first, last, cost) in [
        ("bytes=10-19", 10, 19, vec![head, get("bytes=0-65535")]),
        ("bytes=-5", LENGTH - 5, LENGTH - 1, vec![get("bytes=65536-99999")]),
        ("bytes=99990-", 99_990, LENGTH - 1, vec![]),
        ("bytes=65530-65540", 65_530, 65_540, vec![]),
    ] {
        let before = origin.requests().len();
        let reply = range(&edge, wanted).await;
        assert_eq!((reply.status, reply.whole), (206, true), "{reply:?}");
        assert!(reply.body == object[first..=last], "{wanted}");
        assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/{LENGTH}"));
        assert_eq!(asked(&origin, before), cost, "{wanted}");
    }
    let before = origin.requests().len();
    let outside = range(&edge, "bytes=100000-").await;
    assert_eq!((outside.status, outside.header("content-range")), (416, format!("bytes */{LENGTH}")));
    assert_eq!(outside.code(), "range_not_satisfiable");
    let three = range(&edge, "bytes=0-1,4-5,8-9").await;
    assert_eq!((three.status, three.header("content-range")), (416, format!("bytes */{LENGTH}")));
    let two = range(&edge, "bytes=0-1,70000-70001").await;
    assert_eq!((two.status, two.whole), (206, true), "{two:?}");
    assert!(edge.get("/media/o.bin").await.body == object, "the whole, out of its slices");
    assert!(asked(&origin, before).is_empty(), "all of it was there");
}

#[tokio::test]
async fn adjacent_slices_come_in_one_request() {
    let (origin, edge) = large();
    let reply = range(&edge, "bytes=0-99999").await;
    assert!(reply.status == 206 && reply.body == object(), "{}", reply.status);
    let ranges: Vec<_> = asked(&origin, 1).into_iter().map(|(_, range, _)| range).collect();
    assert_eq!(ranges, ["bytes=0-99999"]);
}

#[tokio::test]
async fn a_large_original_that_is_asked_for_whole_is_cut_as_it_comes() {
    let (origin, edge) = large();
    for _ in 0..2 {
        let whole = edge.get("/media/o.bin").await;
        assert!(whole.whole && whole.body == object(), "{}", whole.body.len());
        assert_eq!(asked(&origin, 0), [("GET".to_owned(), String::new(), false)]);
    }
    assert_eq!(range(&edge, "bytes=70000-70001").await.body, &object()[70_000..=70_001]);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn two_versions_of_a_large_original_never_meet() {
    let (origin, edge) = large();
    assert_eq!(range(&edge, "bytes=0-9").await.status, 206);
    let other: Vec<u8> = object().iter().map(|byte| !byte).collect();
    origin.put("o.bin", &other);
    let reply = range(&edge, "bytes=70000-70009").await;
    assert_eq!((reply.status, reply.body.as_slice()), (206, &other[70_000..70_010]), "begun anew");
    let whole = edge.get("/media/o.bin").await;
    assert!(whole.body == other, "none of the old slices");
}

#[tokio::test]
async fn an_origin_without_parts_is_asked_for_the_whole() {
    let (origin, edge) = large();
    for version in 0..2 {
        // The question for the size is answered as ever.
        origin.fault(Fault::IgnoreConditions);
        origin.fault(Fault::IgnoreRange);
        let target = format!("/media/o.bin?v={version}");
        let reply = edge.send("GET", &target, &[("Range", "bytes=70000-70009")]).await;
        assert_eq!((reply.status, reply.body.as_slice()), (206, &object()[70_000..70_010]), "{reply:?}");
    }
}

#[tokio::test]
async fn a_slice_that_does_not_come_in_time_is_the_origins_fault() {
    let origin = HttpOrigin::start();
    origin.put("o.bin", &object());
    let edge = Edge::in_front_of(
        &origin,
        &[("cache.slice_above", "50kB"), ("cache.slice", "64KiB"), ("origin.first_byte_timeout", "300ms")],
    );
    let (_never, gate) = oneshot::channel();
    // The question for the size is answered as ever.
    origin.fault(Fault::IgnoreConditions);
    origin.fault(Fault::Hold(gate));
    let late = range(&edge, "bytes=0-9").await;
    assert_eq!((late.status, late.code().as_str()), (504, "origin_timeout"), "{late:?}");
    assert_eq!(range(&edge, "bytes=0-9").await.status, 206, "nothing of it is remembered");
}

#[tokio::test]
async fn if_range_on_what_the_cache_never_holds() {
    let (_origin, edge) = large();
    let etag = range(&edge, "bytes=0-9").await.header("etag");
    let with = async |condition: &str| {
        let reply =
            edge.send("GET", "/media/o.bin", &[("Range", "bytes=0-9"), ("If-Range", condition)]).await;
        (reply.status, reply.body.len())
    };
    assert_eq!(with(&etag).await, (206, 10));
    assert_eq!(with("\"other\"").await, (200, LENGTH));
}

#[tokio::test]
async fn head_and_conditions_of_what_the_cache_never_holds() {
    let (_origin, edge) = large();
    let head = edge.send("HEAD", "/media/o.bin", &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, LENGTH.to_string()), "{head:?}");
    let etag = head.header("etag");
    let reply = edge.send("GET", "/media/o.bin", &[("If-None-Match", &etag)]).await;
    assert!(reply.status == 304 && reply.body.is_empty(), "{} with {} bytes", reply.status, reply.body.len());
}

#[tokio::test]
async fn a_part_of_what_is_missing_is_remembered_as_missing() {
    let (origin, edge) = large();
    for _ in 0..3 {
        let reply = edge.send("GET", "/media/none", &[("Range", "bytes=0-9")]).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
    }
    assert_eq!(origin.requests().len(), 2, "its size once, itself once");
}

#[tokio::test]
async fn what_needs_no_more_than_the_beginning_does_not_wait_for_the_end() {
    let origin = HttpOrigin::start();
    let object = object();
    for key in ["small.bin", "large.bin"] {
        origin.put(key, &object);
    }
    origin.put("large.bin", &object.repeat(3));
    let edge = Edge::in_front_of(&origin, &[("cache.max_object", "150kB")]);
    let mut gates = Vec::new();
    let mut hold = || {
        let (open, gate) = oneshot::channel();
        origin.fault(Fault::HoldAfter(20_000, gate));
        gates.push(open);
    };
    hold();
    let head = edge.send("HEAD", "/media/large.bin", &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, (3 * LENGTH).to_string()));
    hold();
    let head = edge.send("HEAD", "/media/small.bin?v=1", &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, LENGTH.to_string()));
    // The first request asks for the size alone.
    origin.fault(Fault::IgnoreConditions);
    hold();
    let part = edge.send("GET", "/media/small.bin?v=2", &[("Range", "bytes=10-19")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &object[10..20]));
    drop(gates);
    assert!(edge.get("/media/small.bin?v=2").await.body == object);
}
