//! The whole edge on an S3 bucket.

use crate::support::edge::Edge;
use crate::support::program::PICTURE;
use crate::support::s3::{ACCESS_KEY_ID, BUCKET, S3Server, SECRET};

fn start(server: &S3Server, secret: &str) -> Edge {
    let endpoint = server.url();
    Edge::start(&[
        ("origin.kind", "s3"),
        ("origin.s3.endpoint", &endpoint),
        ("origin.s3.bucket", BUCKET),
        ("origin.s3.access_key_id", ACCESS_KEY_ID),
        ("origin.s3.secret_access_key", secret),
    ])
}

#[tokio::test]
async fn originals_and_pictures_come_from_s3_once() {
    let server = S3Server::start();
    server.put("photos/a b.jpg", PICTURE);
    let edge = start(&server, SECRET);
    assert_eq!(edge.admin("/readyz").await.status, 200);
    let asked = server.requests().len();
    let original = edge.get("/media/photos/a%20b.jpg").await;
    assert_eq!((original.status, original.body.as_slice()), (200, PICTURE));
    assert!(original.has("etag") && original.has("last-modified"), "{original:?}");
    let again = edge.get("/media/photos/a%20b.jpg").await;
    assert!(again.header("cache-status").contains("; hit"), "{again:?}");
    assert_eq!(server.requests().len(), asked + 1, "{:?}", server.requests());

    let picture = edge.get("/media/photos/a%20b.jpg?resize=60,60&format=webp").await;
    assert_eq!((picture.status, picture.header("content-type").as_str()), (200, "image/webp"));
    let again = edge.get("/media/photos/a%20b.jpg?format=webp&resize=60,60").await;
    assert!(again.header("cache-status").contains("; hit"), "{again:?}");
    assert_eq!(again.body, picture.body);

    let etag = original.header("etag");
    let same = edge.send("GET", "/media/photos/a%20b.jpg", &[("If-None-Match", &etag)]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let missing = edge.get("/media/photos/c.jpg").await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn ranges_are_cut_from_s3_whether_cached_or_not() {
    let server = S3Server::start();
    server.put("a.jpg", PICTURE);
    let edge = start(&server, SECRET);
    for status in ["kinora; fwd=miss; fwd-status=200; stored", "kinora; hit"] {
        let part = edge.send("GET", "/media/a.jpg", &[("Range", "bytes=100-199")]).await;
        assert_eq!((part.status, part.body.as_slice()), (206, &PICTURE[100..200]));
        assert!(part.header("cache-status").starts_with(status), "{part:?}");
        assert_eq!(part.header("content-range"), format!("bytes 100-199/{}", PICTURE.len()));
    }
    let beyond = edge.send("GET", "/media/a.jpg", &[("Range", "bytes=99999999-")]).await;
    assert_eq!((beyond.status, beyond.code().as_str()), (416, "range_not_satisfiable"));
}

#[tokio::test]
async fn wrong_credentials_are_told_without_a_word_too_many() {
    let server = S3Server::start();
    server.put("a.jpg", PICTURE);
    let wrong = "a-wrong-secret-access-key";
    let edge = start(&server, wrong);
    for target in ["/media/a.jpg", "/media/a.jpg?resize=60,60"] {
        let reply = edge.get(target).await;
        assert_eq!((reply.status, reply.code().as_str()), (502, "origin_refused"), "{reply:?}");
        let text = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body));
        let line = edge.log_line(|line| line["code"] == "origin_refused").await;
        assert_eq!(line["blame"], "origin", "{line}");
        for secret in [wrong, ACCESS_KEY_ID, "X-Amz", "127.0.0.1", BUCKET] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        for secret in [wrong, "X-Amz-Signature="] {
            assert!(!edge.logged().contains(secret), "{secret} in {}", edge.logged());
        }
    }
    assert_eq!(edge.admin("/readyz").await.status, 503);
}
