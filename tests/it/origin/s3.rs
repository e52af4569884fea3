//! What only S3 can answer.

use std::sync::Arc;

use kinora::origin::{Address, Ask, ByteRange, Error, Kind, Origin, S3Config};
use kinora::setting::Secret;

use crate::origin::{config, error, key, object, open, read};
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::s3::{BUCKET, S3Server, SECRET};

fn open_s3(s3: S3Config) -> Arc<dyn Origin> {
    let mut config = config(Kind::S3);
    config.s3 = s3;
    open(&config)
}

/// A server that answers as S3 would, but as the test tells it.
fn mocked(server: &HttpOrigin) -> Arc<dyn Origin> {
    let endpoint = Address::new(server.url());
    let token = Secret::new("test-session-token");
    open_s3(S3Config { endpoint, session_token: token, ..S3Server::start().config() })
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_never_told() {
    let server = S3Server::start();
    server.put("a.txt", b"a");
    let origin =
        open_s3(S3Config { secret_access_key: Secret::new("wrong-secret-value"), ..server.config() });
    let refused = error(&origin, "a.txt", &Ask::default()).await;
    assert!(
        matches!(&refused, Error::Refused(why) if why == "403 SignatureDoesNotMatch"),
        "the code is told: {refused:?}"
    );
    let not_ready = origin.ready().await.expect_err("not ready");
    assert!(matches!(not_ready, Error::Refused(_)), "{not_ready:?}");
    let head = origin.head(&key("a.txt")).await.expect_err("refused");
    assert!(matches!(head, Error::Refused(_)), "{head:?}");
    for text in [format!("{refused:?} {refused}"), format!("{not_ready:?}"), format!("{head:?}")] {
        assert!(!text.contains("Signature=") && !text.contains("wrong-secret-value"), "{text}");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_no_missing_object() {
    let server = S3Server::start();
    let origin = open_s3(S3Config { bucket: "nowhere".to_owned(), ..server.config() });
    let error = origin.ready().await.expect_err("not ready");
    assert!(matches!(&error, Error::BadAnswer(why) if why.contains("NoSuchBucket")), "{error:?}");
}

#[tokio::test]
async fn temporary_credentials_are_part_of_the_signature() {
    let server = S3Server::start();
    server.put("a.txt", b"a");
    let origin = open_s3(S3Config { session_token: Secret::new("test/session+token="), ..server.config() });
    assert_eq!(read(&origin, "a.txt").await, b"a");
    let requests = server.requests();
    let expected = format!("GET /{BUCKET}/a.txt?");
    assert!(requests[0].starts_with(&expected), "path style: {requests:?}");
    assert!(requests[0].contains("X-Amz-Security-Token=test%2Fsession%2Btoken%3D"), "{requests:?}");
}

#[tokio::test]
async fn a_public_bucket_is_asked_without_a_signature() {
    let server = HttpOrigin::start();
    server.put(&format!("{BUCKET}/a.txt"), b"a");
    let endpoint = Address::new(server.url());
    let (access_key_id, secret_access_key) = (String::new(), Secret::default());
    let origin =
        open_s3(S3Config { endpoint, access_key_id, secret_access_key, ..S3Server::start().config() });
    assert_eq!(read(&origin, "a.txt").await, b"a");
}

#[tokio::test]
async fn conditions_and_parts_are_asked_of_the_server() {
    let server = HttpOrigin::start();
    server.put(&format!("{BUCKET}/a.txt"), b"0123456789");
    let origin = mocked(&server);
    let ask = Ask {
        range: Some(ByteRange::Last(2)),
        if_match: Some("\"m\"".to_owned()),
        if_none_match: Some("\"n\"".to_owned()),
        ..Ask::default()
    };
    let changed = error(&origin, "a.txt", &ask).await;
    assert!(matches!(changed, Error::Changed), "412: {changed:?}");
    let headers = &server.requests()[0].headers;
    for (name, value) in [
        ("range", "bytes=-2"),
        ("if-match", "\"m\""),
        ("if-none-match", "\"n\""),
        ("accept-encoding", "identity"),
    ] {
        assert_eq!(headers.get(name).map(|value| value.as_bytes()), Some(value.as_bytes()), "{name}");
    }
}

#[tokio::test]
async fn what_s3_says_has_a_meaning() {
    let server = HttpOrigin::start();
    let origin = mocked(&server);
    let cases = [
        (404, "NoSuchKey", "no such object"),
        (404, "NoSuchBucket", "the origin answered badly: status 404 NoSuchBucket"),
        (403, "AccessDenied", "the origin refused: 403 AccessDenied"),
        (400, "ExpiredToken", "the origin refused: 400 ExpiredToken"),
        (400, "InvalidRequest", "the origin answered badly: status 400 InvalidRequest"),
        (301, "PermanentRedirect", "the origin answered badly: status 301"),
        (307, "TemporaryRedirect", "the origin answered badly: status 307"),
        (412, "PreconditionFailed", "the object has changed"),
        (504, "Gone", "the origin answered badly: status 504 Gone"),
    ];
    for (status, code, expected) in cases {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>").leak();
        server.fault(Fault::Status(status, body));
        let said = error(&origin, "a.txt", &Ask::default()).await;
        assert_eq!(said.to_string(), expected, "{status} {code}");
    }
    let before = server.requests().len();
    for _ in 0..3 {
        server.fault(Fault::Status(503, "<Error><Code>SlowDown</Code></Error>"));
    }
    let said = error(&origin, "a.txt", &Ask::default()).await;
    assert_eq!(said.to_string(), "the origin answered badly: status 503 SlowDown");
    assert_eq!(server.requests().len() - before, 3, "once and two retries");
}

#[tokio::test]
async fn a_type_that_says_nothing_is_no_type() {
    let server = HttpOrigin::start();
    server.put(&format!("{BUCKET}/a.txt"), b"a");
    let origin = mocked(&server);
    let found = object(origin.get(&key("a.txt"), &Ask::default()).await);
    assert_eq!(found.info.content_type.as_deref(), Some("text/plain"));
    let server = S3Server::start();
    server.put("a.bin", b"a");
    let found = object(open_s3(server.config()).get(&key("a.bin"), &Ask::default()).await);
    assert_eq!(found.info.content_type, None);
}

#[test]
fn no_secret_is_ever_shown() {
    let mut config = config(Kind::S3);
    config.s3 = S3Config { session_token: Secret::new("test-session-token"), ..S3Server::start().config() };
    config.s3.endpoint = Address::new("https://user:pass-word@minio");
    config.http.base_url = Address::new("https://user:pass/word@web");
    let refused = kinora::origin::open(&config, std::path::Path::new("/nowhere")).map(drop);
    let shown = format!("{config:?} {:?} {refused:?}", config.check());
    for secret in [SECRET, "test-session-token", "pass-word", "pass/word"] {
        assert!(!shown.contains(secret), "{secret} is shown in {shown}");
    }
}
