//! What arrives on the wire: HTTP/1.0, HTTP/1.1, h2c, TLS, and clients that keep to none of them.

use std::time::{Duration, Instant};

use reqwest::{Client, Version};

use crate::support::client::{Connection, Reply};
use crate::support::edge::{Edge, eventually};
use crate::support::program::{PICTURE, with_crypto};

fn edge(settings: &[(&str, &str)]) -> Edge {
    let edge = Edge::start(settings);
    edge.put("a.jpg", PICTURE);
    edge.put("a.txt", b"a text");
    edge
}

/// The answer to these bytes, after which the connection has to be closed.
async fn last_answer(edge: &Edge, bytes: &[u8]) -> Reply {
    let mut connection = edge.connect().await;
    connection.write(bytes).await;
    let reply = connection.reply("GET").await;
    assert_eq!(
        connection.rest().await.escape_ascii().to_string(),
        "",
        "nothing follows, the connection ends"
    );
    reply
}

async fn still_serves(edge: &Edge) {
    let reply = edge.get("/media/a.txt").await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"a text".as_slice()));
}

#[tokio::test]
async fn rfc9112_9_3_a_connection_serves_many_requests() {
    let edge = edge(&[("server.keepalive_requests", "5")]);
    let mut connection = edge.connect().await;
    for (method, target, status) in [
        ("GET", "/media/a.txt", 200),
        ("HEAD", "/media/a.txt", 200),
        ("GET", "/media/missing", 404),
        ("POST", "/media/a.txt", 405),
        ("GET", "/media/a.txt", 200),
    ] {
        connection.ask(method, target, &[]).await;
        let reply = connection.reply(method).await;
        assert_eq!((reply.status, reply.whole), (status, true), "{method} {target}");
    }
    assert_eq!(connection.rest().await, b"", "closed after the fifth");
    let mut connection = edge.connect().await;
    connection.ask("GET", "/media/a.txt", &[("Connection", "close")]).await;
    assert_eq!(connection.reply("GET").await.status, 200);
    assert_eq!(connection.rest().await, b"", "closed as asked");
}

#[tokio::test]
async fn an_answer_that_ends_before_its_fill_keeps_the_connection() {
    let edge = edge(&[]);
    let cases = [("HEAD", "v=1", ("X", "y")), ("GET", "v=2", ("Range", "bytes=0-9"))];
    for (method, version, header) in cases {
        let target = format!("/media/a.jpg?{version}");
        let mut connection = edge.connect().await;
        for _ in 0..3 {
            connection.ask(method, &target, &[header]).await;
            let reply = connection.reply(method).await;
            assert_eq!(
                (reply.status / 100, reply.header("connection").as_str()),
                (2, "keep-alive"),
                "{reply:?}"
            );
        }
    }
}

#[tokio::test]
async fn rfc9112_9_3_2_a_pipelined_request_is_left_to_another_connection() {
    let edge = edge(&[]);
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let both = [request("/media/a.jpg"), request("/media/a.txt")].concat();
    let first = last_answer(&edge, both.as_bytes()).await;
    assert_eq!((first.status, first.body.as_slice()), (200, PICTURE));
    still_serves(&edge).await;
}

#[tokio::test]
async fn a_body_is_never_read_as_the_next_request() {
    let edge = edge(&[]);
    let smuggled = "GET /media/a.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    for (method, headers) in [
        ("POST", format!("Content-Length: {}", smuggled.len())),
        ("GET", format!("Content-Length: {}", smuggled.len())),
        ("GET", format!("Content-Length: {}\r\nTransfer-Encoding: chunked", smuggled.len())),
        ("GET", format!("Content-Length: {}\r\nContent-Length: 0", smuggled.len())),
        ("GET", "Transfer-Encoding: chunked".to_owned()),
        ("GET", "Transfer-Encoding: \x0bchunked".to_owned()),
        ("GET", "Transfer-Encoding : chunked".to_owned()),
    ] {
        let mut connection = edge.connect().await;
        let head = format!("{method} /media/a.txt HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{smuggled}");
        connection.write(head.as_bytes()).await;
        let rest = connection.rest().await;
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.starts_with("HTTP/1.1 4"), "{headers}: {rest}");
        assert!(!rest.contains("a text"), "{headers}: {rest}");
    }
    still_serves(&edge).await;
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let edge = edge(&[]);
    let reply = last_answer(&edge, b"GET /media/a.txt HTTP/1.0\r\n\r\n").await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"a text".as_slice()));
    let reply = last_answer(&edge, b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "shorter than an h2 preface");
}

#[tokio::test]
async fn rfc9112_3_2_a_host_is_needed_once() {
    let edge = edge(&[]);
    for head in
        ["GET /media/a.txt HTTP/1.1\r\n\r\n", "GET /media/a.txt HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"]
    {
        let mut connection = edge.connect().await;
        connection.write(head.as_bytes()).await;
        let reply = connection.reply("GET").await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"), "{head}");
    }
    let absolute = b"GET http://any.test/media/a.txt HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n";
    assert_eq!(last_answer(&edge, absolute).await.status, 200, "RFC 9112 section 3.2.2");
}

#[tokio::test]
async fn rfc9110_10_1_1_an_expectation_does_not_hang() {
    let edge = edge(&[]);
    let reply = edge.send("GET", "/media/a.txt", &[("Expect", "100-continue")]).await;
    assert_eq!(reply.status, 200);
    let headers = [("Expect", "100-continue"), ("Content-Length", "5")];
    assert_eq!(edge.send("PUT", "/media/a.txt", &headers).await.status, 405);
}

#[tokio::test]
async fn a_head_that_does_not_arrive_is_not_waited_for() {
    let edge = edge(&[("server.request_head_timeout", "200ms"), ("server.keepalive_timeout", "1s")]);
    for start in ["G", "GET /media/a.txt HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PRI * HT"] {
        let began = Instant::now();
        let reply = last_answer(&edge, start.as_bytes()).await;
        assert_eq!((reply.status, reply.code().as_str()), (408, "head_timeout"), "{start}");
        assert!(began.elapsed() < Duration::from_secs(10), "{start}");
    }
    let mut silent = edge.connect().await;
    assert_eq!(silent.rest().await, b"", "closed without a word after keepalive_timeout");
    let mut second = edge.connect().await;
    second.ask("GET", "/media/a.txt", &[]).await;
    assert_eq!(second.reply("GET").await.status, 200);
    second.write(b"GET /media/a.txt HT").await;
    let reply = second.reply("GET").await;
    assert_eq!((reply.status, reply.code().as_str()), (408, "head_timeout"), "a later head as well");
    still_serves(&edge).await;
}

#[tokio::test]
async fn a_head_has_a_largest_size() {
    let edge = edge(&[("server.max_request_head", "4KiB")]);
    let with = |header: &str| format!("GET /media/a.txt HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
    let long = format!("X-Long: {}", "x".repeat(5000));
    let many = (0..150).map(|n| format!("X-{n}: y")).collect::<Vec<_>>().join("\r\n");
    let path = format!("GET /media/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    for head in [with(&long), with(&many), path] {
        let reply = last_answer(&edge, head.as_bytes()).await;
        assert_eq!((reply.status, reply.code().as_str()), (431, "head_too_large"), "{:.60}", head);
    }
    let fits = with(&format!("Connection: close\r\nX-Long: {}", "x".repeat(3800)));
    assert_eq!(last_answer(&edge, fits.as_bytes()).await.status, 200);
    still_serves(&edge).await;
}

#[tokio::test]
async fn a_malformed_head_is_a_bad_request() {
    let edge = edge(&[]);
    for head in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03TLS on a plain port\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /media/a.txt\r\n\r\n",
        b"GET  /media/a.txt HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /media/a.txt HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /media/a.txt HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET /media/a.txt HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /media/a.txt HTTP/1.1\r\nHost: x\r\nX: a\r\n folded\r\n\r\n",
        b"G\xc3\x84T /media/a.txt HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let reply = last_answer(&edge, head).await;
        let what = head.escape_ascii().to_string();
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"), "{what}");
        assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    }
    still_serves(&edge).await;
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed_and_the_others_work() {
    let edge = edge(&[("server.max_connections", "3")]);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = edge.connect().await;
        connection.ask("GET", "/media/a.txt", &[]).await;
        assert_eq!(connection.reply("GET").await.status, 200);
        open.push(connection);
    }
    let mut beyond = edge.connect().await;
    assert_eq!(beyond.rest().await, b"", "closed at once");
    for connection in &mut open {
        connection.ask("GET", "/media/a.txt", &[]).await;
        assert_eq!(connection.reply("GET").await.status, 200);
    }
    open.pop();
    let served = async || {
        let mut connection = edge.connect().await;
        connection.ask("GET", "/media/a.txt", &[("Connection", "close")]).await;
        connection.rest().await.starts_with(b"HTTP/1.1 200").then_some(())
    };
    eventually("a place that has become free", served).await;
}

#[tokio::test]
async fn h2c_by_prior_knowledge_carries_many_streams() {
    let edge = edge(&[]);
    with_crypto();
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let base = format!("http://{}", edge.public);
    let one = async |target: &str| client.get(format!("{base}{target}")).send().await.expect("an answer");
    let first = one("/media/a.jpg").await;
    assert_eq!((first.status().as_u16(), first.version()), (200, Version::HTTP_2));
    assert_eq!(first.bytes().await.expect("a body"), PICTURE);
    let missing = one("/media/missing").await;
    assert_eq!(missing.headers()["kinora-error"], "not_found");
    let bad = one("/media/a.jpg?resize=nothing").await;
    assert_eq!(
        (bad.status().as_u16(), &bad.headers()["kinora-error"]),
        (400, &"bad_option".parse().expect("text"))
    );
    let many = (0..20).map(|side| {
        let url = format!("{base}/media/a.jpg?format=jpg&resize={},{}", 20 + side % 4, 20);
        let request = client.get(url).send();
        async move { request.await.expect("an answer").status().as_u16() }
    });
    assert_eq!(futures::future::join_all(many).await, [200; 20]);
    edge.until("kinora_connections", &[], 1).await;
    let head = client.head(format!("{base}/media/a.jpg")).send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], PICTURE.len().to_string().as_str());
}

#[tokio::test]
async fn tls_offers_http2_and_http1() {
    with_crypto();
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls");
    let (certificate, key) = (format!("{tls}/certificate.pem"), format!("{tls}/private_key.pem"));
    let edge = edge(&[
        ("server.tls.listen", "127.0.0.1:0"),
        ("server.tls.certificate", &certificate),
        ("server.tls.private_key", &key),
    ]);
    let said = edge.said();
    let url =
        said.lines().find_map(|line| line.strip_prefix("listening on https://")).expect("a TLS address");
    let port = url.rsplit(':').next().expect("a port");
    let certificate = std::fs::read(&certificate).expect("a certificate");
    let certificate = reqwest::Certificate::from_pem(&certificate).expect("a certificate");
    let client = || Client::builder().tls_certs_only([certificate.clone()]);
    let clients = [(client(), Version::HTTP_2), (client().http1_only(), Version::HTTP_11)];
    for (client, version) in clients {
        let client = client.build().expect("a client");
        for target in ["/media/a.txt", "/media/a.jpg?resize=60,60"] {
            let url = format!("https://localhost:{port}{target}");
            let reply = client.get(url).send().await.expect("an answer");
            assert_eq!((reply.status().as_u16(), reply.version()), (200, version), "{target}");
        }
    }
    let mut plain = Connection::open(format!("127.0.0.1:{port}").parse().expect("an address")).await;
    plain.ask("GET", "/media/a.txt", &[]).await;
    let rest = plain.rest().await;
    assert!(!rest.windows(6).any(|six| six == b"a text"), "nothing in the clear");
    still_serves(&edge).await;
}
