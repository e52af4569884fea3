//! RFC 9110, HTTP semantics: conditions, ranges, HEAD, and which headers pass.

use crate::conformance::{Cache, FIRST, Headers, Object, is_hit, none};
use crate::support::client::Reply;
use crate::support::http_origin::{Answer, LAST_MODIFIED};

const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// Fresh, with both validators.
fn with_validators(cache: &Cache) -> Object<'_> {
    cache.object(&[
        ("cache-control", "max-age=600"),
        ("etag", "\"1\""),
        ("last-modified", LAST_MODIFIED),
        ("content-type", "text/plain"),
        ("x-more", "1"),
    ])
}

fn with_weak_tag(cache: &Cache) -> Object<'_> {
    cache.object(&[("cache-control", "max-age=600"), ("etag", "W/\"1\"")])
}

/// Asks with each of these headers, on a miss and on a hit, and compares the status.
async fn statuses(cache: &Cache, object: impl Fn(&Cache) -> Object<'_>, cases: &[(Headers<'_>, u16)]) {
    let mut wrong = Vec::new();
    for (headers, status) in cases {
        let object = object(cache);
        for what in ["miss", "hit"] {
            let reply = object.ask(headers).await;
            let is_right = match reply.status {
                304 => reply.body.is_empty(),
                200 => reply.body == FIRST,
                _ => true,
            };
            if reply.status != *status || !is_right {
                wrong.push(format!("{what}: {} and not {status} for {headers:?}", reply.status));
            }
        }
        if object.fetched() != 1 {
            wrong.push(format!("{} fetches for {headers:?}", object.fetched()));
        }
    }
    none(&wrong, "one fetch and the right status");
}

#[tokio::test]
async fn rfc9110_13_1_2_if_none_match() {
    let cache = Cache::start();
    let same: [Headers<'_>; 6] = [
        &[("If-None-Match", "\"1\"")],
        &[("If-None-Match", "W/\"1\"")],
        &[("If-None-Match", "*")],
        &[("If-None-Match", "\"0\", \"1\"")],
        &[("If-None-Match", "\"a,b\" , W/\"1\"")],
        &[("If-None-Match", "\"0\""), ("If-None-Match", "\"1\"")],
    ];
    let other: [Headers<'_>; 6] = [
        &[("If-None-Match", "\"2\"")],
        &[("If-None-Match", "\"*\"")],
        &[("If-None-Match", "1")],
        &[("If-None-Match", "")],
        &[("If-None-Match", "w/\"1\"")],
        &[("If-None-Match", "\"11\", \"0\"")],
    ];
    let cases: Vec<_> =
        same.map(|same| (same, 304)).into_iter().chain(other.map(|other| (other, 200))).collect();
    statuses(&cache, with_validators, &cases).await;
}

#[tokio::test]
async fn rfc9110_13_1_2_a_weak_tag_matches_weakly() {
    let cache = Cache::start();
    let cases: [(Headers<'_>, u16); 3] = [
        (&[("If-None-Match", "W/\"1\"")], 304),
        (&[("If-None-Match", "\"1\"")], 304),
        (&[("If-None-Match", "W/\"2\"")], 200),
    ];
    statuses(&cache, with_weak_tag, &cases).await;
    assert_eq!(with_weak_tag(&cache).get().await.header("etag"), "W/\"1\"", "as the origin wrote it");
}

#[tokio::test]
async fn rfc9110_13_1_3_if_modified_since_counts_alone() {
    let cache = Cache::start();
    let cases: [(Headers<'_>, u16); 9] = [
        (&[("If-Modified-Since", LAST_MODIFIED)], 304),
        (&[("If-Modified-Since", LATER)], 304),
        (&[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], 304),
        (&[("If-Modified-Since", "Sun Nov  6 08:49:37 1994")], 304),
        (&[("If-Modified-Since", EARLIER)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-Modified-Since", "784111777")], 200),
        (&[("If-Modified-Since", LATER), ("If-None-Match", "\"2\"")], 200),
        (&[("If-Modified-Since", EARLIER), ("If-None-Match", "\"1\"")], 304),
    ];
    statuses(&cache, with_validators, &cases).await;
}

#[tokio::test]
async fn rfc9110_13_1_a_cache_leaves_the_conditions_of_an_origin_alone() {
    let cache = Cache::start();
    let cases: [(Headers<'_>, u16); 2] =
        [(&[("If-Match", "\"2\"")], 200), (&[("If-Unmodified-Since", EARLIER)], 200)];
    statuses(&cache, with_validators, &cases).await;
    let requests = cache.origin.requests();
    let named = |name: &http::HeaderName| name.as_str().starts_with("if-");
    assert!(!requests.iter().any(|seen| seen.headers.keys().any(named)), "a fetch is unconditional");
}

#[tokio::test]
async fn rfc9110_13_2_1_conditions_do_not_touch_failures() {
    let cache = Cache::start();
    let object = cache.written(Answer::new(404, &[("etag", "\"1\"")], b"none"));
    for headers in [[("If-None-Match", "*")], [("If-None-Match", "\"1\"")], [("Range", "bytes=0-1")]] {
        assert_eq!(object.ask(&headers).await.status, 404, "{headers:?}");
    }
}

#[tokio::test]
async fn rfc9110_13_2_2_conditions_come_before_the_range() {
    let cache = Cache::start();
    let range = ("Range", "bytes=0-1");
    let cases: [(Headers<'_>, u16); 3] = [
        (&[range, ("If-None-Match", "\"1\"")], 304),
        (&[range, ("If-None-Match", "\"2\"")], 206),
        (&[("Range", "bytes=900-"), ("If-None-Match", "\"1\"")], 304),
    ];
    statuses(&cache, with_validators, &cases).await;
}

#[tokio::test]
async fn rfc9110_13_1_5_if_range_takes_what_is_strong_and_the_same() {
    let cache = Cache::start();
    let range = ("Range", "bytes=0-1");
    let cases: [(Headers<'_>, u16); 8] = [
        (&[range, ("If-Range", "\"1\"")], 206),
        (&[range, ("If-Range", LAST_MODIFIED)], 206),
        (&[range, ("If-Range", "\"2\"")], 200),
        (&[range, ("If-Range", "W/\"1\"")], 200),
        (&[range, ("If-Range", LATER)], 200),
        (&[range, ("If-Range", EARLIER)], 200),
        (&[range, ("If-Range", "1")], 200),
        (&[("If-Range", "\"1\"")], 200),
    ];
    statuses(&cache, with_validators, &cases).await;
    statuses(&cache, with_weak_tag, &[(&[range, ("If-Range", "W/\"1\"")], 200)]).await;
}

#[tokio::test]
async fn rfc9110_15_4_5_a_304_has_what_a_200_would_say() {
    let cache = Cache::start();
    let object = cache.object(&[
        ("cache-control", "max-age=600"),
        ("vary", "X-Kind"),
        ("expires", LATER),
        ("content-location", "/elsewhere"),
    ]);
    let whole = object.get().await;
    let known = object.ask(&[("If-None-Match", "\"1\"")]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    for name in ["cache-control", "content-location", "etag", "expires", "vary"] {
        assert_eq!(known.header(name), whole.header(name), "{name}");
        assert!(known.has(name), "{name}");
    }
    assert!(known.has("date") && !known.has("transfer-encoding"), "{known:?}");
    let length = known.header("content-length");
    assert!(length.is_empty() || length == whole.header("content-length"), "RFC 9110 section 8.6: {length}");
}

#[tokio::test]
async fn rfc9110_9_3_2_head_is_get_without_its_body() {
    let cache = Cache::start();
    let object = with_validators(&cache);
    let changing = ["age", "date", "cache-status", "server-timing", "connection"];
    let steady = |reply: Reply| {
        let pairs = reply.headers.iter().map(|(name, value)| format!("{name}: {value:?}"));
        let mut pairs: Vec<_> =
            pairs.filter(|pair| !changing.iter().any(|name| pair.starts_with(name))).collect();
        pairs.sort();
        (reply.status, pairs)
    };
    let on_a_miss = object.send("HEAD", &[]).await;
    let get = object.get().await;
    assert_eq!((get.status, get.body.as_slice()), (200, FIRST));
    let get = steady(get);
    assert_eq!(steady(on_a_miss), get);
    assert_eq!(steady(object.send("HEAD", &[]).await), get, "on a hit");
    assert_eq!(object.fetched(), 1);
    assert_eq!(object.send("HEAD", &[("If-None-Match", "\"1\"")]).await.status, 304);
    let ranged = object.send("HEAD", &[("Range", "bytes=0-1")]).await;
    assert_eq!(
        (ranged.status, ranged.has("content-range")),
        (200, false),
        "a range is defined for GET alone"
    );
}

#[tokio::test]
async fn rfc9110_14_1_2_ranges() {
    let cache = Cache::start();
    let object = with_validators(&cache);
    let (length, end) = (FIRST.len(), FIRST.len() - 1);
    let mut wrong = Vec::new();
    for round in ["miss", "hit"] {
        for (asked, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=2-5", 2, 5),
            ("bytes=5-", 5, end),
            ("bytes=-4", length - 4, end),
            ("bytes=-999", 0, end),
            ("bytes=3-999", 3, end),
            ("BYTES=1-2", 1, 2),
            ("bytes=0-1,900-", 0, 1),
        ] {
            let reply = object.ask(&[("Range", asked)]).await;
            let range = format!("bytes {first}-{last}/{length}");
            let is_right = (reply.status, reply.body.as_slice()) == (206, &FIRST[first..=last])
                && reply.header("content-range") == range
                && reply.header("content-length") == (last - first + 1).to_string()
                && reply.header("accept-ranges") == "bytes";
            if !is_right {
                wrong.push(format!("{round}: {asked}: {reply:?}"));
            }
        }
    }
    none(&wrong, "the part that was asked");
    assert_eq!(object.fetched(), 1);
}

#[tokio::test]
async fn rfc9110_14_2_what_is_no_byte_range_is_ignored() {
    let cache = Cache::start();
    let asked = [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-1;2-3",
        "bytes=0x0-1",
    ];
    let headers = asked.map(|asked| [("Range", asked)]);
    let cases = headers.each_ref().map(|headers| (&headers[..], 200));
    statuses(&cache, with_validators, &cases).await;
}

#[tokio::test]
async fn rfc9110_15_5_17_nothing_to_send_of_it() {
    let cache = Cache::start();
    let object = with_validators(&cache);
    let length = FIRST.len();
    let mut wrong = Vec::new();
    for asked in
        ["bytes=900-", "bytes=900-901", "bytes=-0", "bytes=0-0,2-2,4-4", "bytes=0-5,3-8", "bytes=5-6,0-1"]
    {
        let reply = object.ask(&[("Range", asked)]).await;
        let is_right = reply.status == 416
            && reply.header("content-range") == format!("bytes */{length}")
            && reply.code() == "range_not_satisfiable"
            && !reply.has("etag");
        if !is_right {
            wrong.push(format!("{asked}: {reply:?}"));
        }
    }
    none(&wrong, "416 with the length");
    assert_eq!(object.fetched(), 1);
}

#[tokio::test]
async fn rfc9110_14_6_two_parts_are_one_multipart_body() {
    let cache = Cache::start();
    let object = with_validators(&cache);
    let length = FIRST.len();
    for _ in 0..2 {
        let reply = object.ask(&[("Range", "bytes=0-2,-3")]).await;
        assert_eq!((reply.status, reply.has("content-range")), (206, false), "{reply:?}");
        let kind = reply.header("content-type");
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
        let part = |first: usize, last: usize| {
            let bytes = String::from_utf8_lossy(&FIRST[first..=last]).into_owned();
            format!(
                "--{boundary}\r\ncontent-type: text/plain\r\ncontent-range: bytes {first}-{last}/{length}\r\n\r\n{bytes}\r\n"
            )
        };
        let body = String::from_utf8(reply.body.clone()).expect("text");
        let (first, second) = (part(0, 2), part(length - 3, length - 1));
        let expected = format!("{first}{second}--{boundary}--\r\n").to_ascii_lowercase();
        let body = body.trim_start_matches("\r\n").to_ascii_lowercase();
        assert_eq!(body.trim_end(), expected.trim_end());
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    }
    assert_eq!(object.fetched(), 1);
}

#[tokio::test]
async fn rfc9110_15_3_7_a_part_says_what_the_whole_would() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600"), ("expires", LATER), ("vary", "X-Kind")]);
    let whole = object.get().await;
    let part = object.ask(&[("Range", "bytes=0-1")]).await;
    assert_eq!(part.status, 206);
    for name in ["cache-control", "etag", "expires", "vary"] {
        assert!(part.has(name) && part.header(name) == whole.header(name), "{name}: {part:?}");
    }
    assert!(part.has("date") && is_hit(&part));
}

#[tokio::test]
async fn rfc9110_7_6_1_what_belongs_to_one_connection_stays_there() {
    let cache = Cache::start();
    let object = cache.object(&[
        ("cache-control", "max-age=600"),
        ("connection", "x-hop, X-Also"),
        ("x-hop", "1"),
        ("x-also", "2"),
        ("x-end", "3"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-connection", "keep-alive"),
        ("trailer", "x-end"),
        ("upgrade", "h2c"),
    ]);
    let sent = [
        ("Connection", "x-mine, close"),
        ("X-Mine", "1"),
        ("X-End", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic YTpi"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
    ];
    for reply in [object.ask(&sent).await, object.get().await] {
        for name in
            ["x-hop", "x-also", "keep-alive", "proxy-authenticate", "proxy-connection", "trailer", "upgrade"]
        {
            assert!(!reply.has(name), "{name} in {reply:?}");
        }
        assert_eq!(reply.header("x-end"), "3", "the others pass");
        assert!(!reply.header("connection").contains("x-"), "{reply:?}");
    }
    let seen = object.requests().remove(0);
    for name in ["x-mine", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade"] {
        assert!(!seen.headers.contains_key(name), "{name} in {seen:?}");
    }
    assert_eq!(
        (seen.headers.get("x-end").expect("it passes"), object.fetched()),
        (&"2".parse().expect("text"), 1)
    );
}

#[tokio::test]
async fn rfc9110_6_6_1_every_answer_has_one_date() {
    let cache = Cache::start();
    let object = with_validators(&cache);
    let missing = cache.written(Answer::new(404, &[], b""));
    for reply in [
        object.get().await,
        object.get().await,
        object.ask(&[("Range", "bytes=0-1")]).await,
        object.ask(&[("If-None-Match", "*")]).await,
        object.send("HEAD", &[]).await,
        object.send("POST", &[]).await,
        missing.get().await,
    ] {
        let dates: Vec<_> = reply.headers.get_all("date").iter().collect();
        assert_eq!(dates.len(), 1, "{reply:?}");
        let text = reply.header("date");
        let parsed = httpdate::parse_http_date(&text).expect("a date");
        assert_eq!(httpdate::fmt_http_date(parsed), text, "in the preferred form");
    }
}

#[tokio::test]
async fn rfc9110_8_6_one_length_and_it_is_true() {
    let cache = Cache::start();
    let object = with_validators(&cache);
    for reply in [object.get().await, object.get().await] {
        let lengths: Vec<_> = reply.headers.get_all("content-length").iter().collect();
        assert_eq!(lengths, [FIRST.len().to_string().as_str()]);
        assert!(reply.whole && !reply.has("transfer-encoding"), "{reply:?}");
    }
}

#[tokio::test]
async fn rfc9110_15_5_6_a_method_that_is_not_allowed_is_told_and_changes_nothing() {
    let cache = Cache::start();
    let object = with_validators(&cache);
    object.get().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "FOO"] {
        let reply = object.send(method, &[]).await;
        assert_eq!((reply.status, reply.header("allow").as_str()), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    assert!(is_hit(&object.get().await));
    assert!(cache.origin.requests().iter().all(|seen| seen.method == "GET"));
}
