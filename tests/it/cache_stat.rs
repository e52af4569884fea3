//! `kinora cache stat` and the numbers behind it.

use std::process::Output;

use kinora::telemetry::DiskCondition;
use serde_json::Value;

use crate::support::edge::{Edge, command};
use crate::support::http_origin::{Answer, Fault, HttpOrigin};
use crate::support::program::PICTURE;

fn stat(admin: &str, arguments: &[&str]) -> Output {
    let data = tempfile::tempdir().expect("a directory");
    let mut program = command(data.path(), &[("admin.listen", admin)]);
    let output = program.args(["cache", "stat"]).args(arguments).output().expect("the program runs");
    assert!(data.path().read_dir().expect("a directory").next().is_none(), "looking makes nothing");
    output
}

fn numbers(edge: &Edge) -> Value {
    let output = stat(&edge.admin.to_string(), &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const DONE: &str = r#"result="done""#;

#[tokio::test]
async fn it_shows_what_has_happened() {
    let edge = Edge::start(&[("cache.memory", "8MiB"), ("cache.disk", "16MiB")]);
    edge.put("a.jpg", PICTURE);
    for target in ["/media/a.jpg", "/media/a.jpg", "/media/a.jpg?resize=60,", "/media/a.jpg?resize=60,"] {
        assert_eq!(edge.get(target).await.status, 200);
    }
    edge.until("kinora_requests_total", &[], 4).await;
    edge.until("kinora_cache_disk_writes_total", &[DONE, r#"tier="disk""#], 2).await;
    let seen = numbers(&edge);
    for (path, expected) in [
        ("/tiers/memory/entries", 2),
        ("/tiers/memory/budget_bytes", 8 << 20),
        ("/tiers/memory/hits", 2),
        ("/tiers/memory/misses", 2),
        ("/tiers/memory/evictions", 0),
        ("/tiers/disk/entries", 2),
        ("/tiers/disk/budget_bytes", 16 << 20),
        ("/tiers/disk/hits", 0),
        ("/tiers/disk/misses", 2),
        ("/tiers/disk/writes", 2),
        ("/tiers/disk/dropped_writes", 0),
        ("/tiers/disk/waiting_bytes", 0),
        ("/tiers/disk/corrupt", 0),
        ("/tiers/originals_memory/entries", 1),
        ("/tiers/originals_disk/misses", 1),
        ("/requests/hit", 2),
        ("/requests/miss", 2),
        ("/requests/coalesced", 0),
        ("/fills/in_flight", 0),
        ("/fills/failed", 0),
        ("/slices_fetched", 0),
    ] {
        assert_eq!(seen.pointer(path).and_then(Value::as_u64), Some(expected), "{path} in {seen}");
    }
    assert_eq!(seen["tiers"]["disk"]["state"], DiskCondition::Ready.as_str());
    assert!(seen["tiers"]["disk"]["bytes"].as_u64() > Some(PICTURE.len() as u64), "{seen}");

    let text = String::from_utf8(stat(&edge.admin.to_string(), &[]).stdout).expect("text");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[1][0], rows[1][1], rows[2][0], rows[2][1]), ("memory", "2", "disk", "2"), "{text}");
    assert!(text.contains("50% from the cache: 2 hit, 0 stale"), "{text}");
    assert!(text.contains("disk             ready: 2 written, 0 dropped"), "{text}");
}

#[tokio::test]
async fn after_a_restart_answers_come_from_the_disk() {
    let data = tempfile::tempdir().expect("a directory");
    let settings = [("data.dir", data.path().to_str().expect("a plain path"))];
    let origin = HttpOrigin::start();
    origin.put("a.jpg", PICTURE);
    let edge = Edge::in_front_of(&origin, &settings);
    assert_eq!(edge.get("/media/a.jpg").await.status, 200);
    edge.until("kinora_cache_disk_writes_total", &[DONE, r#"tier="disk""#], 1).await;
    drop(edge);
    let edge = Edge::in_front_of(&origin, &settings);
    edge.until("kinora_cache_entries", &[r#"tier="disk""#], 1).await;
    for _ in 0..3 {
        assert_eq!(edge.get("/media/a.jpg").await.body, PICTURE);
    }
    let seen = numbers(&edge);
    assert_eq!(
        (&seen["tiers"]["disk"]["hits"], &seen["tiers"]["disk"]["misses"]),
        (&1.into(), &0.into()),
        "{seen}"
    );
    assert_eq!(
        (&seen["tiers"]["memory"]["hits"], &seen["tiers"]["memory"]["misses"]),
        (&2.into(), &1.into()),
        "{seen}"
    );
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_tier_that_is_full_gives_up_answers_and_one_that_is_off_has_none() {
    let edge = Edge::start(&[("cache.memory", "300KiB"), ("cache.disk", "0")]);
    for number in 0..10 {
        let name = format!("{number}.bin");
        edge.put(&name, &vec![number; 100_000]);
        assert_eq!(edge.get(&format!("/media/{name}")).await.body.len(), 100_000);
    }
    edge.until("kinora_cache_evictions_total", &[r#"tier="memory""#], 7).await;
    let seen = numbers(&edge);
    let memory = &seen["tiers"]["memory"];
    assert!(memory["bytes"].as_u64() <= Some(300 << 10), "{seen}");
    let all = memory["entries"].as_u64().zip(memory["evictions"].as_u64()).map(|(kept, left)| kept + left);
    assert_eq!(all, Some(10), "{seen}");
    assert_eq!(
        (&seen["tiers"]["disk"]["state"], &seen["tiers"]["disk"]["entries"]),
        (&"off".into(), &0.into()),
        "{seen}"
    );
}

#[tokio::test]
async fn fills_that_break_and_slices_that_come_are_counted() {
    let origin = HttpOrigin::start();
    origin.put("large.bin", &vec![7; 8 << 20]);
    let edge = Edge::in_front_of(&origin, &[]);
    let part = edge.send("GET", "/media/large.bin", &[("Range", "bytes=5000000-5000009")]).await;
    assert_eq!((part.status, part.body), (206, vec![7; 10]));
    edge.until("kinora_cache_slices_fetched_total", &[], 1).await;
    assert_eq!(edge.metric("kinora_cache_slices_fetched_total", &[]).await, 1);
    assert_eq!(edge.metric("kinora_cache_fill_failures_total", &[]).await, 0);

    origin.put("broken.bin", &[3; 5000]);
    origin.fault(Fault::Cut(2000));
    let reply = edge.get("/media/broken.bin").await;
    assert!(!reply.whole || reply.status == 502, "{}", reply.status);
    edge.until("kinora_cache_fill_failures_total", &[], 1).await;
}

#[tokio::test]
async fn it_says_clearly_when_there_is_nobody_to_ask() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let other = HttpOrigin::start();
    other.says("metrics", Answer::new(200, &[], b"<html>\n"));
    let moved = HttpOrigin::start();
    moved.fault(Fault::Redirect("http://127.0.0.1:1/".to_owned()));
    let foreign = HttpOrigin::start();
    foreign.says("metrics", Answer::new(200, &[], b"go_goroutines 7\n"));
    let endless = HttpOrigin::start();
    endless.says("metrics", Answer::new(200, &[], "a 1\n".repeat(300_000).as_bytes()));
    let host = |origin: &HttpOrigin| origin.url().trim_start_matches("http://").to_owned();
    for (listen, expected) in [
        ("127.0.0.1:0".to_owned(), "port 0"),
        (nobody.to_string(), "no server tells its numbers"),
        (host(&other), "no Kinora"),
        (host(&moved), "no Kinora"),
        (host(&foreign), "no Kinora"),
        (host(&endless), "no Kinora"),
    ] {
        let output = stat(&listen, &[]);
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{listen}: {error}");
        assert!(error.contains(expected) && output.stdout.is_empty(), "{listen}: {error}");
    }
}
