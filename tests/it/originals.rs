//! Originals are kept for the variants that are made of them: what each way costs the origin.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::support::client::Reply;
use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::{Fault, HttpOrigin, Seen};
use crate::support::picture;
use crate::support::program::run;

const KEPT: (&str, &str) = ("cache.originals_fresh", "1h");
const REVALIDATED: (&str, &str) = ("cache.originals_fresh", "0s");

fn origin() -> HttpOrigin {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(640, 480));
    origin
}

/// One of many variants, `width` wide.
fn variant(width: usize) -> String {
    format!("/media/photo.jpg?resize={width},&format=png")
}

async fn is_made(edge: &Edge, width: usize) -> Reply {
    let reply = edge.get(&variant(width)).await;
    assert_eq!((reply.status, reply.whole), (200, true), "{width}: {reply:?}");
    assert_eq!(picture::read(&reply.body).width as usize, width);
    reply
}

/// Ten variants at once.
fn crowd(edge: &Arc<Edge>) -> JoinSet<(usize, Reply)> {
    let mut crowd = JoinSet::new();
    for width in (10..=100).step_by(10) {
        let edge = Arc::clone(edge);
        crowd.spawn(async move { (width, edge.get(&variant(width)).await) });
    }
    crowd
}

async fn originals(edge: &Edge, result: &str) -> u64 {
    edge.metric("kinora_original_requests_total", &[&format!("result=\"{result}\"")]).await
}

/// How the source of each variant was come by: hit, miss, revalidated, joined.
async fn results(edge: &Edge) -> [u64; 4] {
    let mut results = [0; 4];
    for (count, result) in results.iter_mut().zip(["hit", "miss", "revalidated", "joined"]) {
        *count = originals(edge, result).await;
    }
    results
}

fn is_conditional(seen: &Seen) -> bool {
    seen.headers.contains_key("if-none-match")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_variants_at_once_are_one_fetch_and_ten_renders() {
    let origin = origin();
    let edge = Arc::new(Edge::in_front_of(&origin, &[]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let crowd = crowd(&edge);
    edge.until("kinora_renders_in_flight", &[], 10).await;
    drop(open);
    for (width, reply) in crowd.join_all().await {
        assert_eq!((reply.status, reply.whole), (200, true), "{width}: {reply:?}");
        assert_eq!(picture::read(&reply.body).width as usize, width);
    }
    assert_eq!((origin.requests().len(), edge.renders().await), (1, 10));
    assert_eq!(results(&edge).await, [0, 1, 0, 9]);
}

#[tokio::test]
async fn variants_read_an_original_while_it_arrives() {
    let origin = origin();
    let edge = Edge::in_front_of(&origin, &[("image.max_source_pixels", "1000")]);
    let (_open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(picture::jpeg(640, 480).len() - 1, gate));
    for width in [10, 20] {
        let refused = edge.get(&variant(width)).await;
        assert_eq!((refused.status, refused.code().as_str()), (413, "too_many_pixels"), "after its head");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn while_it_is_fresh_an_original_is_fetched_once() {
    let origin = origin();
    for (said, setting) in [(&[][..], KEPT), (&[("cache-control", "max-age=600")], REVALIDATED)] {
        origin.say(said);
        let before = origin.requests().len();
        let edge = Edge::in_front_of(&origin, &[setting]);
        for width in [10, 20, 30] {
            is_made(&edge, width).await;
        }
        assert_eq!(origin.requests().len() - before, 1, "{said:?}");
        assert_eq!(results(&edge).await, [2, 1, 0, 0]);
    }
}

#[tokio::test]
async fn past_that_the_origin_is_asked_whether_it_is_the_same() {
    let origin = origin();
    for (said, setting) in [(&[][..], REVALIDATED), (&[("cache-control", "no-cache")], KEPT)] {
        origin.say(said);
        let before = origin.requests().len();
        let edge = Edge::in_front_of(&origin, &[setting]);
        for width in [10, 20, 30] {
            is_made(&edge, width).await;
        }
        let conditional: Vec<bool> = origin.requests()[before..].iter().map(is_conditional).collect();
        assert_eq!(conditional, [false, true, true], "{said:?}");
        assert_eq!(results(&edge).await, [0, 1, 2, 0]);
        let not_modified = edge.metric("kinora_origin_requests_total", &[r#"result="not_modified""#]).await;
        assert_eq!(not_modified, 2, "no body came a second time");
    }
}

#[tokio::test]
async fn a_replaced_original_gives_new_pixels() {
    let origin = origin();
    let edge = Edge::in_front_of(&origin, &[REVALIDATED]);
    assert_eq!(picture::read(&is_made(&edge, 40).await.body).height, 30);
    origin.put("photo.jpg", &picture::jpeg(480, 640));
    assert_eq!(picture::read(&is_made(&edge, 60).await.body).height, 80);
    assert_eq!(picture::read(&is_made(&edge, 30).await.body).height, 40);
    let conditional: Vec<bool> = origin.requests().iter().map(is_conditional).collect();
    assert_eq!(conditional, [false, true, true]);
}

#[tokio::test]
async fn a_replaced_file_gives_new_pixels_within_the_time() {
    let edge = Edge::start(&[("cache.originals_fresh", "1s")]);
    edge.put("photo.jpg", &picture::jpeg(640, 480));
    assert_eq!(picture::read(&is_made(&edge, 40).await.body).height, 30);
    edge.put("photo.jpg", &picture::jpeg(480, 640));
    let mut widths = 100..;
    let height = |reply: &Reply| picture::read(&reply.body).height as usize;
    let renewed = eventually("the new pixels", async || {
        let width = widths.next()?;
        let reply = is_made(&edge, width).await;
        (height(&reply) > width).then_some(())
    });
    renewed.await;
}

#[tokio::test]
async fn what_was_made_of_an_aged_original_is_as_old_as_that() {
    let origin = origin();
    origin.say(&[("cache-control", "max-age=600"), ("age", "500")]);
    let edge = Edge::in_front_of(&origin, &[]);
    for width in [10, 20] {
        let reply = is_made(&edge, width).await;
        let life = reply.header("cache-status");
        let life = life.rsplit_once("ttl=").map_or(0, |(_, ttl)| ttl.parse::<i64>().expect("seconds"));
        assert!((1..=100).contains(&life), "{reply:?}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_purge_takes_the_original_too() {
    let origin = origin();
    origin.say(&[("cache-tag", "shelf"), ("cache-control", "max-age=600")]);
    let edge = Edge::in_front_of(&origin, &[("purge.allow_cidrs", "127.0.0.0/8")]);
    is_made(&edge, 10).await;
    is_made(&edge, 20).await;
    let reply = edge.send("PURGE", "/media/photo.jpg", &[]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    is_made(&edge, 10).await;
    is_made(&edge, 30).await;
    let conditional: Vec<bool> = origin.requests().iter().map(is_conditional).collect();
    assert_eq!(conditional, [false, false], "anew and whole, and once for all variants");
}

#[tokio::test]
async fn purges_of_all_kinds_reach_the_original() {
    let origin = origin();
    origin.say(&[("cache-tag", "shelf"), ("cache-control", "max-age=600")]);
    let edge = Edge::in_front_of(&origin, &[]);
    let mut widths = 10..;
    for (purge, conditional) in [
        (&["purge", "--key", "photo.jpg", "--stale"][..], true),
        (&["purge", "--tag", "shelf"], false),
        (&["purge", "--tag", "shelf", "--stale"], true),
        (&["purge", "--everything"], false),
    ] {
        is_made(&edge, widths.next().expect("endless")).await;
        let before = origin.requests().len();
        run(edge.data_dir(), purge);
        eventually("the purge to be heard of", async || {
            is_made(&edge, widths.next()?).await;
            (origin.requests().len() > before).then_some(())
        })
        .await;
        assert_eq!(origin.requests().last().is_some_and(is_conditional), conditional, "{purge:?}");
    }
}

#[tokio::test]
async fn a_fetch_that_a_purge_has_overtaken_is_joined_no_more() {
    let origin = origin();
    let edge = Arc::new(Edge::in_front_of(&origin, &[KEPT, ("purge.allow_cidrs", "127.0.0.0/8")]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(1000, gate));
    let old = tokio::spawn({
        let edge = Arc::clone(&edge);
        async move { edge.get(&variant(40)).await }
    });
    edge.until("kinora_origin_requests_total", &[], 1).await;
    origin.put("photo.jpg", &picture::jpeg(480, 640));
    assert_eq!(edge.send("PURGE", "/media/photo.jpg", &[]).await.status, 200);
    assert_eq!(picture::read(&is_made(&edge, 30).await.body).height, 40, "of the new one");
    drop(open);
    assert_eq!(old.await.expect("an answer").status, 200, "who asked before may get the old one");
    assert_eq!(picture::read(&is_made(&edge, 60).await.body).height, 80, "which is not what is kept");
    assert_eq!(picture::read(&is_made(&edge, 40).await.body).height, 53);
    assert_eq!(origin.requests().len(), 2);
}

/// The files of originals that are on the disk.
fn files(data: &Path) -> Vec<PathBuf> {
    let below = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let all = below(&data.join("cache/originals")).into_iter().flat_map(|dir| below(&dir));
    all.filter(|path| !path.ends_with("kinora-writing")).collect()
}

/// A server on a data directory that outlives it.
fn on(data: &TempDir, origin: &HttpOrigin, settings: &[(&str, &str)]) -> Edge {
    let dir = data.path().to_str().expect("a plain path");
    Edge::in_front_of(origin, &[&[("data.dir", dir)], settings].concat())
}

async fn is_written(data: &TempDir) -> PathBuf {
    eventually("the original on the disk", async || files(data.path()).pop()).await
}

#[tokio::test]
async fn an_original_outlives_a_restart() {
    let data = tempfile::tempdir().expect("a directory");
    let origin = origin();
    let edge = on(&data, &origin, &[REVALIDATED]);
    is_made(&edge, 10).await;
    is_written(&data).await;
    drop(edge);
    // The start reads the directory by and by: until then it is a miss, which is fetched whole.
    let edge = on(&data, &origin, &[REVALIDATED]);
    let mut widths = 20..;
    let found = eventually("the index", async || {
        is_made(&edge, widths.next()?).await;
        (originals(&edge, "revalidated").await > 0).then_some(())
    });
    found.await;
    assert!(origin.requests().last().is_some_and(is_conditional));
    assert!(origin.requests().iter().filter(|seen| !is_conditional(seen)).count() <= 2);
}

/// A JPEG of more bytes than are read at once, or moved into memory from the disk.
fn large() -> Vec<u8> {
    [picture::jpeg(640, 480), vec![0; 3 << 20]].concat()
}

#[tokio::test]
async fn a_large_original_comes_from_the_disk() {
    let data = tempfile::tempdir().expect("a directory");
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &large());
    let settings = [KEPT, ("cache.originals_memory", "1MiB"), ("cache.disk", "0")];
    let edge = on(&data, &origin, &settings);
    is_made(&edge, 10).await;
    is_written(&data).await;
    drop(edge);
    let edge = on(&data, &origin, &settings);
    drop(origin);
    eventually("the index", async || (edge.get(&variant(20)).await.status == 200).then_some(())).await;
    let before = results(&edge).await;
    for width in [30, 40] {
        is_made(&edge, width).await;
    }
    assert_eq!(originals(&edge, "hit").await - before[0], 2, "without an origin");
}

#[tokio::test]
async fn a_damaged_original_is_mended_by_the_origin() {
    let data = tempfile::tempdir().expect("a directory");
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &large());
    let edge = on(&data, &origin, &[KEPT, ("cache.originals_memory", "0")]);
    is_made(&edge, 10).await;
    let file = is_written(&data).await;
    let mut bytes = std::fs::read(&file).expect("the object");
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).expect("damaged");
    let mut widths = 20..;
    let mended = eventually("one that is read from the disk", async || {
        is_made(&edge, widths.next()?).await;
        origin.requests().into_iter().nth(1)
    });
    let mended = mended.await;
    assert!(mended.headers.contains_key("if-match"), "of the same state: {mended:?}");
    let from = mended.headers["range"].to_str().expect("text").trim_start_matches("bytes=").to_owned();
    let from: usize = from.trim_end_matches('-').parse().expect("a position");
    assert!(from > 1 << 20, "what is whole is not fetched again: {from}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_breaks_off_fails_all_who_wait_and_leaves_nothing() {
    let origin = origin();
    let edge = Arc::new(Edge::in_front_of(&origin, &[KEPT]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldThenCut(2000, gate));
    let crowd = crowd(&edge);
    edge.until("kinora_renders_in_flight", &[], 10).await;
    drop(open);
    for (width, reply) in crowd.join_all().await {
        assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"), "{width}");
    }
    let line = edge.log_line(|line| line["code"] == "origin_failed").await;
    assert_eq!(line["blame"], "origin", "{line}");
    assert_eq!((origin.requests().len(), edge.renders().await), (1, 0));
    is_made(&edge, 110).await;
    is_made(&edge, 120).await;
    assert_eq!(origin.requests().len(), 2, "anew");
    assert!(!origin.requests().iter().any(is_conditional), "there was nothing to compare with");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_cannot_answer_is_asked_once_for_all_who_wait() {
    let origin = origin();
    let edge = Arc::new(Edge::in_front_of(&origin, &[("origin.first_byte_timeout", "2s")]));
    let (_open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    for (width, reply) in crowd(&edge).join_all().await {
        assert_eq!((reply.status, reply.code().as_str()), (504, "origin_timeout"), "{width}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn an_original_that_is_gone_is_forgotten() {
    let data = tempfile::tempdir().expect("a directory");
    let origin = origin();
    let edge = on(&data, &origin, &[REVALIDATED]);
    is_made(&edge, 10).await;
    is_written(&data).await;
    origin.fault(Fault::Status(404, "not here"));
    assert_eq!(edge.get(&variant(20)).await.status, 404);
    eventually("its file to go", async || files(data.path()).is_empty().then_some(())).await;
    is_made(&edge, 30).await;
    assert!(!origin.requests().last().is_some_and(is_conditional));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_kept_is_fetched_for_each() {
    for said in [&[("cache-control", "no-store")], &[("cache-control", "private")], &[("vary", "*")]] {
        let origin = origin();
        origin.say(said);
        let data = tempfile::tempdir().expect("a directory");
        let edge = Arc::new(on(&data, &origin, &[]));
        let (open, gate) = oneshot::channel();
        origin.fault(Fault::Hold(gate));
        let crowd = crowd(&edge);
        edge.until("kinora_renders_in_flight", &[], 10).await;
        drop(open);
        for (width, reply) in crowd.join_all().await {
            assert_eq!(reply.status, 200, "{width}: {reply:?}");
        }
        assert_eq!(origin.requests().len(), 10, "{said:?}");
        assert_eq!(results(&edge).await, [0, 10, 0, 0]);
        assert!(files(data.path()).is_empty());
    }
}

#[tokio::test]
async fn what_the_origin_sees_of_a_client_is_not_for_others() {
    let origin = origin();
    let edge = Edge::in_front_of(&origin, &[KEPT, ("origin.http.forward_request_headers", "x-who")]);
    for width in [10, 20] {
        let reply = edge.send("GET", &variant(width), &[("X-Who", "me")]).await;
        assert_eq!(reply.status, 200);
    }
    is_made(&edge, 30).await;
    assert_eq!(origin.requests().len(), 3);
    assert_eq!(results(&edge).await, [0, 1, 0, 0]);
}

#[tokio::test]
async fn without_a_budget_every_variant_is_a_fetch() {
    let data = tempfile::tempdir().expect("a directory");
    let origin = origin();
    let edge = on(&data, &origin, &[KEPT, ("cache.originals", "0")]);
    for width in [10, 20, 30] {
        is_made(&edge, width).await;
    }
    assert_eq!(origin.requests().len(), 3);
    assert_eq!(results(&edge).await, [0; 4]);
    assert!(!data.path().join("cache/originals").exists());
}

#[tokio::test]
async fn what_arrives_at_the_same_time_is_bounded() {
    let origin = HttpOrigin::start();
    let padded = [picture::jpeg(64, 48), vec![0; 60_000]].concat();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        origin.put(key, &padded);
    }
    // Room for two of them.
    let edge = Arc::new(Edge::in_front_of(&origin, &[KEPT, ("cache.fills", "128KiB")]));
    let mut held = Vec::new();
    let mut gates = Vec::new();
    for key in ["a", "b"] {
        let (open, gate) = oneshot::channel();
        origin.fault(Fault::HoldAfter(50_000, gate));
        gates.push(open);
        let (edge, target) = (Arc::clone(&edge), format!("/media/{key}.jpg?resize=10,&format=png"));
        held.push(tokio::spawn(async move { edge.get(&target).await }));
        let arriving = gates.len();
        eventually("its fetch", async || (origin.requests().len() == arriving).then_some(())).await;
    }
    for width in [10, 20] {
        let reply = edge.get(&format!("/media/c.jpg?resize={width},&format=png")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(origin.requests().len(), 4, "made, but not kept");
    drop(gates);
    for reply in held {
        assert_eq!(reply.await.expect("an answer").status, 200);
    }
    for width in [30, 40] {
        assert_eq!(edge.get(&format!("/media/c.jpg?resize={width},&format=png")).await.status, 200);
    }
    assert_eq!(origin.requests().len(), 5, "there is room again");
}

#[tokio::test]
async fn who_comes_late_does_not_get_what_is_old_by_then() {
    let origin = origin();
    let edge = Arc::new(Edge::in_front_of(&origin, &[REVALIDATED]));
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(1000, gate));
    let ask = |width: usize| {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { edge.get(&variant(width)).await })
    };
    let first = ask(10);
    edge.until("kinora_origin_requests_total", &[], 1).await;
    let late = ask(40);
    edge.until("kinora_renders_in_flight", &[], 2).await;
    origin.put("photo.jpg", &picture::jpeg(480, 640));
    drop(open);
    assert_eq!(first.await.expect("an answer").status, 200);
    let late = late.await.expect("an answer");
    assert_eq!((late.status, picture::read(&late.body).height), (200, 53), "the state of its own time");
    let conditional: Vec<bool> = origin.requests().iter().map(is_conditional).collect();
    assert_eq!(conditional, [false, true]);
}
