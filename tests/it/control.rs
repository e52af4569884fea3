//! The way through the edge to the control plane: bodies that are asked for, streamed, refused early;
//! and what browsers need of it.

use futures::stream;
use reqwest::{Body, Client, Method, Version};

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::program::{create_key, data_with_pair, with_crypto};

const PURGE: &str = "/api/v1/purge";
const KEY: &str = "X-FileSpin-Api-Key";

/// An edge and an API key of it.
fn edge() -> (Edge, String) {
    let data = data_with_pair(&[]);
    let (_, key) = create_key(data.path(), &["api"]);
    (Edge::start_in(data, &[]), key)
}

#[tokio::test]
async fn rfc9110_10_1_1_a_body_is_asked_for_once_its_sender_is_let_in() {
    let (edge, key) = edge();
    let body = br#"{"keys":["a"]}"#;
    let length = body.len().to_string();
    let headers = [("Expect", "100-Continue"), ("Content-Length", &length), (KEY, &key)];
    let mut connection = edge.connect().await;
    for _ in 0..2 {
        connection.ask("POST", PURGE, &headers).await;
        assert_eq!(connection.head().await.status, 100);
        connection.write(body).await;
        let reply = connection.reply("POST").await;
        assert_eq!((reply.status, reply.header("connection").as_str()), (200, "keep-alive"), "{reply:?}");
    }
    for (method, key, length, refused) in [
        ("POST", "key-of-a-stranger", "14", (401, "api_key_needed")),
        ("POST", key.as_str(), "1048577", (413, "body_too_large")),
        ("PUT", key.as_str(), "14", (405, "method_not_allowed")),
    ] {
        let mut connection = edge.connect().await;
        let headers = [("Expect", "100-continue"), ("Content-Length", length), (KEY, key)];
        connection.ask(method, PURGE, &headers).await;
        let reply = connection.reply("POST").await;
        assert_eq!((reply.status, reply.code().as_str()), refused);
        assert_eq!(reply.header("connection"), "close", "the body may or may not come");
        assert_eq!(connection.rest().await, b"");
    }
    let mut connection = edge.connect().await;
    let headers = [("Expect", "100-continue"), ("Content-Length", "0"), (KEY, &key)];
    connection.ask("POST", PURGE, &headers).await;
    assert_eq!(connection.reply("POST").await.status, 400, "there is nothing to ask for");
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_refusal() {
    let (edge, key) = edge();
    let megabyte = vec![b' '; 1 << 20];
    for (key, framing, expected) in [
        ("key-of-a-stranger", ("Content-Length", "33554432"), (401, "api_key_needed")),
        (&key, ("Content-Length", "33554432"), (413, "body_too_large")),
        ("key-of-a-stranger", ("Transfer-Encoding", "chunked"), (401, "api_key_needed")),
        (&key, ("Transfer-Encoding", "chunked"), (413, "body_too_large")),
    ] {
        let mut connection = edge.connect().await;
        connection.ask("POST", PURGE, &[(KEY, key), framing]).await;
        // As browsers do: everything is sent before anybody looks for an answer.
        for _ in 0..32 {
            if framing.1 == "chunked" {
                connection.write(b"100000\r\n").await;
            }
            connection.write(&megabyte).await;
            if framing.1 == "chunked" {
                connection.write(b"\r\n").await;
            }
        }
        let reply = connection.reply("POST").await;
        assert_eq!((reply.status, reply.code().as_str()), expected, "{framing:?}");
        assert_eq!((reply.whole, reply.header("connection").as_str()), (true, "close"), "{framing:?}");
    }
}

#[tokio::test]
async fn a_little_body_that_nobody_wants_costs_no_connection() {
    let (edge, _) = edge();
    let mut connection = edge.connect().await;
    for _ in 0..3 {
        connection.ask("POST", PURGE, &[("Content-Length", "14")]).await;
        connection.write(br#"{"keys":["a"]}"#).await;
        let reply = connection.reply("POST").await;
        assert_eq!((reply.status, reply.header("connection").as_str()), (401, "keep-alive"));
    }
}

#[tokio::test]
async fn bodies_arrive_in_every_framing() {
    let (edge, key) = edge();
    with_crypto();
    let mut connection = edge.connect().await;
    connection.ask("POST", PURGE, &[(KEY, &key), ("Transfer-Encoding", "chunked")]).await;
    connection.write(b"5\r\n{\"key\r\n").await;
    connection.write(b"9;x=y\r\ns\":[\"a\"]}\r\n0\r\n\r\n").await;
    assert_eq!(connection.reply("POST").await.status, 200);

    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let send = async |key: &str, pieces: Vec<&'static str>| {
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let request = client.request(Method::POST, format!("http://{}{PURGE}", edge.public)).header(KEY, key);
        let answer = request.body(Body::wrap_stream(pieces)).send().await.expect("an answer");
        assert_eq!(answer.version(), Version::HTTP_2);
        let code = answer.headers().get("kinora-error").map(|code| code.to_str().expect("text").to_owned());
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("whole");
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok(), "{body:?}");
        (status, code.unwrap_or_default())
    };
    assert_eq!(send(&key, vec![r#"{"keys""#, r#":["a"]}"#]).await, (200, String::new()));
    let spaces: &'static str = " ".repeat(1 << 16).leak();
    let long = || vec![spaces; 1 << 8];
    assert_eq!(send(&key, long()).await, (413, "body_too_large".to_owned()));
    assert_eq!(send("key-of-a-stranger", long()).await, (401, "api_key_needed".to_owned()));
}

#[tokio::test]
async fn a_page_of_any_website_learns_what_it_was_answered() {
    let (edge, key) = edge();
    let readable = |reply: &Reply| {
        (reply.header("access-control-allow-origin"), reply.header("access-control-expose-headers"))
    };
    let any = ("*".to_owned(), "*".to_owned());
    for (method, target, headers, status) in [
        ("POST", PURGE, &[][..], 401),
        ("POST", PURGE, &[(KEY, "key-of-a-stranger")], 401),
        ("POST", PURGE, &[(KEY, key.as_str())], 400),
        ("GET", PURGE, &[], 405),
        ("GET", "/api/v1/nothing", &[], 404),
        ("OPTIONS", "/api/v1/nothing", &[], 404),
    ] {
        let headers = [headers, &[("Origin", "https://a.test")]].concat();
        let reply = edge.send(method, target, &headers).await;
        assert_eq!((reply.status, readable(&reply)), (status, any.clone()), "{method} {target}");
    }
    for target in [PURGE, "/api/v1/nothing"] {
        let headers = [
            ("Origin", "https://a.test"),
            ("Access-Control-Request-Method", "PATCH"),
            ("Access-Control-Request-Headers", "authorization, tus-resumable"),
        ];
        let reply = edge.send("OPTIONS", target, &headers).await;
        assert_eq!((reply.status, readable(&reply)), (204, any.clone()), "{target}");
        assert!(!reply.has("content-length"), "{reply:?}");
        assert!(reply.header("access-control-allow-methods").contains("PATCH"));
        let allowed = reply.header("access-control-allow-headers");
        assert_eq!(allowed, "*, Authorization", "the star does not cover that one");
    }
}

#[tokio::test]
async fn who_asks_or_guesses_too_often_is_told_to_wait() {
    let data = data_with_pair(&[]);
    let (_, key) = create_key(data.path(), &["api"]);
    let (_, other) = create_key(data.path(), &["api"]);
    let limits = [("limits.requests_per_second", "10"), ("limits.guesses_per_minute", "5")];
    let edge = Edge::start_in(data, &limits);
    let ask = async |key: &str| {
        let reply = edge.send("GET", "/api/v1/keys", &[(KEY, key)]).await;
        assert_eq!(
            reply.header("access-control-allow-origin"),
            "*",
            "a page can tell it from a dead network"
        );
        assert_eq!(reply.has("retry-after"), reply.status == 429, "{reply:?}");
        reply
    };
    let mut guesses = Vec::new();
    for _ in 0..8 {
        guesses.push(ask("key-of-a-stranger").await.status);
    }
    assert_eq!(guesses, [401, 401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(ask("another-guess").await.code(), "too_many_requests");
    assert_eq!(ask(&other).await.status, 200, "keys are not held up by guesses");
    let mut connection = edge.connect().await;
    let mut statuses = Vec::new();
    for _ in 0..60 {
        connection.ask("GET", "/api/v1/keys", &[(KEY, &key)]).await;
        statuses.push(connection.reply("GET").await.status);
    }
    assert!(statuses.contains(&429) && statuses[..10] == [200; 10], "{statuses:?}");
    assert_eq!(ask(&other).await.status, 200, "each key is counted for itself");
}

#[tokio::test]
async fn a_named_request_is_done_once() {
    let (edge, key) = edge();
    let send = async |target: &str, name: &str, body: &str| {
        let length = body.len().to_string();
        let mut connection = edge.connect().await;
        let headers = [(KEY, key.as_str()), ("Idempotency-Key", name), ("Content-Length", &length)];
        connection.ask("POST", target, &headers).await;
        connection.write(body.as_bytes()).await;
        connection.reply("POST").await
    };
    let body = r#"{"keys":["a"]}"#;
    let first = send(PURGE, "one", body).await;
    let again = send(PURGE, "one", body).await;
    assert_eq!((first.status, first.has("idempotency-replayed")), (200, false));
    assert_eq!((again.status, again.header("idempotency-replayed").as_str()), (200, "true"), "{again:?}");
    assert_eq!((&again.body, again.header("content-type")), (&first.body, first.header("content-type")));
    assert_ne!(send(PURGE, "two", body).await.body, first.body, "another generation");
    let other = send(PURGE, "one", r#"{"keys":["b"]}"#).await;
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"));
    for name in ["", &"x".repeat(256)] {
        assert_eq!(send(PURGE, name, body).await.code(), "bad_request", "{name:?}");
    }
    let refused = send(PURGE, "three", "{}").await;
    assert_eq!((refused.status, &send(PURGE, "three", "{}").await.body), (400, &refused.body));
    let secrets = [
        send("/api/v1/keys", "four", r#"{"kind":"api"}"#).await,
        send("/api/v1/keys", "four", r#"{"kind":"api"}"#).await,
    ];
    assert!(
        secrets.iter().all(|reply| reply.status == 201) && secrets[0].body != secrets[1].body,
        "never kept"
    );
    let racers = futures::future::join_all((0..8).map(|_| send(PURGE, "five", body))).await;
    let made =
        racers.iter().filter(|reply| reply.status == 200 && !reply.has("idempotency-replayed")).count();
    assert_eq!(made, 1, "{racers:?}");
    assert!(racers.iter().all(|reply| reply.status == 200 || reply.code() == "idempotency_under_way"));
}
