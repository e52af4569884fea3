//! `kinora import`: files that are there already become assets, once, where they are or as copies.

use std::path::Path;

use serde_json::Value;

use crate::support::edge::{Edge, command};
use crate::support::picture;
use crate::support::program::{create_key, run_with};
use crate::support::s3::{self, S3Server};

/// Pictures in a folder and one below it, and what is none of them.
fn fill(folder: &Path) {
    std::fs::create_dir_all(folder.join("below")).expect("a folder");
    std::fs::write(folder.join("one.jpg"), picture::jpeg(40, 30)).expect("written");
    std::fs::write(folder.join("below/two words.jpg"), picture::jpeg(60, 30)).expect("written");
    std::fs::write(folder.join(".hidden.jpg"), picture::jpeg(20, 30)).expect("written");
    std::os::unix::fs::symlink(folder.join("one.jpg"), folder.join("linked.jpg")).expect("linked");
}

/// Name, type, width and key of each asset, and whether its picture is delivered.
async fn assets(edge: &Edge, key: &str) -> Vec<(String, String, u64, String, u16)> {
    let listed = edge.send("GET", "/api/v1/assets", &[("X-FileSpin-Api-Key", key)]).await;
    let listed: Value = serde_json::from_slice(&listed.body).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for asset in listed["assets"].as_array().unwrap_or_else(|| panic!("{listed}")) {
        let target = format!("/api/v1/assets/{}/conversions?resize=10,10", text(&asset["id"]));
        let status = edge.get(&target).await.status;
        let width = asset["metadata"]["width"].as_u64().unwrap_or_default();
        let (name, content_type) = (text(&asset["name"]), text(&asset["content_type"]));
        found.push((name, content_type, width, text(&asset["key"]), status));
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_directory_elsewhere_is_copied_once() {
    let (data, from) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    fill(from.path());
    let (_, key) = create_key(data.path(), &["api"]);
    let import = |settings| run_with(data.path(), settings, &["import", from.path().to_str().expect("text")]);
    assert_eq!(import(&[]), "2 new, 0 there already, 0 refused");
    std::fs::write(from.path().join("three.jpg"), picture::jpeg(80, 30)).expect("written");
    assert_eq!(import(&[]), "1 new, 2 there already, 0 refused", "it goes on where it was");
    std::fs::write(from.path().join("broken.jpg"), &picture::jpeg(80, 30)[..200]).expect("written");
    let mut again = command(data.path(), &[]);
    let again = again.args(["import", from.path().to_str().expect("text")]).output().expect("it runs");
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.contains("refused broken.jpg: "), "{said}");
    assert!(said.ends_with("0 new, 3 there already, 1 refused\n") && !again.status.success(), "{said}");

    let edge = Edge::start_in(data, &[]);
    let found = assets(&edge, &key).await;
    let seen: Vec<_> = found
        .iter()
        .map(|(name, kind, width, _, status)| (name.as_str(), kind.as_str(), *width, *status))
        .collect();
    let expected = [("one.jpg", 40), ("three.jpg", 80), ("two words.jpg", 60)];
    assert_eq!(seen, expected.map(|(name, width)| (name, "image/jpeg", width, 200)));
    assert!(
        found.iter().all(|(_, _, _, key, _)| key.trim_start_matches('/').starts_with("kinora/")),
        "{found:?}"
    );
}

#[tokio::test]
async fn what_lies_in_the_bucket_stays_where_it_is() {
    let data = tempfile::tempdir().expect("a directory");
    fill(&data.path().join("bucket/album"));
    fill(&data.path().join("bucket/other"));
    let (_, key) = create_key(data.path(), &["api"]);
    let album = data.path().join("bucket/album");
    let import = |place: &Path| run_with(data.path(), &[], &["import", place.to_str().expect("text")]);
    assert_eq!(import(&album), "2 new, 0 there already, 0 refused");
    assert_eq!(import(&data.path().join("bucket")), "2 new, 2 there already, 0 refused", "the rest of it");
    let edge = Edge::start_in(data, &[]);
    let found = assets(&edge, &key).await;
    let keys: Vec<_> =
        found.iter().map(|(_, _, _, key, status)| (key.trim_start_matches('/'), *status)).collect();
    let expected =
        ["album/one.jpg", "other/one.jpg", "album/below/two words.jpg", "other/below/two words.jpg"];
    assert_eq!(keys, expected.map(|key| (key, 200)));
}

#[tokio::test]
async fn buckets_of_s3_are_registered_or_copied() {
    let server = S3Server::start();
    let url = server.url();
    let settings = [
        ("origin.kind", "s3"),
        ("origin.s3.endpoint", url.as_str()),
        ("origin.s3.bucket", s3::BUCKET),
        ("origin.s3.access_key_id", s3::ACCESS_KEY_ID),
        ("origin.s3.secret_access_key", s3::SECRET),
        ("origin.s3.path_style", "true"),
    ];
    for number in 0..5 {
        server.put(&format!("album/{number}.jpg"), &picture::jpeg(40 + number, 30));
    }
    server.put("elsewhere.jpg", &picture::jpeg(90, 30));
    let data = tempfile::tempdir().expect("a directory");
    let (_, key) = create_key(data.path(), &["api"]);
    let import = |source: &str| run_with(data.path(), &settings, &["import", source]);
    assert_eq!(import(&format!("s3://{}/album/", s3::BUCKET)), "5 new, 0 there already, 0 refused");
    assert_eq!(import(&format!("s3://{}", s3::BUCKET)), "1 new, 5 there already, 0 refused");
    let missing = command(data.path(), &settings).args(["import", "s3://nobody-has-this"]).output();
    assert!(!missing.expect("it runs").status.success(), "there is no such bucket");
    let edge = Edge::start_in(data, &settings);
    let found = assets(&edge, &key).await;
    assert_eq!(found.len(), 6);
    assert!(
        found.iter().all(|(_, _, _, key, status)| !key.contains("kinora/") && *status == 200),
        "{found:?}"
    );
}
