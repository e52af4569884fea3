//! Jobs of the running server, imports above all: what they make, what they refuse, and what is left of them.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::edge::{Edge, eventually};
use crate::support::program::{PICTURE, create_key, signal};
use crate::support::receiver::{Answer, Receiver};
use crate::support::server::Server;

const SETTINGS: &[(&str, &str)] =
    &[("imports.allow_cidrs", "127.0.0.0/8"), ("webhooks.allow_cidrs", "127.0.0.0/8")];

const EXTERNAL: &str = "/assets/new/content/original/external";

struct Bench {
    edge: Edge,
    key: String,
}

impl Bench {
    fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let (_, key) = create_key(data.path(), &["api"]);
        Self { edge: Edge::start_in(data, settings), key }
    }

    async fn send(&self, method: &str, target: &str, body: &str) -> Reply {
        let mut connection = self.edge.connect().await;
        let length = body.len().to_string();
        let headers = [("X-FileSpin-Api-Key", self.key.as_str()), ("Content-Length", &length)];
        connection.ask(method, &format!("/api/v1{target}"), &headers).await;
        connection.write(body.as_bytes()).await;
        connection.reply(method).await
    }

    async fn get(&self, target: &str) -> Value {
        let reply = self.send("GET", target, "").await;
        assert_eq!(reply.status, 200, "{target}: {reply:?}");
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    /// Asks for an import; the ids of the asset and of the job.
    async fn import(&self, url: &str) -> (String, String) {
        let reply = self.send("POST", EXTERNAL, &json!({ "key": url }).to_string()).await;
        assert_eq!(reply.status, 202, "{url}: {reply:?}");
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(body["status"], "QUEUED");
        let text = |name: &str| body[name].as_str().expect("text").to_owned();
        (text("id"), text("job"))
    }

    /// The job once it has ended.
    async fn ended(&self, job: &str) -> Value {
        eventually("the end of the job", async || {
            let job = self.get(&format!("/jobs/{job}")).await;
            Some(job).filter(|job| !["queued", "running"].contains(&job["state"].as_str().expect("text")))
        })
        .await
    }

    async fn asset(&self, id: &str) -> Value {
        self.get(&format!("/assets/{id}/data")).await
    }
}

/// A server of files whose answers are told by their path.
fn files() -> Server {
    Server::start(|request: http::Request<hyper::body::Incoming>| async move {
        let response = Response::builder();
        let to = |location: &str| Response::builder().status(302).header("location", location);
        let response = match request.uri().path() {
            "/a/cat%20one.jpg" => response.header("content-type", "image/jpeg").body(Body::from(PICTURE)),
            "/moved" => to("/a/cat%20one.jpg").body(Body::empty()),
            "/round" => to("/round").body(Body::empty()),
            "/inward" => to("http://10.0.0.1/secret").body(Body::empty()),
            "/disguised" => to("http://[::ffff:169.254.169.254]/latest/meta-data").body(Body::empty()),
            "/elsewhere" => to("file:///etc/passwd").body(Body::empty()),
            "/empty" => response.body(Body::empty()),
            "/lies.png" => {
                response.header("content-type", "image/png").body(Body::from("<html>not a picture"))
            }
            "/large" => response.body(Body::from(vec![b'a'; 200_000])),
            "/hangs" => {
                let never = futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
                let first = futures::stream::once(async { Ok(axum::body::Bytes::from_static(b"some")) });
                response.body(Body::from_stream(futures::StreamExt::chain(first, never)))
            }
            "/refused" => response.status(403).body(Body::empty()),
            _ => response.status(404).body(Body::empty()),
        };
        Some(response.expect("a response"))
    })
}

#[tokio::test]
async fn what_a_url_leads_to_becomes_an_asset_that_was_there_from_the_beginning() {
    let (files, receiver) = (files(), Receiver::start(|_, _| Answer::Status(200)));
    let bench = Bench::start(SETTINGS);
    bench.send("POST", "/hooks", &json!({ "url": receiver.url() }).to_string()).await;
    let (id, job) = bench.import(&format!("{}/moved", files.url())).await;
    let done = bench.ended(&job).await;
    let size = PICTURE.len();
    assert_eq!(
        (&done["state"], &done["asset"], &done["kind"]),
        (&json!("done"), &json!(id), &json!("import"))
    );
    assert_eq!((done["done"].as_u64(), done["total"].as_u64()), (Some(size as u64), Some(size as u64)));
    let asset = bench.asset(&id).await;
    assert_eq!(
        (&asset["status"], &asset["size"], &asset["name"]),
        (&json!("OK"), &json!(size), &json!("moved"))
    );
    assert_eq!((&asset["content_type"], &asset["metadata"]["width"]), (&json!("image/jpeg"), &json!(2000)));
    assert_eq!(asset["upload_source"], "127.0.0.1");
    assert!(asset["creator_id"].is_string(), "the key that asked for it: {asset}");
    let calls = receiver.until(2).await;
    let mut events: Vec<String> = calls
        .iter()
        .map(|call| serde_json::from_slice::<Value>(&call.body).expect("JSON")["event"].to_string())
        .collect();
    events.sort();
    assert_eq!(events, [r#""file-processed""#, r#""file-saved""#]);

    let (id, job) = bench.import(&format!("{}/a/cat%20one.jpg?x=/y", files.url())).await;
    bench.ended(&job).await;
    assert_eq!(bench.asset(&id).await["name"], "cat one.jpg");
    let picture = bench.edge.get(&format!("/api/v1/assets/{id}/conversions?resize=40,")).await;
    assert_eq!(picture.status, 200, "{picture:?}");
    let imports = [r#"kind="import""#, r#"result="done""#];
    bench.edge.until("kinora_job_turns_total", &imports, 2).await;
    bench.edge.until("kinora_hook_attempts_total", &[r#"result="done""#], 4).await;
    // From the bucket it is copied, since objects of assets never change.
    bench.edge.put("folder/dog.jpg", PICTURE);
    let bucket = asset["bucket"].as_str().expect("text");
    let (id, job) = bench.import(&format!("s3://{bucket}/folder/dog.jpg")).await;
    assert_eq!(bench.ended(&job).await["state"], "done");
    let copy = bench.asset(&id).await;
    assert_eq!((&copy["name"], &copy["checksum"]), (&json!("dog.jpg"), &asset["checksum"]));
    assert_ne!(copy["key"], "folder/dog.jpg");
    let listed = bench.get("/jobs?state=done&kind=import&limit=2").await;
    assert_eq!(listed["jobs"].as_array().map(Vec::len), Some(2));
    let rest = bench.get(&format!("/jobs?state=done&kind=import&cursor={}", listed["cursor"])).await;
    assert_eq!((rest["jobs"].as_array().map(Vec::len), &rest["cursor"]), (Some(1), &Value::Null));
}

#[tokio::test]
async fn what_is_not_taken_leaves_an_asset_in_error_and_nothing_in_the_bucket() {
    let files = files();
    let bench = Bench::start(&[SETTINGS, &[("upload.max_bytes", "150KB")]].concat());
    for (path, error) in [
        ("/nowhere", "source_not_found"),
        ("/refused", "source_refused"),
        ("/round", "source_failed"),
        ("/inward", "address_refused"),
        ("/disguised", "address_refused"),
        ("/elsewhere", "bad_url"),
        ("/empty", "empty_file"),
        ("/lies.png", "type_mismatch"),
        ("/large", "file_too_large"),
    ] {
        let (id, job) = bench.import(&format!("{}{path}", files.url())).await;
        let failed = bench.ended(&job).await;
        assert_eq!(
            (&failed["state"], &failed["error"]),
            (&json!("failed"), &json!(error)),
            "{path}: {failed}"
        );
        assert!(failed["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{failed}");
        assert_eq!(bench.asset(&id).await["status"], "ERROR", "{path}");
    }
    let prefix = bench.edge.bucket().join("kinora");
    let left = walk(&prefix);
    assert!(left.is_empty(), "{left:?}");
}

/// Files below a directory.
fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn private_addresses_are_not_imported_from() {
    let receiver = Receiver::start(|_, _| Answer::Status(200));
    let port = receiver.url().rsplit(':').next().expect("a port").to_owned();
    let bench = Bench::start(&[]);
    for key in [
        format!("http://127.0.0.1:{port}/a.jpg"),
        format!("http://[::ffff:127.0.0.1]:{port}/a.jpg"),
        format!("http://2130706433:{port}/a.jpg"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://a:b@example.com/a.jpg".to_owned(),
        "ftp://example.com/a.jpg".to_owned(),
        "file:///etc/passwd".to_owned(),
        "s3://another-bucket/a.jpg".to_owned(),
        "s3://".to_owned(),
        String::new(),
    ] {
        let reply = bench.send("POST", EXTERNAL, &json!({ "key": key, "name": "a.jpg" }).to_string()).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"), "{key}: {reply:?}");
    }
    for body in [r#"{}"#, r#"{"name":"a"}"#, r#"{"key":"https://example.com/a","extra":1}"#, "[]"] {
        assert_eq!(bench.send("POST", EXTERNAL, body).await.status, 400, "{body}");
    }
    let (_, job) = bench.import(&format!("http://localhost:{port}/a.jpg")).await;
    assert_eq!(bench.ended(&job).await["error"], "address_refused");
    assert!(receiver.calls().is_empty());
}

#[tokio::test]
async fn an_import_is_cancelled_and_one_that_was_killed_goes_on_later() {
    let files = files();
    let data = tempfile::tempdir().expect("a directory");
    let (_, key) = create_key(data.path(), &["api"]);
    let place = data.path().to_str().expect("a plain path").to_owned();
    let settings = [SETTINGS, &[("data.dir", place.as_str())]].concat();
    let mut bench = Bench { edge: Edge::start(&settings), key };
    let (id, job) = bench.import(&format!("{}/hangs", files.url())).await;
    let running = eventually("the job to run", async || {
        Some(bench.get(&format!("/jobs/{job}")).await).filter(|job| job["state"] == "running")
    })
    .await;
    assert_eq!(running["attempts"], 1);
    assert_eq!(bench.asset(&id).await["status"], "NOT_READY");
    signal(&bench.edge, Signal::TERM).await;
    assert!(bench.edge.ended().await.success(), "it does not wait for a source that hangs");
    bench.edge = Edge::start(&settings);
    eventually("the job to run again", async || {
        Some(bench.get(&format!("/jobs/{job}")).await).filter(|job| job["state"] == "running")
    })
    .await;
    let reply = bench.send("POST", &format!("/jobs/{job}/cancel"), "").await;
    assert_eq!(reply.status, 202, "{reply:?}");
    assert_eq!(bench.ended(&job).await["state"], "cancelled");
    assert_eq!(bench.asset(&id).await["status"], "ERROR");
    let late = bench.send("POST", &format!("/jobs/{job}/cancel"), "").await;
    assert_eq!((late.status, late.code().as_str()), (409, "job_ended"));
}

#[tokio::test]
async fn jobs_are_seen_and_ended_by_keys_that_may() {
    let bench = Bench::start(&[]);
    eventually("the sweep that has been and comes again", async || {
        let jobs = bench.get("/jobs?kind=sweep").await;
        let job = jobs["jobs"][0].clone();
        (job["state"] == "queued" && job["due_at"].as_str() > job["created_at"].as_str()).then_some(())
    })
    .await;
    for (method, target, status, code) in [
        ("GET", "/jobs/job_1", 404, "not_found"),
        ("POST", "/jobs/job_1/cancel", 404, "not_found"),
        ("GET", "/jobs?state=lost", 400, "bad_request"),
        ("GET", "/jobs?limit=1000", 400, "bad_request"),
        ("DELETE", "/jobs", 405, "method_not_allowed"),
        ("GET", "/jobs/sweep/cancel", 405, "method_not_allowed"),
    ] {
        let reply = bench.send(method, target, "").await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {target}");
    }
    let key = Arc::new(create_key(bench.edge.data_dir(), &["api", "--scopes", "purge"]).1);
    let forbidden = async |method: &str, target: &str| {
        let reply = bench.edge.send(method, target, &[("X-FileSpin-Api-Key", &key)]).await;
        (reply.status == 403).then_some(())
    };
    for (method, target) in [
        ("GET", "/api/v1/jobs"),
        ("GET", "/api/v1/jobs/sweep"),
        ("POST", "/api/v1/jobs/sweep/cancel"),
        ("POST", "/api/v1/assets/new/content/original/external"),
    ] {
        // A new key is known within a second.
        eventually(target, async || forbidden(method, target).await).await;
        assert_eq!(bench.edge.send(method, target, &[]).await.status, 401);
    }
}
