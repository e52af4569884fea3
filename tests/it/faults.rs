//! Origins that fail: each fault has its code, its blame and no life in the cache.

use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::picture;

fn servers(settings: &[(&str, &str)]) -> (HttpOrigin, Edge) {
    let origin = HttpOrigin::start();
    origin.put("a.txt", b"text");
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    let edge = Edge::in_front_of(&origin, settings);
    (origin, edge)
}

const TARGETS: [&str; 2] = ["/media/a.txt", "/media/photo.jpg?resize=32,&format=png"];

/// One fault on each kind of answer; then the origin is well again.
async fn meets(fault: impl Fn() -> Fault, status: u16, code: &str) {
    let (origin, edge) = servers(&[("origin.first_byte_timeout", "300ms"), ("origin.read_timeout", "300ms")]);
    for target in TARGETS {
        origin.fault(fault());
        let reply = edge.get(target).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{target}");
        assert_eq!(reply.header("cache-control"), "no-store", "{reply:?}");
        let life = reply.header("cache-status");
        let life = life.rsplit_once("ttl=").map_or(0, |(_, ttl)| ttl.parse::<i64>().expect("seconds"));
        assert!(life <= 1, "{reply:?}");
        let shown = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(!shown.contains(&origin.url()) && !shown.contains("127.0.0.1"), "{shown}");
        let path = target.split('?').next().expect("a path").to_owned();
        let line = edge
            .log_line(|line| {
                line["code"] == code && line["path"].as_str().is_some_and(|of| of.starts_with(&path))
            })
            .await;
        assert_eq!(
            (&line["blame"], &line["level"]),
            (&Value::from("origin"), &Value::from("WARN")),
            "{line}"
        );
        assert_ne!(line["cause"], "", "{line}");
        let after = eventually("the origin's recovery", async || {
            Some(edge.get(target).await).filter(|reply| reply.status == 200)
        });
        assert!(after.await.whole);
    }
    assert_eq!(edge.metric("kinora_failures_total", &[r#"blame="edge""#]).await, 0);
}

#[tokio::test]
async fn a_refused_connection() {
    meets(|| Fault::Refuse, 502, "origin_failed").await;
}

#[tokio::test]
async fn an_error_of_the_origin() {
    meets(|| Fault::Status(500, "secret stack trace at 127.0.0.1"), 502, "origin_failed").await;
}

#[tokio::test]
async fn an_origin_that_forbids() {
    meets(|| Fault::Status(403, "no"), 502, "origin_refused").await;
}

#[tokio::test]
async fn a_redirect_to_elsewhere() {
    meets(|| Fault::Redirect("http://169.254.169.254/latest/".to_owned()), 502, "origin_failed").await;
}

#[tokio::test]
async fn a_redirect_without_end() {
    let (origin, edge) = servers(&[]);
    for _ in 0..9 {
        origin.fault(Fault::Redirect(format!("{}/a.txt", origin.url())));
    }
    let reply = edge.get("/media/a.txt").await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"));
    assert!(origin.requests().len() < 9, "{}", origin.requests().len());
}

#[tokio::test]
async fn an_origin_that_does_not_answer() {
    let (origin, edge) = servers(&[("origin.first_byte_timeout", "300ms")]);
    for target in TARGETS {
        let (_open, gate) = oneshot::channel();
        origin.fault(Fault::Hold(gate));
        let reply = edge.get(target).await;
        assert_eq!((reply.status, reply.code().as_str()), (504, "origin_timeout"), "{target}");
    }
    let line = edge.log_line(|line| line["code"] == "origin_timeout").await;
    assert_eq!(line["blame"], "origin");
    assert_eq!(origin.requests().len(), 2, "a timeout is not tried again");
}

#[tokio::test]
async fn a_source_that_stops_in_its_middle() {
    let (origin, edge) = servers(&[("origin.read_timeout", "300ms")]);
    let (_open, gate) = oneshot::channel();
    origin.fault(Fault::HoldAfter(300, gate));
    let reply = edge.get(TARGETS[1]).await;
    assert_eq!((reply.status, reply.code().as_str()), (504, "origin_timeout"));
    for (version, fault) in [Fault::Cut(300), Fault::Longer, Fault::ChunkedCut(300)].into_iter().enumerate() {
        origin.fault(fault);
        let reply = edge.get(&format!("{}&v={version}", TARGETS[1])).await;
        assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"), "{reply:?}");
    }
}

#[tokio::test]
async fn an_original_of_the_wrong_length_never_looks_whole() {
    let (origin, edge) = servers(&[]);
    for (version, fault) in [Fault::Cut(2), Fault::Longer, Fault::ChunkedCut(2)].into_iter().enumerate() {
        let target = format!("/media/a.txt?v={version}");
        origin.fault(fault);
        let reply = edge.get(&target).await;
        assert!(!reply.whole || reply.status >= 500, "{reply:?}");
        let after = eventually("the next one", async || {
            Some(edge.get(&target).await).filter(|reply| reply.status == 200)
        });
        let after = after.await;
        assert!(after.whole && after.body == b"text", "{after:?}");
    }
}

#[tokio::test]
async fn an_original_without_a_length_streams_and_is_not_kept() {
    let (origin, edge) = servers(&[]);
    for _ in 0..2 {
        origin.fault(Fault::Chunked);
        let reply = edge.get("/media/a.txt").await;
        assert!(reply.status == 200 && reply.whole && reply.body == b"text", "{reply:?}");
        assert!(!reply.header("cache-status").contains("stored"), "{reply:?}");
    }
    origin.fault(Fault::Chunked);
    let picture = edge.get(TARGETS[1]).await;
    assert!(picture.status == 200 && picture.header("cache-status").contains("stored"), "{picture:?}");
}

#[tokio::test]
async fn an_origin_that_is_not_there_at_all() {
    let origin = HttpOrigin::start();
    let edge = Edge::in_front_of(&origin, &[]);
    drop(origin);
    for method in ["GET", "HEAD"] {
        let reply = edge.send(method, "/media/a.txt", &[]).await;
        assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"));
    }
    assert_eq!(edge.admin("/healthz").await.status, 200, "we are alive");
    assert_eq!(edge.admin("/readyz").await.status, 503, "but of no use");
}
