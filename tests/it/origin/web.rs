//! What only a web server can answer: redirects, forwarded headers, freshness.

use http::{HeaderMap, HeaderValue, Method};
use kinora::origin::{Ask, Config, Error};

use crate::origin::{error, key, object, open, read, web_config};
use crate::support::http_origin::{Fault, HttpOrigin};

fn forwarding(server: &HttpOrigin, requests: &[&str], responses: &[&str]) -> Config {
    let mut config = web_config(server);
    config.http.forward_request_headers = requests.iter().map(|name| (*name).to_owned()).collect();
    config.http.forward_response_headers = responses.iter().map(|name| (*name).to_owned()).collect();
    config
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn has(headers: &HeaderMap, name: &str) -> bool {
    headers.contains_key(name)
}

#[tokio::test]
async fn redirects_are_followed_only_on_the_same_host() {
    let (server, other) = (HttpOrigin::start(), HttpOrigin::start());
    server.put("there", b"there");
    other.put("there", b"elsewhere");
    let origin = open(&web_config(&server));
    let inside = ["/there".to_owned(), "there?v=1".to_owned(), format!("{}/there", server.url())];
    for place in inside {
        server.fault(Fault::Redirect(place.clone()));
        assert_eq!(read(&origin, "here").await, b"there", "{place}");
    }
    let port = server.url().rsplit(':').next().expect("a port").to_owned();
    let outside = [
        format!("{}/there", other.url()),
        format!("//{}/there", other.url().trim_start_matches("http://")),
        format!("http://localhost:{port}/there"),
        format!("https://127.0.0.1:{port}/there"),
        format!("http://user@127.0.0.1:{port}/there"),
        "file:///etc/passwd".to_owned(),
        "http://[".to_owned(),
    ];
    for place in outside {
        server.fault(Fault::Redirect(place.clone()));
        let refused = error(&origin, "here", &Ask::default()).await;
        assert!(matches!(refused, Error::BadAnswer(_)), "{place}: {refused:?}");
    }
    assert!(other.requests().is_empty(), "the other server was never asked");
}

#[tokio::test]
async fn redirects_end() {
    let server = HttpOrigin::start();
    let origin = open(&web_config(&server));
    for _ in 0..4 {
        server.fault(Fault::Redirect("/there".to_owned()));
    }
    let refused = error(&origin, "here", &Ask::default()).await;
    assert!(matches!(refused, Error::BadAnswer(_)), "{refused:?}");
    assert_eq!(server.requests().len(), 4, "the request and three redirects");
}

#[tokio::test]
async fn only_named_headers_are_passed_on() {
    let server = HttpOrigin::start();
    server.put("a", b"a");
    let ask = Ask {
        headers: headers(&[
            ("authorization", "Basic x"),
            ("x-tenant", "one"),
            ("x-tenant", "two"),
            ("x-private", "1"),
            ("connection", "x-private, close"),
            ("te", "trailers"),
            ("host", "evil.example"),
            ("range", "bytes=0-0"),
            ("if-none-match", "*"),
            ("accept-encoding", "gzip"),
            ("kinora-seal", "1"),
            ("x-filespin-api-key", "k"),
        ]),
        ..Ask::default()
    };
    for requests in [&[][..], &["X-Tenant"], &["*"]] {
        let origin = open(&forwarding(&server, requests, &[]));
        let found = object(origin.get(&key("a"), &ask).await);
        assert_eq!(found.part, None, "the client's range is not ours");
        let seen = server.requests().pop().expect("a request").headers;
        let tenants = seen.get_all("x-tenant").iter().count();
        assert_eq!(tenants, if requests.is_empty() { 0 } else { 2 }, "{requests:?}");
        assert_eq!(has(&seen, "authorization"), requests == ["*"], "{requests:?}");
        for never in
            ["x-private", "connection", "te", "range", "if-none-match", "kinora-seal", "x-filespin-api-key"]
        {
            assert!(!has(&seen, never), "{never} is never passed on: {seen:?}");
        }
        assert_eq!(seen["accept-encoding"], "identity");
        assert_ne!(seen["host"], "evil.example");
    }
}

#[tokio::test]
async fn freshness_is_always_kept_and_other_headers_by_name() {
    let server = HttpOrigin::start();
    server.put("a", b"a");
    let sent = &[
        ("cache-control", "max-age=60"),
        ("cache-control", "public"),
        ("cdn-cache-control", "max-age=600"),
        ("expires", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("age", "5"),
        ("vary", "accept"),
        ("x-served-by", "web"),
        ("x-hop", "1"),
        ("connection", "x-hop"),
    ];
    for responses in [&[][..], &["x-served-by"], &["*"]] {
        let origin = open(&forwarding(&server, &["accept"], responses));
        server.fault(Fault::Headers(sent));
        let kept = object(origin.get(&key("a"), &Ask::default()).await).info.headers;
        assert_eq!(kept.get_all("cache-control").iter().count(), 2, "both lines: {kept:?}");
        for always in ["cdn-cache-control", "expires", "age", "date", "vary"] {
            assert!(has(&kept, always), "{always} with {responses:?}: {kept:?}");
        }
        assert_eq!(has(&kept, "x-served-by"), !responses.is_empty(), "{responses:?}");
        for never in ["x-hop", "connection", "content-length", "etag", "content-type"] {
            assert!(!has(&kept, never), "{never} with {responses:?}: {kept:?}");
        }
    }
}

#[tokio::test]
async fn not_modified_brings_new_freshness() {
    let server = HttpOrigin::start();
    server.put("a", b"a");
    let origin = open(&web_config(&server));
    let etag = origin.head(&key("a")).await.expect("facts").etag;
    let answer = origin.get(&key("a"), &Ask { if_none_match: etag, ..Ask::default() }).await;
    let Ok(kinora::origin::Answer::NotModified(info)) = answer else { panic!("not modified was expected") };
    assert!(has(&info.headers, "date"), "{info:?}");
}

#[tokio::test]
async fn a_server_without_head_is_asked_for_one_byte() {
    let server = HttpOrigin::start();
    server.put("a", b"0123456789");
    server.put("empty", b"");
    let origin = open(&web_config(&server));
    for (status, name, length) in [(405, "a", 10), (501, "a", 10), (405, "empty", 0)] {
        server.fault(Fault::Status(status, ""));
        let info = origin.head(&key(name)).await.expect("facts");
        assert_eq!(info.length, Some(length), "{status} {name}");
        let last = server.requests().pop().expect("a request");
        assert_eq!(
            (last.method, &last.headers["range"]),
            (Method::GET, &HeaderValue::from_static("bytes=0-0"))
        );
    }
    server.fault(Fault::Status(405, ""));
    server.fault(Fault::IgnoreRange);
    assert_eq!(origin.head(&key("a")).await.expect("facts").length, Some(10), "without ranges too");
}

#[test]
fn a_wrong_section_is_named_with_its_remedy() {
    let server = HttpOrigin::start();
    let cases: [(&str, &[&str], &[&str], &str); 7] = [
        ("", &[], &[], "origin.http.base_url"),
        ("ftp://web", &[], &[], "origin.http.base_url"),
        ("http://web/?a=b", &[], &[], "origin.http.base_url"),
        ("http://web", &["no name"], &[], "origin.http.forward_request_headers"),
        ("http://web", &["Range"], &[], "origin.http.forward_request_headers"),
        ("http://web", &["Kinora-Seal"], &[], "origin.http.forward_request_headers"),
        ("http://web", &["*"], &["Transfer-Encoding"], "origin.http.forward_response_headers"),
    ];
    for (base, requests, responses, expected) in cases {
        let mut config = forwarding(&server, requests, responses);
        config.http.base_url = kinora::origin::Address::new(base);
        let problems = config.check();
        assert_eq!(problems.len(), 1, "{base} {requests:?} {responses:?}: {problems:?}");
        assert_eq!(problems[0].key, expected, "{base} {requests:?} {responses:?}");
    }
}
