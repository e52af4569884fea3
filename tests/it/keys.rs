//! Keys of a running server: made, revoked, reloaded; and what the first start makes.

use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::client::Reply;
use crate::support::edge::{Edge, eventually};
use crate::support::program::{PICTURE, create_key, data_with_pair, now, run, signal};

/// A server on a directory that outlives it.
fn start_on(data: &Path, settings: &[(&str, &str)]) -> Edge {
    let data = data.to_str().expect("a plain path");
    Edge::start(&[&[("data.dir", data)], settings].concat())
}

/// What the first start says, once all of it has arrived: the original is the last to be named.
async fn welcome(edge: &Edge, has_urls: bool) -> String {
    let last = if has_urls { "  original " } else { "  signing key " };
    eventually("the welcome", async || Some(edge.said()).filter(|said| said.contains(last))).await
}

/// The URLs in it, without their scheme.
fn urls(welcome: &str) -> Vec<&str> {
    let lines = welcome.lines().filter(|line| line.starts_with("  "));
    lines.filter_map(|line| Some(line.split_once("http://")?.1)).collect()
}

#[tokio::test]
async fn a_key_counts_and_stops_counting_while_the_server_runs() {
    let data = data_with_pair(&[]);
    let edge = Edge::start_in(data, &[("delivery.require_signature", "true")]);
    edge.put("a.jpg", PICTURE);
    let (id, key) = create_key(edge.data_dir(), &["api"]);
    let asked = async || edge.send("GET", "/media/a.jpg", &[("X-FileSpin-Api-Key", &key)]).await;
    let became = async |status: u16| -> Reply {
        eventually("the change of a key", async || Some(asked().await).filter(|reply| reply.status == status))
            .await
    };
    became(200).await;
    run(edge.data_dir(), &["key", "revoke", &id]);
    assert_eq!(became(403).await.code(), "bad_signature");

    let (access_id, _) = create_key(edge.data_dir(), &["signing"]);
    let target = run(edge.data_dir(), &["sign", "/media/a.jpg", "--expires", "1h", "--key", &access_id]);
    eventually("the new key", async || (edge.get(&target).await.status == 200).then_some(())).await;
    run(edge.data_dir(), &["key", "revoke", &access_id]);
    let gone = async || Some(edge.get(&target).await).filter(|reply| reply.status == 403);
    assert_eq!(eventually("the end of the key", gone).await.code(), "bad_signature", "though it is cached");
}

#[tokio::test]
async fn sighup_reads_the_keys_at_once() {
    let edge = Edge::start_in(data_with_pair(&[]), &[("log.level", "info,kinora=debug")]);
    let reads = || edge.logged().matches("keys read").count();
    eventually("the first reading", async || (reads() == 1).then_some(())).await;
    signal(&edge, Signal::HUP).await;
    eventually("the second reading", async || (reads() == 2).then_some(())).await;
    edge.put("a.jpg", PICTURE);
    assert_eq!(edge.get("/media/a.jpg").await.status, 200, "nothing else has changed");
}

#[tokio::test]
async fn the_first_start_shows_keys_and_urls_that_work_and_the_second_shows_none() {
    let data = tempfile::tempdir().expect("a directory");
    for required in ["false", "true"] {
        let first = data.path().join(required);
        let settings = [("delivery.require_signature", required)];
        let edge = start_on(&first, &settings);
        let said = welcome(&edge, true).await;
        for kind in ["API key", "upload key", "signing key"] {
            assert_eq!(said.matches(kind).count(), 1, "{kind} in {said}");
        }
        assert!(urls(&said).len() >= 2, "{said}");
        for url in urls(&said) {
            let path = url.strip_prefix(&edge.public.to_string()).expect("our address");
            let reply = edge.get(path).await;
            assert_eq!(reply.status, 200, "{url} {reply:?}");
            assert!(reply.header("content-type").starts_with("image/"), "{reply:?}");
        }
        let line = said.lines().find(|line| line.contains("API key")).expect("an API key");
        let key = line.rsplit(' ').next().expect("a key");
        let reply =
            edge.send("GET", "/media/landscape.jpg", &[("Authorization", &format!("Bearer {key}"))]).await;
        assert_eq!(reply.status, 200, "the key that was shown works");
        drop(edge);
        let edge = start_on(&first, &settings);
        let reply =
            edge.send("GET", "/media/landscape.jpg", &[("Authorization", &format!("Bearer {key}"))]).await;
        assert_eq!(reply.status, 200, "and still does after the second start");
        assert!(!edge.said().contains("key"), "{}", edge.said());
    }
}

#[tokio::test]
async fn a_bucket_with_something_in_it_is_left_as_it_is() {
    let bucket_with = |name: &str, bytes: &[u8]| -> TempDir {
        let data = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(data.path().join("bucket")).expect("a bucket");
        std::fs::write(data.path().join("bucket").join(name), bytes).expect("an object");
        data
    };
    for (name, bytes, shown) in [("my.jpg", PICTURE, 3), ("notes.txt", b"mine".as_slice(), 0)] {
        let data = bucket_with(name, bytes);
        let edge = start_on(data.path(), &[]);
        let said = welcome(&edge, shown > 0).await;
        assert_eq!(urls(&said).len(), shown, "{said}");
        assert!(urls(&said).iter().all(|url| url.contains(name)), "{said}");
        let there: Vec<_> = std::fs::read_dir(data.path().join("bucket")).expect("a bucket").collect();
        assert_eq!(there.len(), 1, "nothing was laid into it");
    }
}

#[tokio::test]
async fn the_urls_of_the_first_start_are_good_for_a_day() {
    let edge = Edge::start(&[]);
    let said = welcome(&edge, true).await;
    let signed = urls(&said).into_iter().find_map(|url| Some(url.split_once("expiry=")?.1));
    let expiry = signed.expect("a signed URL").split('&').next().and_then(|text| text.parse::<u64>().ok());
    let left = expiry.expect("a number").saturating_sub(now());
    assert!((86_000..=86_400).contains(&left), "{left} seconds are left");
}
