//! Text from outside that is too long, too odd or too clever: a code of its own, in time, and the next
//! request is served.

use std::time::{Duration, Instant};

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::program::PICTURE;

/// Longer than any of these takes on a busy machine, shorter than work that grows with their square.
const SOON: Duration = Duration::from_secs(5);

fn edge() -> Edge {
    let edge = Edge::start(&[("server.max_request_head", "512KiB")]);
    edge.put("a.jpg", PICTURE);
    edge.put("a b+c~(1).jpg", PICTURE);
    edge.put("\u{fc}ber/\u{65e5}\u{672c}.jpg", PICTURE);
    edge
}

async fn ask(edge: &Edge, target: &[u8], header: &str) -> Reply {
    let began = Instant::now();
    let mut connection = edge.connect().await;
    connection
        .write(&[b"GET ", target, b" HTTP/1.1\r\nHost: x\r\n", header.as_bytes(), b"\r\n\r\n"].concat())
        .await;
    let reply = connection.reply("GET").await;
    let what = target[..target.len().min(80)].escape_ascii().to_string();
    assert!(began.elapsed() < SOON, "{what} took {:?}", began.elapsed());
    let next = edge.get("/media/a.jpg").await;
    assert_eq!(next.status, 200, "the next request after {what}");
    reply
}

#[tokio::test]
async fn queries_have_bounds() {
    let edge = edge();
    let long = |text: &str, count: usize| format!("/media/a.jpg?{}", text.repeat(count));
    for (target, status, code) in [
        (long("x", 100_000), 414, "query_too_long"),
        (long("a=b&", 25_000), 414, "query_too_long"),
        (long("a&", 100), 414, "query_too_long"),
        (long("%", 5000), 200, ""),
        (long("resize=1,1&", 2), 400, "repeated_option"),
        ("/media/a.jpg?resize=99999999999999999999,1".to_owned(), 200, ""),
        ("/media/a.jpg?resize=-1,1".to_owned(), 400, "bad_option"),
        ("/media/a.jpg?resize=0,0".to_owned(), 400, "bad_option"),
        ("/media/a.jpg?resize=NaN,inf".to_owned(), 400, "bad_option"),
        ("/media/a.jpg?quality=%FF".to_owned(), 400, "bad_option"),
        ("/media/a.jpg?quality=%00".to_owned(), 400, "bad_option"),
        (format!("/media/a.jpg?bgcolor={}", "f".repeat(8000)), 400, "bad_option"),
        (format!("/media/a.jpg?v={}", "1".repeat(65)), 400, "bad_option"),
        ("/media/a.jpg?region=4000000000,4000000000,4000000000,4000000000".to_owned(), 400, ""),
    ] {
        let reply = ask(&edge, target.as_bytes(), "X: y").await;
        assert_eq!(
            reply.status,
            status,
            "{target:.80} {:?}",
            String::from_utf8_lossy(&reply.body).get(..200)
        );
        let given = if status == 200 { String::new() } else { reply.code() };
        assert!(code.is_empty() || given == code, "{target:.80} {given}");
        assert!(status == 200 || reply.body.len() < 2000, "no echo of what was sent");
    }
}

#[tokio::test]
async fn headers_have_bounds() {
    let edge = edge();
    let accept = |text: &str| format!("Accept: {}", text.repeat(10_000 / text.len()));
    let range = |text: &str| format!("Range: bytes=0-0{}", text.repeat(1000));
    let tags = format!("If-None-Match: {}\"x\"", "\"y\", ".repeat(2000));
    for (target, header, statuses) in [
        ("/media/a.jpg?resize=60,60", accept("image/webp, "), &[200][..]),
        ("/media/a.jpg?resize=60,60", accept("*"), &[200, 406]),
        ("/media/a.jpg?resize=60,60", accept(";q=1,"), &[200, 406]),
        ("/media/a.jpg?resize=60,60", accept("image/avif;q=0.0000,"), &[200, 406]),
        ("/media/a.jpg?resize=60,60", "Accept: image/webp;q=9e99, \u{e4}\u{f6}".to_owned(), &[200, 406]),
        ("/media/a.jpg", range(",1-1"), &[416]),
        ("/media/a.jpg", range(",-1"), &[416]),
        ("/media/a.jpg", range(",99999999999999999999999-"), &[200, 416]),
        ("/media/a.jpg", "Range: bytes=18446744073709551615-18446744073709551615".to_owned(), &[416]),
        ("/media/a.jpg", "Range: bytes=-18446744073709551615".to_owned(), &[200, 206]),
        ("/media/a.jpg", "Range: bytes=5-1".to_owned(), &[200, 416]),
        ("/media/a.jpg", tags, &[200]),
        ("/media/a.jpg", "If-Modified-Since: Mon, 99 Foo 99999 99:99:99 GMT".to_owned(), &[200]),
        ("/media/a.jpg", format!("Authorization: Bearer {}", "x".repeat(100_000)), &[200]),
        ("/media/a.jpg", format!("Cookie: {}", "x".repeat(100_000)), &[200]),
    ] {
        let reply = ask(&edge, target.as_bytes(), &header).await;
        assert!(statuses.contains(&reply.status), "{header:.80} gave {} {:?}", reply.status, reply.headers);
    }
}

#[tokio::test]
async fn a_path_names_an_object_or_nothing() {
    let edge = edge();
    std::fs::write(edge.data_dir().join("secret.txt"), b"not in the bucket").expect("a file");
    for target in [
        "/media/a%20b+c~(1).jpg",
        "/media/%61.jpg",
        "/media/%C3%BCber/%E6%97%A5%E6%9C%AC.jpg",
        "/media/\u{fc}ber/\u{65e5}\u{672c}.jpg",
    ] {
        let reply = ask(&edge, target.as_bytes(), "X: y").await;
        assert_eq!((reply.status, reply.body.len()), (200, PICTURE.len()), "{target}");
    }
    let overlong = format!("/media/{}.jpg", "x".repeat(5000));
    let deep = format!("/media/{}a.jpg", "x/".repeat(5000));
    let encoded = format!("/media/{}", "%2e%2e%2f".repeat(1000));
    for target in [
        b"/media/../secret.txt".as_slice(),
        b"/media/%2e%2e/secret.txt",
        b"/media/%2e%2e%2fsecret.txt",
        b"/media/..%2fsecret.txt",
        b"/media/%252e%252e/secret.txt",
        b"/media/..\\secret.txt",
        b"/media/..%5csecret.txt",
        b"/media/x/../a.jpg",
        b"/media/./a.jpg",
        b"/media//a.jpg",
        b"/media/a.jpg/",
        b"/media/a.jpg%00",
        b"/media/a.jpg%0a",
        b"/media/%00",
        b"/media/%",
        b"/media/%zz.jpg",
        b"/media/%C0%AE%C0%AE/secret.txt",
        b"/media/%FF%FE",
        b"/media/%ED%A0%80",
        b"/media/",
        b"/media",
        b"/%6dedia/a.jpg",
        b"/MEDIA/a.jpg",
        b"//media/a.jpg",
        b"/",
        b"/~/media/a.jpg%00",
        b"/media/C:/a.jpg",
        b"/media/con",
        overlong.as_bytes(),
        deep.as_bytes(),
        encoded.as_bytes(),
    ] {
        let reply = ask(&edge, target, "X: y").await;
        let what = target[..target.len().min(80)].escape_ascii().to_string();
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{what}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_a_bad_request() {
    let edge = edge();
    for target in [
        b"/media/\xff\xfe.jpg".as_slice(),
        b"/media/\xc0\xae\xc0\xae/secret.txt",
        b"/media/a.jpg?resize=\xff",
        b"/\x80",
        b"*",
        b"media/a.jpg",
        b"http://",
        b"http://[::1/media/a.jpg",
        b"ftp://x/media/a.jpg",
    ] {
        let reply = ask(&edge, target, "X: y").await;
        let what = target.escape_ascii().to_string();
        assert!((400..500).contains(&reply.status), "{what} {reply:?}");
        assert!(!reply.code().is_empty(), "{what} {reply:?}");
    }
}
