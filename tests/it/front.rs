//! The short way of a plain hit beside the full way of everything else: nobody can tell them apart.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use kinora::signature::sign_token;

use crate::support::assets::Assets;
use crate::support::client::Connection;
use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::HttpOrigin;
use crate::support::program::{PICTURE, data_with_pair, now, signal, signed, signing_key};

/// A header that does nothing, and that the front does not know.
const FULL_WAY: (&str, &str) = ("X-Full-Way", "1");

/// Makes the front tell which answers are its own.
const TELLING: (&str, &str) = ("log.level", "info,kinora::proxy::front=trace");

/// More than the buffers of a connection hold.
const LARGE: usize = 24 << 20;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// How many answers the front has given, once the access log has caught up with `requests`.
async fn short_ways(edge: &Edge, requests: usize) -> usize {
    let count = |edge: &Edge, message: &str| {
        let logged = edge.logged();
        let lines = logged.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).count()
    };
    eventually("the log", async || (count(edge, "request") >= requests).then_some(())).await;
    count(edge, "answered by the front")
}

/// An answer without its `Date`.
async fn ask(edge: &Edge, method: &str, target: &str, headers: Headers<'_>) -> String {
    let mut connection = edge.connect().await;
    connection.ask(method, target, headers).await;
    let raw = if method == "HEAD" {
        let head = connection.head().await;
        format!("{} {:?}", head.status, head.headers).into_bytes()
    } else {
        connection.raw().await
    };
    let text = raw.escape_ascii().to_string();
    let (before, date) = text.split_once("Date: ").unwrap_or((&text, ""));
    format!("{before}{}", date.split_once(" GMT").map_or(date, |(_, after)| after))
}

/// Asks both ways, until no second has passed between; how many requests that took.
async fn compare(edge: &Edge, method: &str, target: &str, headers: Headers<'_>) -> usize {
    let full = [headers, &[FULL_WAY]].concat();
    let mut requests = 0;
    loop {
        let before = ask(edge, method, target, headers).await;
        let other = ask(edge, method, target, &full).await;
        let after = ask(edge, method, target, headers).await;
        requests += 3;
        if before == after {
            assert_eq!(before, other, "{method} {target} {headers:?}");
            return requests;
        }
    }
}

/// Asks until the answer comes from memory.
async fn warm(edge: &Edge, target: &str, headers: Headers<'_>) -> usize {
    for requests in 1.. {
        let answer = ask(edge, "GET", target, headers).await;
        if answer.contains("kinora; hit") || !answer.starts_with("HTTP/1.1 200") {
            return requests;
        }
    }
    unreachable!("it is a hit at last")
}

const CHROME: Headers<'_> = &[
    ("Connection", "keep-alive"),
    ("User-Agent", "Mozilla/5.0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("Accept", "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"),
    ("Sec-Fetch-Mode", "no-cors"),
    ("Referer", "https://shop.test/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "de,en;q=0.5"),
    ("Cookie", "a=b"),
];

#[tokio::test]
async fn both_ways_give_the_same_bytes() {
    let edge = Edge::start_in(data_with_pair(&[]), &[TELLING]);
    edge.put("a.jpg", PICTURE);
    edge.put("a.txt", b"a text");
    edge.put("empty", b"");
    edge.put("long.bin", &PICTURE.repeat(20));
    edge.put("page.html", b"<p>");
    let picture = "/media/a.jpg?resize=64,64";
    let token = sign_token("/media", "id".parse().expect("kinds"), now() + 1000, &signing_key());
    let token = token.expect("a token");
    let cases: &[(&str, Headers<'_>)] = &[
        ("/media/a.jpg", &[]),
        ("/media/a.jpg", CHROME),
        ("/media/a.txt", &[("Origin", "https://shop.test")]),
        ("/media/a.txt", &[("Cache-Control", "no-cache"), ("Pragma", "no-cache")]),
        ("/media/empty", &[]),
        ("/media/long.bin", &[]),
        ("/media/page.html", &[]),
        ("/media/a.jpg?v=7", &[]),
        ("/media/a.jpg?delivery=download&filename=My%20cat.jpg", &[]),
        (picture, &[]),
        (picture, CHROME),
        (picture, &[("Accept", "image/webp"), ("accept", "*/*")]),
        ("/media/a.jpg?resize=64,64&format=png", CHROME),
        (&signed(picture, 1000), CHROME),
        (&signed(picture, 5000), &[]),
        (&signed("/media/a.jpg?delivery=download", 100_000), &[]),
        (&format!("/~{token}{picture}"), CHROME),
    ];
    let mut requests = 0;
    let mut short = 0;
    for &(target, headers) in cases {
        requests += warm(&edge, target, headers).await;
        let before = short_ways(&edge, requests).await;
        let compared = compare(&edge, "GET", target, headers).await;
        requests += compared;
        short = short_ways(&edge, requests).await;
        assert_eq!(short - before, compared / 3 * 2, "{target} {headers:?} went the wrong way");
    }
    let hits = edge.metric("kinora_requests_total", &[r#"cache="hit""#, r#"status="2xx""#]).await;
    assert!(hits as usize >= short, "they count as hits: {hits}, {short}");
}

#[tokio::test]
async fn an_asset_that_is_known_is_answered_by_the_front_too() {
    let assets = Assets::start(&[TELLING]).await;
    let id = assets.add("a.jpg", PICTURE, |asset| asset.public = false).await;
    let page = assets.add("a.html", b"<p>", |asset| asset.content_type = "text/html".to_owned()).await;
    let picture = id.path("conversions?resize=64,64&format=png");
    // Once this is noticed, nothing else is: the edge has caught up with the catalogue.
    assets.get(&picture).await;
    assets.change(&id, |asset| asset.public = true).await;
    assets.until(&picture, 200).await;
    let edge = &assets.edge;
    for (target, headers) in [
        (picture.clone(), CHROME),
        (signed(&picture, 1000), &[]),
        (signed(&id.path("original?delivery=download"), 1000), &[]),
        (signed(&page.path("original"), 1000), &[]),
    ] {
        warm(edge, &target, headers).await;
        let own = |edge: &Edge| edge.logged().matches("answered by the front").count();
        let before = own(edge);
        let compared = compare(edge, "GET", &target, headers).await;
        eventually("the log", async || (own(edge) >= before + compared / 3 * 2).then_some(())).await;
    }
    for target in [id.path("original"), signed(&picture, 1000).replace("signature=", "signature=A")] {
        compare(edge, "GET", &target, &[]).await;
    }
}

#[tokio::test]
async fn what_is_not_plain_goes_the_full_way() {
    let edge = Edge::start_in(data_with_pair(&[]), &[TELLING]);
    edge.put("a.jpg", PICTURE);
    let target = "/media/a.jpg";
    let mut requests = warm(&edge, target, &[]).await;
    let before = short_ways(&edge, requests).await;
    let wrong = signed(target, 1000).replace("signature=", "signature=A");
    for (method, target, headers) in [
        ("GET", target, &[("Range", "bytes=1-9")][..]),
        ("GET", target, &[("If-None-Match", "*")]),
        ("GET", target, &[("Authorization", "Bearer a")]),
        ("GET", target, &[("X-FileSpin-Api-Key", "a")]),
        ("HEAD", target, &[]),
        ("GET", "/media/b.jpg", &[]),
        ("GET", "/media/a.jpg?resize=x", &[]),
        ("GET", "/elsewhere", &[]),
        ("GET", "/media/a.jpg?format=jpg&resize=32,", &[("Accept", "text/html")]),
        ("GET", "/media/a.jpg?resize=32,", &[("Accept", "text/html")]),
        ("GET", &signed(target, -5), &[]),
        ("GET", &wrong, &[]),
    ] {
        // What can be stored is, so that three equal questions get three equal answers.
        ask(&edge, method, target, headers).await;
        requests += 1 + compare(&edge, method, target, headers).await;
    }
    // The picture in JPEG alone is one: the others are refused, or ask for more than the thing itself.
    let others = short_ways(&edge, requests).await - before;
    assert!(others >= 2 && others % 2 == 0, "{others}");
    let lines = edge.logged();
    let own = lines.lines().filter(|line| line.contains("answered by the front"));
    assert!(own.skip(before).all(|line| line.contains("resize=32")), "{lines}");
}

#[tokio::test]
async fn an_origins_own_headers_are_the_same_both_ways() {
    let origin = HttpOrigin::start();
    origin.put("a.txt", b"a text");
    origin.say(&[
        ("cache-control", "max-age=600"),
        ("age", "7"),
        ("vary", "accept-language, accept-encoding"),
        ("cache-tag", "one, two"),
        ("content-disposition", "inline"),
    ]);
    let url = origin.url();
    let edge = Edge::start(&[
        ("origin.kind", "http"),
        ("origin.http.base_url", &url),
        ("origin.http.forward_request_headers", "cookie, accept-language"),
        ("origin.http.forward_response_headers", "cache-tag, vary, content-disposition"),
        ("delivery.cors_origins", "https://shop.test"),
        TELLING,
    ]);
    let mut requests = 0;
    let short = async |requests| short_ways(&edge, requests).await;
    for (headers, is_short) in [
        (&[("Accept-Language", "de")][..], true),
        (&[("Accept-Language", "fr")], false),
        (&[("Accept-Language", "fr"), ("Origin", "https://shop.test")], false),
        (&[("Accept-Language", "fr"), ("Cookie", "a=b")], false),
    ] {
        requests += warm(&edge, "/media/a.txt", headers).await;
        let before = short(requests).await;
        requests += compare(&edge, "GET", "/media/a.txt", headers).await;
        // The latest answer is the one that is looked at first; others are found by the full way.
        let went = short(requests).await > before;
        assert!(!went || is_short || headers.len() == 1, "{headers:?}");
        assert!(went || !is_short, "{headers:?}");
    }
    assert!(origin.requests().len() >= 2, "one for each language");
}

#[tokio::test]
async fn rfc9112_9_6_the_last_answer_of_a_connection_says_so() {
    let edge = Edge::start(&[("server.keepalive_requests", "4"), TELLING]);
    edge.put("a.txt", b"a text");
    let mut requests = warm(&edge, "/media/a.txt", &[]).await;
    let before = short_ways(&edge, requests).await;
    for last in [&[][..], &[FULL_WAY]] {
        let mut connection = edge.connect().await;
        for headers in [&[][..], &[FULL_WAY], &[]] {
            connection.ask("GET", "/media/a.txt", headers).await;
            let reply = connection.reply("GET").await;
            assert_eq!((reply.status, reply.header("connection").as_str()), (200, "keep-alive"));
        }
        connection.ask("GET", "/media/a.txt", last).await;
        let reply = connection.reply("GET").await;
        assert_eq!((reply.body.as_slice(), reply.header("connection").as_str()), (&b"a text"[..], "close"));
        assert_eq!(connection.rest().await, b"");
        requests += 4;
    }
    assert_eq!(short_ways(&edge, requests).await - before, 5);
}

#[tokio::test]
async fn a_head_in_pieces_is_answered_all_the_same() {
    let edge = Edge::start(&[TELLING]);
    edge.put("a.txt", b"a text");
    let requests = warm(&edge, "/media/a.txt", &[]).await;
    let before = short_ways(&edge, requests).await;
    let mut connection = edge.connect().await;
    for piece in ["G", "ET /media/a.t", "xt HTTP/1.1\r\nHost: x\r\n", "\r", "\n"] {
        connection.write(piece.as_bytes()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(connection.reply("GET").await.body, b"a text");
    assert_eq!(short_ways(&edge, requests + 1).await - before, 1);
}

/// A connection whose client has asked for more than its buffers hold, and takes no more than the head.
async fn stopped(edge: &Edge) -> Connection {
    edge.put("large.bin", &vec![7; LARGE]);
    let mut connection = edge.connect().await;
    connection.ask("GET", "/media/large.bin", &[]).await;
    assert_eq!(connection.reply("GET").await.body.len(), LARGE, "brings it into memory");
    eventually("a hit", async || {
        let reply = edge.send("HEAD", "/media/large.bin", &[]).await;
        reply.header("cache-status").contains("hit").then_some(())
    })
    .await;
    let mut stopped = edge.connect().await;
    stopped.ask("GET", "/media/large.bin", &[]).await;
    assert_eq!(stopped.head().await.status, 200);
    stopped
}

#[tokio::test]
async fn a_stopped_reader_is_cut_off() {
    for limits in [("server.write_timeout", "300ms"), ("server.min_send_rate", "20MiB")] {
        let edge = Edge::start(&[limits, TELLING]);
        let mut client = stopped(&edge).await;
        let line = edge.log_line(|line| line["ended"] == "WriteTimedout").await;
        assert_eq!((&line["status"], &line["cache"]), (&200.into(), &"hit".into()), "{line}");
        assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes < LARGE as u64), "{line}");
        assert!(client.rest().await.len() < LARGE, "and is not told that it was all");
        let own = edge.log_line(|line| line["message"] == "answered by the front").await;
        assert_eq!(own["path"], "/media/large.bin");
    }
}

#[tokio::test]
async fn sigterm_lets_a_hit_finish() {
    let mut edge = Edge::start(&[("server.shutdown_grace", "60s"), TELLING]);
    let mut client = stopped(&edge).await;
    signal(&edge, Signal::TERM).await;
    eventually("closed doors", async || tokio::net::TcpStream::connect(edge.public).await.err()).await;
    assert!(client.exactly(LARGE).await.1, "all of it");
    assert_eq!(client.rest().await, b"", "and the connection is closed");
    let ended = tokio::time::timeout(Duration::from_secs(30), edge.ended()).await;
    assert!(ended.expect("well before the grace is over").success());
}

#[tokio::test]
async fn an_idle_connection_takes_less_than_ten_kilobytes() {
    const CONNECTIONS: u64 = 400;
    let edge = Edge::start(&[]);
    edge.put("a.bin", &[7; 20_000]);
    warm(&edge, "/media/a.bin", &[]).await;
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", edge.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB")
    };
    let mut before = 0;
    let mut idle = Vec::new();
    for number in 0..CONNECTIONS * 2 {
        if number == CONNECTIONS {
            before = resident();
        }
        let mut connection = edge.connect().await;
        connection.ask("GET", "/media/a.bin", &[]).await;
        assert_eq!(connection.reply("GET").await.body.len(), 20_000);
        idle.push(connection);
    }
    let each = (resident() - before) / CONNECTIONS;
    assert!(each < 10, "{each} kB each");
}
