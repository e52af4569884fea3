//! What every origin does alike.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kinora::origin::{Address, Answer, Ask, ByteRange, Error, Kind, Origin};

use crate::origin::{bytes, config, key, object, open, read, web_config};
use crate::support::http_origin::HttpOrigin;
use crate::support::s3::S3Server;

const LARGE: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let root = tempfile::tempdir().expect("a directory");
    let mut config = config(Kind::Directory);
    config.directory.path = root.path().display().to_string();
    let put = |key: &str, bytes: &[u8]| {
        let path = root.path().join(key);
        std::fs::create_dir_all(path.parent().expect("the root")).expect("a prefix");
        std::fs::write(path, bytes).expect("an object");
    };
    contract(open(&config), &put).await;
}

#[tokio::test]
async fn s3_keeps_the_contract() {
    let server = S3Server::start();
    let mut config = config(Kind::S3);
    config.s3 = server.config();
    contract(open(&config), &|key, bytes| server.put(key, bytes)).await;
}

#[tokio::test]
async fn a_web_server_keeps_the_contract() {
    let server = HttpOrigin::start();
    contract(open(&web_config(&server)), &|key, bytes| server.put(key, bytes)).await;
}

#[tokio::test]
async fn a_web_server_below_a_path_keeps_the_contract() {
    let server = HttpOrigin::start();
    let mut config = web_config(&server);
    config.http.base_url = Address::new(format!("{}/some%20where", server.url()));
    contract(open(&config), &|key, bytes| server.put(&format!("some where/{key}"), bytes)).await;
}

async fn contract(origin: Arc<dyn Origin>, put: &dyn Fn(&str, &[u8])) {
    origin.ready().await.expect("ready");
    whole_objects(&origin, put).await;
    ranges(&origin, put).await;
    conditions(&origin, put).await;
    odd_keys(&origin, put).await;
    large_objects(&origin, put).await;
}

async fn whole_objects(origin: &Arc<dyn Origin>, put: &dyn Fn(&str, &[u8])) {
    put("a/plain.txt", b"0123456789");
    let info = origin.head(&key("a/plain.txt")).await.expect("facts");
    assert_eq!(info.length, Some(10));
    assert!(info.etag.as_ref().is_some_and(|etag| etag.starts_with('"')), "a strong tag: {info:?}");
    assert!(info.last_modified.is_some(), "a date: {info:?}");

    let found = object(origin.get(&key("a/plain.txt"), &Ask::default()).await);
    assert_eq!(found.part, None);
    assert_eq!(found.info.length, Some(10));
    assert_eq!(found.info.etag, info.etag, "HEAD and GET agree");
    assert_eq!(found.info.last_modified, info.last_modified, "HEAD and GET agree");
    assert_eq!(bytes(found.body).await.expect("a body"), b"0123456789");

    put("empty", b"");
    assert_eq!(origin.head(&key("empty")).await.expect("facts").length, Some(0));
    assert_eq!(read(origin, "empty").await, b"");

    for missing in ["missing", "a/missing", "missing/a"] {
        let head = origin.head(&key(missing)).await;
        assert!(matches!(head, Err(Error::NotFound(_))), "HEAD of {missing}: {head:?}");
        let get = origin.get(&key(missing), &Ask::default()).await.err();
        assert!(matches!(get, Some(Error::NotFound(_))), "GET of {missing}: {get:?}");
    }
}

async fn ranges(origin: &Arc<dyn Origin>, put: &dyn Fn(&str, &[u8])) {
    put("ranges", b"0123456789");
    let cases: [(ByteRange, (u64, u64), &[u8]); 7] = [
        (ByteRange::Between(0, 0), (0, 0), b"0"),
        (ByteRange::Between(2, 5), (2, 5), b"2345"),
        (ByteRange::Between(8, 99), (8, 9), b"89"),
        (ByteRange::From(0), (0, 9), b"0123456789"),
        (ByteRange::From(7), (7, 9), b"789"),
        (ByteRange::Last(3), (7, 9), b"789"),
        (ByteRange::Last(99), (0, 9), b"0123456789"),
    ];
    for (range, part, expected) in cases {
        let ask = Ask { range: Some(range), ..Ask::default() };
        let found = object(origin.get(&key("ranges"), &ask).await);
        assert_eq!(found.part, Some(part), "{range}");
        assert_eq!(found.info.length, Some(10), "the whole length, {range}");
        assert_eq!(bytes(found.body).await.expect("a part"), expected, "{range}");
    }
    put("nothing", b"");
    for (name, range, whole) in [
        ("ranges", ByteRange::From(10), 10),
        ("ranges", ByteRange::Between(10, 20), 10),
        ("nothing", ByteRange::From(0), 0),
    ] {
        let ask = Ask { range: Some(range), ..Ask::default() };
        let error = origin.get(&key(name), &ask).await.err();
        assert!(
            matches!(error, Some(Error::RangeOutside { length }) if length == whole),
            "{range} of {name}: {error:?}"
        );
    }
}

async fn conditions(origin: &Arc<dyn Origin>, put: &dyn Fn(&str, &[u8])) {
    put("conditions", b"0123456789");
    let name = key("conditions");
    let info = origin.head(&name).await.expect("facts");
    let (etag, changed) = (info.etag.expect("a tag"), info.last_modified.expect("a date"));
    let hour = Duration::from_secs(3600);
    let ask = Ask::default;
    let by_tag = |text: String| Ask { if_none_match: Some(text), ..ask() };
    let by_date = |time| Ask { if_modified_since: Some(time), ..ask() };
    let cases = [
        ("its tag", by_tag(etag.clone()), true),
        ("its tag in a list", by_tag(format!("\"x\", {etag}")), true),
        ("another tag", by_tag("\"x\"".to_owned()), false),
        ("its date", by_date(changed), true),
        ("an older date", by_date(changed - hour), false),
        (
            "another tag and its date",
            Ask { if_modified_since: Some(changed), ..by_tag("\"x\"".to_owned()) },
            false,
        ),
    ];
    for (what, ask, not_modified) in cases {
        match origin.get(&name, &ask).await.expect(what) {
            Answer::NotModified(info) => {
                assert!(not_modified, "{what}: the bytes were expected");
                assert_eq!(info.etag.as_ref(), Some(&etag), "{what}");
            }
            Answer::Object(_) => assert!(!not_modified, "{what}: not modified was expected"),
        }
    }
    let same = Ask { if_match: Some(etag.clone()), range: Some(ByteRange::From(5)), ..ask() };
    assert_eq!(bytes(object(origin.get(&name, &same).await).body).await.expect("a part"), b"56789");
    let other = Ask { if_match: Some("\"x\"".to_owned()), ..same.clone() };
    let error = origin.get(&name, &other).await.err();
    assert!(matches!(error, Some(Error::Changed)), "another tag: {error:?}");
    put("conditions", b"other content");
    let error = origin.get(&name, &same).await.err();
    assert!(matches!(error, Some(Error::Changed)), "the object was replaced: {error:?}");
}

async fn odd_keys(origin: &Arc<dyn Origin>, put: &dyn Fn(&str, &[u8])) {
    let long = format!("{0}/{0}/{0}/{0}/{1}", "k".repeat(203), "l".repeat(208));
    assert_eq!(long.len(), 1024, "as long as a key may be");
    let names = [
        "with space.jpg",
        "with+plus.jpg",
        "50%.jpg",
        "a%2Fb%2e%2e.jpg",
        "ünï/日本語/🦀.jpg",
        "a&b=c;d,e?f#g.jpg",
        "!$'()*:@[]^`{|}~\"<>.jpg",
        "a/b...",
        "~tilde",
        &long,
    ];
    for name in names {
        put(name, name.as_bytes());
        assert_eq!(read(origin, name).await, name.as_bytes(), "{name}");
        assert_eq!(origin.head(&key(name)).await.expect(name).length, Some(name.len() as u64), "{name}");
    }
}

async fn large_objects(origin: &Arc<dyn Origin>, put: &dyn Fn(&str, &[u8])) {
    let large: Vec<u8> = (0..LARGE as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    put("large", &large);
    assert!(read(origin, "large").await == large, "the large object arrives intact");
    for _ in 0..20 {
        let mut body = object(origin.get(&key("large"), &Ask::default()).await).body;
        assert!(body.next().await.is_some_and(|piece| piece.is_ok()), "a first piece");
    }
    assert_eq!(read(origin, "ranges").await, b"0123456789", "bodies that were dropped do no harm");
}
