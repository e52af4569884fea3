//! `POST /api/v1/assets/new/content/original/upload`.

use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::support::client::Reply;
use crate::support::edge::eventually;
use crate::support::form::Form;
use crate::support::http_origin::HttpOrigin;
use crate::support::program::{PICTURE, create_key};
use crate::upload::{Place, UPLOAD, files, in_both_places, json, text};

const MIB: usize = 1 << 20;

in_both_places!(
    every_file_becomes_an_asset,
    a_large_file_is_whole,
    what_breaks_off_leaves_nothing,
    a_refused_file_leaves_nothing,
    nothing_bad_is_taken,
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn every_file_becomes_an_asset(place: Place) {
    let form = Form::default()
        .file("f1", "cat on a mat.jpg", Some("image/jpeg"), PICTURE)
        .text("something", "else")
        .text("custom_metadata", r#"{"data":{"title":"Cats","stars":5}}"#)
        .file("", "notes.txt", None, b"plain words")
        .file("nothing chosen", "", Some("application/octet-stream"), b"");
    let reply = place.post(UPLOAD, form).await;
    let files = files(&reply);
    assert_eq!(files.len(), 2, "{files:?}");
    assert_eq!(reply.header("cache-control"), "no-store");
    let expected = [("cat on a mat.jpg", "image/jpeg", PICTURE), ("notes.txt", "text/plain", b"plain words")];
    for (file, (name, content_type, bytes)) in files.iter().zip(expected) {
        assert_eq!((text(file, "name"), text(file, "content_type")), (name, content_type));
        assert_eq!(file["size"], bytes.len(), "{file}");
        assert_eq!(text(file, "checksum"), hex(&Md5::digest(bytes)), "{file}");
        assert_eq!(text(file, "id").len(), 32, "{file}");
    }
    let keys = place.stored();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for (file, (_, _, bytes)) in files.iter().zip(expected) {
        let key = keys.iter().find(|key| key.contains(text(file, "id"))).expect("an object");
        assert!(place.bytes(key) == bytes, "{key}");
        assert!(key.starts_with("kinora/"), "{key}");
        let direct = place.edge.get(&format!("/media/{key}")).await;
        assert_eq!(direct.status, 404, "an asset is not reached by its key");
    }
    let asset = place.asset(text(&files[0], "id")).await;
    assert_eq!(asset["metadata"]["width"], 2000, "{asset}");
    assert_eq!(asset["metadata"]["height"], 1333, "{asset}");
    assert_eq!(asset["data"]["title"], "Cats", "{asset}");
    assert_eq!(asset["sha256"], hex(&Sha256::digest(PICTURE)), "{asset}");
    assert_eq!(asset["status"], "OK", "{asset}");
    assert_eq!(place.count("uploads").await, 0, "nothing is on its way any more");
    assert_eq!(place.count("events").await, 4, "each was saved and processed");
    let picture = format!("/api/v1/assets/{}/conversions?resize=100,100", text(&files[0], "id"));
    let picture = place.edge.get(&picture).await;
    assert_eq!(picture.status, 200, "{picture:?}");
}

async fn a_large_file_is_whole(place: Place) {
    let bytes: Vec<u8> =
        (0..25 * MIB as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let reply = place.post(UPLOAD, Form::default().file("f", "large.bin", None, &bytes)).await;
    let files = files(&reply);
    assert_eq!(text(&files[0], "checksum"), hex(&Md5::digest(&bytes)));
    let keys = place.stored();
    assert!(keys.len() == 1 && place.bytes(&keys[0]) == bytes, "{keys:?}");
}

async fn what_breaks_off_leaves_nothing(place: Place) {
    let content_type = Form::content_type();
    let headers = [("Content-Type", content_type.as_str())];
    for length in [10, 3 * MIB, 12 * MIB] {
        let body = Form::default()
            .file("whole", "a.txt", None, b"whole")
            .file("f", "b.bin", None, &vec![7; length])
            .unfinished();
        // It leaves without a word.
        let mut connection = place.begin("POST", UPLOAD, &headers, body.len() + 100).await;
        connection.write(&body).await;
        if length > 10 {
            eventually("something in the bucket", async || (!place.stored().is_empty()).then_some(())).await;
        }
        drop(connection);
        place.until_nothing_is_left().await;
        // It says that this is all, in the middle of the form.
        let reply = place.send("POST", UPLOAD, &headers, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"), "{reply:?}");
        place.until_nothing_is_left().await;
    }
}

async fn a_refused_file_leaves_nothing(place: Place) {
    let form = Form::default;
    let good = || form().file("good", "a.jpg", Some("image/jpeg"), PICTURE);
    let cases = [
        ("empty", good().file("f", "b.jpg", None, b""), (400, "empty_file")),
        ("a path", good().file("f", "../b.jpg", None, b"x"), (400, "bad_file_name")),
        ("another path", good().file("f", "C:\\b.jpg", None, b"x"), (400, "bad_file_name")),
        ("a line break", good().file("f", "b%0D%0A.jpg", None, b"x"), (400, "bad_file_name")),
        ("no name", good().file("f", "", None, b"x"), (400, "bad_file_name")),
        ("a long name", good().file("f", &"x".repeat(256), None, b"x"), (400, "bad_file_name")),
        ("a lie", good().file("f", "b.jpg", None, b"<html><body>"), (415, "type_mismatch")),
        ("no picture", good().file("f", "b.bin", Some("image/png"), b"\0\x01"), (415, "type_mismatch")),
        ("half a picture", good().file("f", "b.jpg", None, &PICTURE[..50_000]), (422, "corrupt_source")),
        ("no JSON", good().text("custom_metadata", "{"), (400, "bad_request")),
        ("another JSON", good().text("custom_metadata", "[1]"), (400, "bad_request")),
        ("an unknown member", good().text("custom_metadata", r#"{"date":{}}"#), (400, "bad_request")),
        ("too much JSON", good().text("custom_metadata", &" ".repeat(100_000)), (413, "body_too_large")),
        ("no file", form().text("a", "b"), (400, "no_file")),
        ("no part", form(), (400, "no_file")),
    ];
    for (what, form, expected) in cases {
        let reply = place.post(UPLOAD, form).await;
        assert_eq!((reply.status, reply.code().as_str()), expected, "{what}: {reply:?}");
        place.until_nothing_is_left().await;
    }
}

/// Bad pictures are refused as the delivery would refuse them; what else is there may be kept as it is.
async fn nothing_bad_is_taken(place: Place) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad");
    let expected: toml::Table =
        std::fs::read_to_string(folder.join("expected.toml")).expect("read").parse().expect("TOML");
    for (name, expected) in &expected {
        let bytes = std::fs::read(folder.join(name)).expect("a file");
        let (status, code) =
            (expected["status"].as_integer(), expected.get("code").and_then(|code| code.as_str()));
        let reply = place.post(UPLOAD, Form::default().file("f", name, None, &bytes)).await;
        let said = if reply.status == 200 { String::new() } else { reply.code() };
        match name.as_str() {
            // No pictures that we read, and not said to be any.
            "bitmap.bmp" | "phone.heic" | "scan.tiff" | "vector.svg" => {
                assert_eq!(reply.status, 200, "{name}")
            }
            "empty.jpg" => assert_eq!(said, "empty_file", "{name}"),
            "html-as.jpg" | "wrong-magic.jpg" => assert_eq!(said, "type_mismatch", "{name}"),
            _ => {
                assert_eq!(Some(i64::from(reply.status)), status, "{name}: {said}");
                assert_eq!(said, code.unwrap_or_default(), "{name}");
            }
        }
    }
    let taken = place.count("assets").await as usize;
    assert_eq!(place.stored().len(), taken, "of refused files nothing is left");
    assert_eq!(place.count("uploads").await, 0);
}

#[tokio::test]
async fn limits_are_kept() {
    let settings = [
        ("upload.max_bytes", "1MiB"),
        ("upload.max_files", "2"),
        ("upload.types", "image/*,application/pdf"),
    ];
    let place = Place::sqlite(&settings).await;
    let form = Form::default;
    let cases = [
        (form().file("f", "a.png", None, &vec![0; MIB + 1]), (413, "file_too_large")),
        (
            form().file("f", "a.pdf", None, &[b"%PDF-1.7\n", &vec![0; MIB][..]].concat()),
            (413, "file_too_large"),
        ),
        (form().file("f", "a.txt", None, b"plain words"), (415, "type_not_allowed")),
        (
            form()
                .file("1", "1.jpg", None, PICTURE)
                .file("2", "2.jpg", None, PICTURE)
                .file("3", "3.jpg", None, PICTURE),
            (400, "too_many_files"),
        ),
    ];
    for (form, expected) in cases {
        let reply = place.post(UPLOAD, form).await;
        let code = reply.code();
        let is_expected = (reply.status, code.as_str()) == expected
            || (expected.1 == "file_too_large" && code == "type_mismatch");
        assert!(is_expected, "{expected:?}: {reply:?}");
        place.until_nothing_is_left().await;
    }
    let fits = form().file("f", "a.pdf", None, &[b"%PDF-1.7\n", &vec![0; MIB - 9][..]].concat());
    assert_eq!(files(&place.post(UPLOAD, fits).await).len(), 1);
}

#[tokio::test]
async fn only_a_key_that_may_write_uploads() {
    let data = tempfile::tempdir().expect("a directory");
    let (_, reader) = create_key(data.path(), &["api", "--scopes", "read"]);
    let place = Place::sqlite(&[]).await;
    let other = crate::support::edge::Edge::start_in(data, &[]);
    let ask = async |key: &str| -> Reply {
        let mut connection = other.connect().await;
        let content_type = Form::content_type();
        let body = Form::default().file("f", "a.jpg", None, PICTURE).body();
        let length = body.len().to_string();
        let headers =
            [("X-FileSpin-Api-Key", key), ("Content-Type", &content_type), ("Content-Length", &length)];
        connection.ask("POST", UPLOAD, &headers).await;
        connection.write(&body).await;
        connection.reply("POST").await
    };
    assert_eq!(ask(&reader).await.code(), "scope_missing");
    assert_eq!(ask("0123456789abcdef0123456789abcdef").await.code(), "upload_key_invalid");
    let get = place.send("GET", UPLOAD, &[], b"").await;
    assert_eq!((get.status, get.header("allow").as_str()), (405, "POST"));
    let no_form = place.send("POST", UPLOAD, &[("Content-Type", "application/json")], b"{}").await;
    assert_eq!((no_form.status, no_form.code().as_str()), (400, "bad_request"));
    place.until_nothing_is_left().await;
}

#[tokio::test]
async fn a_web_server_as_origin_takes_nothing() {
    let origin = HttpOrigin::start();
    let url = origin.url();
    let place = Place::sqlite(&[("origin.kind", "http"), ("origin.http.base_url", &url)]).await;
    let reply = place.post(UPLOAD, Form::default().file("f", "a.jpg", None, PICTURE)).await;
    assert_eq!((reply.status, reply.code().as_str()), (422, "no_bucket"), "{}", json(&reply));
}

#[tokio::test]
async fn an_upload_key_uploads_within_its_limits_and_data_within_its_rules() {
    let mut place = Place::sqlite(&[]).await;
    let wish = r#"{"kind":"upload","name":"page","any_origin":true,
                   "limits":{"max_bytes":200000,"max_files":1,"types":["text/*"]}}"#;
    let made =
        place.send("POST", "/api/v1/keys", &[("Content-Type", "application/json")], wish.as_bytes()).await;
    assert_eq!(made.status / 100, 2, "{} {}", made.status, String::from_utf8_lossy(&made.body));
    let owner = std::mem::replace(&mut place.api_key, text(&json(&made), "secret").to_owned());
    let form = Form::default;
    for (form, expected) in [
        (form().file("f", "a.txt", None, &[b'x'; 200_001]), (413, "file_too_large")),
        (form().file("f", "a.bin", None, b"\0\x01"), (415, "type_not_allowed")),
        (form().file("f", "a.txt", None, b"x").file("g", "b.txt", None, b"x"), (400, "too_many_files")),
        (
            form().file("f", "a.txt", None, b"x").text("custom_metadata", r#"{"data":{"_kinora_x":1}}"#),
            (400, "invalid_data"),
        ),
        (
            form()
                .text("custom_metadata", r#"{"data":{},"data_schema_id":77}"#)
                .file("f", "a.txt", None, b"x"),
            (400, "invalid_data"),
        ),
    ] {
        let reply = place.post(UPLOAD, form).await;
        assert_eq!((reply.status, reply.code().as_str()), expected, "{reply:?}");
        place.until_nothing_is_left().await;
    }
    let taken = files(&place.post(UPLOAD, form().file("f", "a.txt", None, b"words")).await);
    let asset = place.asset(text(&taken[0], "id")).await;
    assert_eq!(text(&asset, "creator_id"), text(&json(&made), "id"), "{asset}");

    let version = ("Tus-Resumable", "1.0.0");
    let create = [version, ("Upload-Length", "10")];
    let own = place.send("POST", "/api/v1/uploads", &create, b"").await.header("location");
    assert_eq!(place.send("HEAD", &own, &[version], b"").await.status, 200);
    let page = std::mem::replace(&mut place.api_key, owner);
    let other = place.send("POST", "/api/v1/uploads", &create, b"").await.header("location");
    assert_eq!(place.send("HEAD", &own, &[version], b"").await.status, 200, "an owner may");
    place.api_key = page;
    for method in ["HEAD", "DELETE"] {
        let reply = place.send(method, &other, &[version], b"").await;
        assert_eq!(reply.status, 404, "{method}: a page goes on with its own uploads");
    }
}
