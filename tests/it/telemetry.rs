//! What those who run it can see: logs, metrics, health.

use std::collections::{BTreeMap, BTreeSet};

use kinora::telemetry::METRICS;
use serde_json::Value;

use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::program::{PICTURE, SECRET, create_key, data_with_pair, run, signed};
use crate::support::s3::{ACCESS_KEY_ID, BUCKET, S3Server, SECRET as S3_SECRET};

fn is_request(line: &Value) -> bool {
    line["message"] == "request"
}

fn request_lines(edge: &Edge) -> Vec<Value> {
    let logged = edge.logged();
    let lines = logged.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
    lines.filter(is_request).collect()
}

#[tokio::test]
async fn every_request_has_one_line_with_what_matters() {
    let edge = Edge::start(&[]);
    edge.put("a.jpg", PICTURE);
    edge.put("broken.jpg", &PICTURE[..3000]);
    for (target, status, cache, code) in [
        ("/media/a.jpg?resize=60,60", 200, "miss", None),
        ("/media/a.jpg?resize=60,60", 200, "hit", None),
        ("/media/a.jpg?resize=x", 400, "none", Some(("bad_option", "client", "INFO"))),
        ("/media/b.jpg", 404, "miss", Some(("not_found", "client", "INFO"))),
        ("/media/b.jpg", 404, "hit", Some(("not_found", "client", "INFO"))),
        ("/media/broken.jpg?format=jpg", 422, "miss", Some(("corrupt_source", "origin", "WARN"))),
        ("/elsewhere", 404, "none", Some(("not_found", "client", "INFO"))),
    ] {
        let before = request_lines(&edge).len();
        assert_eq!(edge.get(target).await.status, status, "{target}");
        let more = async || Some(request_lines(&edge)).filter(|lines| lines.len() > before);
        let line = eventually("its line", more).await.pop().expect("a line");
        check_line(&line, target, status, cache, code);
    }
    assert_eq!(request_lines(&edge).len(), 7, "one for each");
}

fn check_line(line: &Value, target: &str, status: u16, cache: &str, code: Option<(&str, &str, &str)>) {
    assert_eq!(
        (&line["status"], &line["cache"], &line["method"]),
        (&status.into(), &cache.into(), &"GET".into())
    );
    let path = line["path"].as_str().expect("a path");
    assert_eq!(path.split('?').next(), target.split('?').next(), "{line}");
    let is_render = cache == "miss" && status == 200;
    assert_eq!(
        line["timing"].as_str().is_some_and(|steps| steps.contains("decode;dur=")),
        is_render,
        "{line}"
    );
    assert!(line["ms"].as_f64().is_some_and(|ms| ms > 0.0) && line["bytes"].is_u64(), "{line}");
    match code {
        Some((code, blame, level)) => {
            assert_eq!(
                (&line["code"], &line["blame"], &line["level"]),
                (&code.into(), &blame.into(), &level.into())
            );
            assert_eq!(line.get("cause").is_some_and(Value::is_string), cache != "hit", "{line}");
        }
        None => {
            for absent in ["code", "blame", "cause", "ended"] {
                assert!(line.get(absent).is_none(), "{absent} in {line}");
            }
        }
    }
}

#[tokio::test]
async fn a_log_in_a_file_has_no_colours_and_no_false_alarms() {
    let edge = Edge::start(&[("log.format", "text")]);
    edge.put("a.jpg", PICTURE);
    for side in 20..50 {
        let target = format!("/media/a.jpg?format=jpg&resize={side},");
        let twice = futures::future::join(edge.get(&target), edge.get(&target)).await;
        assert_eq!((twice.0.status, twice.1.status), (200, 200));
    }
    edge.until("kinora_requests_total", &[], 60).await;
    let logged = edge.logged();
    assert!(logged.contains("status=200"), "{logged}");
    assert!(!logged.contains('\u{1b}'), "{logged}");
    assert!(!logged.contains("ERROR") && !logged.contains("WARN"), "{logged}");
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    let s3 = S3Server::start();
    s3.put("album/a.jpg", PICTURE);
    let endpoint = s3.url();
    let data = data_with_pair(&[]);
    let (_, api_key) = create_key(data.path(), &["api"]);
    let (_, other_secret) = create_key(data.path(), &["signing"]);
    let edge = Edge::start_in(
        data,
        &[
            ("log.level", "debug"),
            ("delivery.require_signature", "true"),
            ("origin.kind", "s3"),
            ("origin.s3.endpoint", &endpoint),
            ("origin.s3.bucket", BUCKET),
            ("origin.s3.access_key_id", ACCESS_KEY_ID),
            ("origin.s3.secret_access_key", S3_SECRET),
        ],
    );
    let picture = "/media/album/a.jpg?resize=60,60";
    let good = signed(picture, 1000);
    let token = run(edge.data_dir(), &["sign", picture, "--expires", "1h", "--scope", "/media/album"]);
    let late = signed(picture, -5);
    for _ in 0..2 {
        ask_all_kinds(&edge, [&good, &late, &token], &api_key).await;
    }
    let reply = edge.send("GET", picture, &[("X-FileSpin-Api-Key", &api_key)]).await;
    assert_eq!(reply.status, 200, "the proofs were good for something");
    let all = format!("{}\n{}", edge.said(), edge.logged());
    let signature = |target: &str| target.split_once("&signature=").expect("signed").1.to_owned();
    let token_signature =
        token.split('/').nth(1).and_then(|token| token.rsplit('.').next()).expect("a token");
    for (what, secret) in [
        ("signing secret", SECRET),
        ("another signing secret", &other_secret),
        ("API key", &api_key),
        ("signature", &signature(&good)),
        ("late signature", &signature(&late)),
        ("path token", token_signature),
        ("S3 secret", S3_SECRET),
        ("presigned URL", "X-Amz-Signature="),
    ] {
        let line = all.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} in {line:?}");
    }
}

/// Requests that are answered, refused, malformed or lost, all of them with secrets in them.
async fn ask_all_kinds(edge: &Edge, [good, late, token]: [&String; 3], api_key: &str) {
    let bearer = format!("Bearer {api_key}");
    let with_key = [("Authorization", bearer.as_str()), ("X-FileSpin-Api-Key", api_key)];
    for target in [good, late, token, &format!("{good}&x"), &format!("{token}&fit=none")] {
        edge.get(target).await;
        edge.send("POST", target, &[]).await;
        edge.send("GET", target, &[with_key[0], ("Range", "bytes=0-1")]).await;
    }
    let elsewhere = [token.replace("/media/album/a.jpg", "/media/b.jpg"), token.replace("/media", "")];
    for target in elsewhere.iter().chain([&good.replace("a.jpg", "%ff"), &good.replace("60,60", "x")]) {
        edge.get(target).await;
    }
    for target in ["/media/missing.jpg", "/elsewhere"] {
        edge.send("GET", target, &with_key).await;
    }
    let mut connection = edge.connect().await;
    connection.write(format!("GET {good} HTTP/1.1\r\nno colon {api_key}\r\n\r\n").as_bytes()).await;
    assert_eq!(connection.reply("GET").await.status, 400);
}

#[tokio::test]
async fn the_metrics_page_has_every_metric_with_its_labels() {
    let edge = Edge::start(&[]);
    edge.put("a.jpg", PICTURE);
    for target in ["/media/a.jpg?resize=60,60", "/media/a.jpg", "/media/b.jpg", "/media/a.jpg?resize=60,60"] {
        edge.get(target).await;
    }
    edge.until("kinora_requests_total", &[], 4).await;
    edge.until("kinora_job_turns_total", &[], 1).await;
    let reply = edge.admin("/metrics").await;
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"), "{reply:?}");
    let page = String::from_utf8(reply.body).expect("text");
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').expect("a value").0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        let labels = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le");
        seen.entry(name.to_owned()).or_default().extend(labels);
    }
    let expected: BTreeMap<String, BTreeSet<String>> = METRICS
        .iter()
        .map(|row| (row.name.to_owned(), row.labels.iter().map(|label| (*label).to_owned()).collect()))
        .collect();
    assert_eq!(seen, expected);
    for row in METRICS {
        assert!(page.contains(&format!("# HELP {} ", row.name)), "{} is explained", row.name);
    }
}

#[tokio::test]
async fn it_is_ready_while_the_bucket_is_there() {
    let edge = Edge::start(&[]);
    assert_eq!((edge.admin("/healthz").await.status, edge.admin("/readyz").await.status), (200, 200));
    let away = edge.data_dir().join("away");
    std::fs::rename(edge.bucket(), &away).expect("moved");
    let reply = edge.admin("/readyz").await;
    assert_eq!(reply.status, 503, "{reply:?}");
    let text = String::from_utf8(reply.body).expect("text");
    assert!(text.contains("bucket") && !text.contains(&*edge.data_dir().to_string_lossy()), "{text}");
    assert_eq!(edge.admin("/healthz").await.status, 200, "alive all the same");
    std::fs::rename(&away, edge.bucket()).expect("moved back");
    assert_eq!(edge.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn it_is_not_ready_when_the_web_origin_is_gone_and_says_whose_fault_it_is() {
    let origin = HttpOrigin::start();
    origin.put("a.txt", b"a text");
    let url = origin.url();
    let edge =
        Edge::start(&[("origin.kind", "http"), ("origin.http.base_url", &url), ("origin.retries", "0")]);
    assert_eq!(edge.admin("/readyz").await.status, 200);
    assert_eq!(edge.get("/media/a.txt?v=1").await.status, 200);
    origin.fault(Fault::Status(500, "a stack trace of 10.0.0.7"));
    let reply = edge.get("/media/a.txt?v=2").await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"));
    drop(origin);
    assert_eq!(edge.admin("/readyz").await.status, 503);
    let reply = edge.get("/media/a.txt?v=3").await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"));
    let text = String::from_utf8_lossy(&reply.body);
    assert!(!text.contains("127.0.0.1"), "{text}");
    let line = edge.log_line(|line| line["code"] == "origin_failed").await;
    assert_eq!((&line["blame"], &line["level"]), (&"origin".into(), &"WARN".into()), "{line}");
    edge.until("kinora_failures_total", &[r#"code="origin_failed""#, r#"blame="origin""#], 2).await;
}

#[tokio::test]
async fn errors_of_the_edge_itself_say_so() {
    let edge = Edge::start(&[("render.queue", "0"), ("render.slots", "1"), ("render.deadline", "1ms")]);
    edge.put("a.jpg", PICTURE);
    let reply = edge.get("/media/a.jpg?resize=900,&format=avif").await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(["render_timeout", "overloaded"].contains(&reply.code().as_str()), "{reply:?}");
    assert!(reply.has("retry-after"), "{reply:?}");
    let line = edge.log_line(|line| line["status"] == 503).await;
    assert_eq!((&line["blame"], &line["level"]), (&"edge".into(), &"ERROR".into()), "{line}");
    edge.until("kinora_failures_total", &[r#"blame="edge""#], 1).await;
}
