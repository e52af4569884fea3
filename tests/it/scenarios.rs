//! The workflow from end to end, as its users drive it: upload, event, data, link. Each scenario runs on one
//! machine without any other server (SQLite and a directory) and as a fleet would (PostgreSQL and S3).

use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::clients;
use crate::support::edge::{Edge, eventually};
use crate::support::picture;
use crate::support::postgres;
use crate::support::program::{PICTURE, create_key_with};
use crate::support::receiver::{Answer, Call, Receiver};
use crate::support::s3::{self, S3Server};

const DOCUMENT: &[u8] = b"%PDF-1.4\n% four words of text\n";

/// Where a server keeps what it has.
#[derive(Clone, Copy)]
enum Kind {
    /// SQLite and a directory.
    Embedded,
    /// PostgreSQL and S3.
    Fleet,
}

struct Site {
    edge: Edge,
    key: String,
    bucket: Option<S3Server>,
}

impl Site {
    async fn start(kind: Kind) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut settings = vec![("webhooks.allow_cidrs".to_owned(), "127.0.0.0/8".to_owned())];
        let bucket = match kind {
            Kind::Embedded => None,
            Kind::Fleet => {
                let bucket = S3Server::start();
                let mut set = |key: &str, value: &str| settings.push((key.to_owned(), value.to_owned()));
                set("catalog.url", &postgres::database().await);
                set("origin.kind", "s3");
                set("origin.s3.endpoint", &bucket.url());
                set("origin.s3.bucket", s3::BUCKET);
                set("origin.s3.access_key_id", s3::ACCESS_KEY_ID);
                set("origin.s3.secret_access_key", s3::SECRET);
                set("origin.s3.path_style", "true");
                Some(bucket)
            }
        };
        let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let (_, key) = create_key_with(data.path(), &settings, &["api"]);
        create_key_with(data.path(), &settings, &["signing"]);
        Self { edge: Edge::start_in(data, &settings), key, bucket }
    }

    async fn send(&self, method: &str, target: &str, body: &[u8], headers: &[(&str, &str)]) -> Reply {
        let mut connection = self.edge.connect().await;
        let length = body.len().to_string();
        let ours = [("X-FileSpin-Api-Key", self.key.as_str()), ("Content-Length", &length)];
        connection.ask(method, target, &[&ours, headers].concat()).await;
        connection.write(body).await;
        connection.reply(method).await
    }

    /// What is answered, which has to be this success.
    async fn ask(&self, method: &str, target: &str, body: Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("Content-Type", "application/json")];
        let reply = self.send(method, &format!("/api/v1{target}"), body.as_bytes(), &headers).await;
        assert_eq!(reply.status, status, "{method} {target}: {}", String::from_utf8_lossy(&reply.body));
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    /// The ids of these files, uploaded together.
    async fn upload(&self, files: &[(&str, &str, &[u8])]) -> Vec<String> {
        let mut form = Vec::new();
        for (name, content_type, bytes) in files {
            let head = format!(
                "--limit\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
            );
            form.extend_from_slice(head.as_bytes());
            form.extend_from_slice(bytes);
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"--limit--\r\n");
        let headers = [("Content-Type", "multipart/form-data; boundary=limit")];
        let reply = self.send("POST", "/api/v1/assets/new/content/original/upload", &form, &headers).await;
        let told: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(
            (reply.status, &told["success"], &told["provider"]),
            (200, &json!(true), &json!("local")),
            "{told}"
        );
        let told = told["files"].as_array().expect("a list").clone();
        for ((name, _, bytes), told) in files.iter().zip(&told) {
            assert_eq!((&told["name"], &told["size"]), (&json!(name), &json!(bytes.len())), "{told}");
            assert_eq!(told["checksum"], md5(bytes), "{told}");
        }
        assert_eq!(told.len(), files.len());
        told.iter().map(|file| file["id"].as_str().expect("an id").to_owned()).collect()
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $name() { super::$name(&super::Site::start(super::Kind::Embedded).await).await; })*
        }
        mod fleet {
            $(#[tokio::test] async fn $name() { super::$name(&super::Site::start(super::Kind::Fleet).await).await; })*
        }
    };
}

scenarios! {
    what_is_uploaded_is_an_asset_that_is_delivered
    what_comes_in_pieces_is_what_was_sent
    every_change_is_told_to_those_who_asked
    data_is_read_changed_found_and_thrown_away
    a_link_opens_what_it_names_and_nothing_else
}

async fn what_is_uploaded_is_an_asset_that_is_delivered(site: &Site) {
    let files: [(&str, &str, &[u8]); 2] =
        [("river.jpg", "image/jpeg", PICTURE), ("menu.pdf", "application/pdf", DOCUMENT)];
    let ids = site.upload(&files).await;
    let asset = site.ask("GET", &format!("/assets/{}/data", ids[0]), Value::Null, 200).await;
    for (name, expected) in [
        ("id", json!(ids[0])),
        ("status", json!("OK")),
        ("name", json!("river.jpg")),
        ("size", json!(PICTURE.len())),
        ("checksum", json!(md5(PICTURE))),
        ("content_type", json!("image/jpeg")),
    ] {
        assert_eq!(asset[name], expected, "{name}: {asset}");
    }
    assert_eq!((&asset["metadata"]["width"], &asset["metadata"]["height"]), (&json!(2000), &json!(1333)));
    assert_eq!(asset["addons_info"]["ON_DEMAND_IMAGE"]["available"], true);

    let target = format!("/api/v1/assets/{}/conversions?resize=300,300&format=jpg", ids[0]);
    let first = site.edge.get(&target).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(picture::read(&first.body).width, 300);
    assert!(first.header("cache-status").contains("fwd=miss"), "{first:?}");
    let second = site.edge.get(&target).await;
    assert!(second.header("cache-status").contains("; hit") && second.body == first.body, "{second:?}");

    for ((_, content_type, bytes), id) in files.iter().zip(&ids) {
        let original = format!("/api/v1/assets/{id}/original");
        assert_eq!(site.edge.get(&original).await.status, 401, "the original always needs proof");
        let reply = site.send("GET", &original, b"", &[]).await;
        assert_eq!((reply.status, reply.header("content-type").as_str()), (200, *content_type));
        assert!(reply.body == *bytes, "{id} came back changed");
    }
    let key = asset["key"].as_str().expect("a key").trim_start_matches('/');
    assert_eq!(site.edge.get(&format!("/media/{key}")).await.status, 404, "an asset has its own URLs");
    if let Some(bucket) = &site.bucket {
        let seen: Value =
            serde_json::from_str(&clients::object(&bucket.url(), s3::BUCKET, key)).expect("JSON");
        let expected = json!({ "bytes": PICTURE.len(), "type": "image/jpeg" });
        assert_eq!((&seen["bytes"], &seen["type"]), (&expected["bytes"], &expected["type"]));
        assert_eq!(seen["md5"], asset["checksum"], "what boto3 reads is what was sent");
    }
}

/// By the client of the web: whole, in pieces, broken off and taken up again, of unknown length, side by side.
async fn what_comes_in_pieces_is_what_was_sent(site: &Site) {
    let place = tempfile::tempdir().expect("a directory");
    let bytes: Vec<u8> = (0..6_500_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = place.path().join("clip.bin");
    std::fs::write(&file, &bytes).expect("written");
    let endpoint = format!("http://{}/api/v1/uploads", site.edge.public);
    let mib = 1 << 20;
    for options in [
        json!({}),
        json!({ "chunkSize": 2 * mib }),
        json!({ "chunkSize": mib, "stopAt": 3 * mib }),
        json!({ "chunkSize": mib, "uploadLengthDeferred": true }),
        json!({ "chunkSize": mib, "parallelUploads": 3 }),
    ] {
        let url = clients::tus(&endpoint, &file, &site.key, &options);
        let upload = url.strip_prefix(&endpoint).unwrap_or_else(|| panic!("{options}: {url}"));
        let target = format!("/api/v1/uploads{upload}");
        let head = site.send("HEAD", &target, b"", &[("Tus-Resumable", "1.0.0")]).await;
        assert_eq!(head.header("upload-offset"), bytes.len().to_string(), "{options}: {head:?}");
        let id = head.header("kinora-asset-id");
        let original = site.send("GET", &format!("/api/v1/assets/{id}/original"), b"", &[]).await;
        assert!(original.status == 200 && original.body == bytes, "{options}: it came back changed");
        let asset = site.ask("GET", &format!("/assets/{id}/data"), Value::Null, 200).await;
        assert_eq!(
            (&asset["name"], &asset["checksum"]),
            (&json!("clip.bin"), &json!(md5(&bytes))),
            "{options}"
        );
    }
}

async fn every_change_is_told_to_those_who_asked(site: &Site) {
    let receiver = Receiver::start(|_, _| Answer::Status(204));
    let hook = site.ask("POST", "/hooks", json!({ "url": receiver.url() }), 201).await;
    let secret = hook["secret"].as_str().expect("a secret");
    let id = &site.upload(&[("river.jpg", "image/jpeg", PICTURE)]).await[0];
    let data = format!("/api/v1/assets/{id}/data");
    let told = async |event| told(&receiver, event).await;
    let saved = told("file-saved").await;
    assert_eq!(clients::verify_webhook(secret, &saved), "verified");
    let mut forged = saved.clone();
    forged.body.push(b' ');
    assert!(clients::verify_webhook(secret, &forged).starts_with("refused"), "altered");

    let wish = json!({ "data": { "title": "A river" }, "mode": "REPLACE" });
    site.ask("POST", &format!("/assets/{id}/data/update"), wish, 200).await;
    let updated = told("file-data-updated").await;
    let now = site.send("GET", &data, b"", &[]).await;
    let (body, now): (Value, Value) = (
        serde_json::from_slice(&updated.body).expect("JSON"),
        serde_json::from_slice(&now.body).expect("JSON"),
    );
    let mut without = body.clone();
    without.as_object_mut().expect("an object").remove("event");
    assert_eq!((&without, &body["data"]["title"]), (&now, &json!("A river")), "what the Data API says");

    site.ask("DELETE", &format!("/assets/{id}"), Value::Null, 200).await;
    let deleted: Value = serde_json::from_slice(&told("file-deleted").await.body).expect("JSON");
    assert_eq!((&deleted["id"], &deleted["status"]), (&json!(id), &json!("OK")), "{deleted}");
    site.ask("POST", &format!("/assets/{id}/undelete"), Value::Null, 200).await;
    told("file-undeleted").await;
}

/// The first message of this event; it may be on its way.
async fn told(receiver: &Receiver, event: &str) -> Call {
    eventually(event, async || receiver.calls().into_iter().find(|call| event_of(call) == event)).await
}

fn event_of(call: &Call) -> String {
    let body: Value = serde_json::from_slice(&call.body).expect("JSON");
    body["event"].as_str().expect("an event").to_owned()
}

async fn data_is_read_changed_found_and_thrown_away(site: &Site) {
    let ids =
        site.upload(&[("river.jpg", "image/jpeg", PICTURE), ("menu.pdf", "application/pdf", DOCUMENT)]).await;
    let update = format!("/assets/{}/data/update", ids[0]);
    let zurich = json!({ "place": "Zürich", "note": "sunset over the lake" });
    site.ask("POST", &update, json!({ "data": zurich, "mode": "REPLACE" }), 200).await;
    let more = json!({ "data": { "note": "sunrise", "stars": 5 }, "mode": "APPEND" });
    site.ask("POST", &update, more, 200).await;
    let asset = site.ask("GET", &format!("/assets/{}/data", ids[0]), Value::Null, 200).await;
    assert_eq!(asset["data"], json!({ "place": "Zürich", "note": "sunrise", "stars": 5 }));

    let found = async |wish: Value| site.ask("POST", "/search", wish, 200).await["result"].clone();
    assert_eq!(found(json!({ "keyword": "zurich" })).await, json!([ids[0]]));
    assert_eq!(found(json!({ "file_name": "menu*" })).await, json!([ids[1]]));
    assert_eq!(found(json!({ "content_type": "image*" })).await, json!([ids[0]]));
    assert_eq!(found(json!({ "keyword": "sunset" })).await, json!([]), "it was overwritten");

    let picture = format!("/api/v1/assets/{}/conversions?resize=50,50", ids[0]);
    assert_eq!(site.edge.get(&picture).await.status, 200);
    let one = format!("/assets/{}", ids[0]);
    site.ask("DELETE", &one, Value::Null, 200).await;
    assert_eq!(site.edge.get(&picture).await.status, 410, "at once");
    assert_eq!(found(json!({ "keyword": "zurich" })).await, json!([]));
    site.ask("POST", &format!("{one}/undelete"), Value::Null, 200).await;
    assert_eq!(site.edge.get(&picture).await.status, 200, "at once");
    site.ask("DELETE", &one, Value::Null, 200).await;
    site.ask("POST", &format!("{one}/purge"), Value::Null, 200).await;
    assert_eq!(site.edge.get(&picture).await.status, 404, "for good");
    let gone = site.send("GET", &format!("/api/v1{one}/data"), b"", &[]).await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "not_found"));
}

async fn a_link_opens_what_it_names_and_nothing_else(site: &Site) {
    let ids =
        site.upload(&[("Menü.pdf", "application/pdf", DOCUMENT), ("river.jpg", "image/jpeg", PICTURE)]).await;
    let linked =
        site.ask("GET", &format!("/assets/{}/get_link?key=original", ids[0]), Value::Null, 200).await;
    let target = target(&linked);
    let reply = site.edge.get(&target).await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, DOCUMENT), "without any key: {reply:?}");
    let disposition = reply.header("content-disposition");
    assert!(
        disposition.starts_with("attachment") && disposition.contains("filename*=UTF-8''Men%C3%BC.pdf"),
        "{disposition}"
    );
    let other = site.edge.get(&target.replace(&ids[0], &ids[1])).await;
    assert_eq!((other.status, other.code().as_str()), (403, "bad_signature"));
    let wish = format!("/assets/{}/get_link?key=original&delivery=display", ids[1]);
    let shown = site.edge.get(&self::target(&site.ask("GET", &wish, Value::Null, 200).await)).await;
    assert_eq!(shown.status, 200);
    assert!(!shown.header("content-disposition").starts_with("attachment"), "{shown:?}");

    let nobody = "f".repeat(32);
    let links = site.ask("POST", "/assets/get_link", json!([ids[0], nobody, ids[1]]), 200).await;
    let links = links["links"].as_array().expect("a list");
    assert!(
        links[0]["url"].is_string() && links[1]["error"].is_string() && links[2]["url"].is_string(),
        "{links:?}"
    );
    assert_eq!(site.edge.get(&self::target(&links[2])).await.status, 200);
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path and query of a link.
fn target(link: &Value) -> String {
    let url = link["url"].as_str().expect("a URL");
    let rest = url.split_once("://").map_or(url, |(_, rest)| &rest[rest.find('/').expect("a path")..]);
    rest.to_owned()
}
