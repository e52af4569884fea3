//! What every bucket does alike that takes objects.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use futures::{StreamExt, stream};
use kinora::origin::{
    Body, Bucket, Config, Draft, Error, Kind, Origin, PostPolicy, PostWish, Presentation, S3Config,
    open_bucket,
};

use crate::origin::{config, key, open, read};
use crate::support::form::Form;
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::program::with_crypto;
use crate::support::s3::{BUCKET, S3Server};

const MIB: usize = 1 << 20;

/// A bucket from both sides, and the names of all files that it is made of.
struct Sides {
    bucket: Arc<dyn Bucket>,
    origin: Arc<dyn Origin>,
    files: Box<dyn Fn() -> Vec<String>>,
}

impl Sides {
    fn open(config: &Config, files: impl Fn() -> Vec<String> + 'static) -> Self {
        let bucket = open_bucket(config, Path::new("/nowhere")).expect("opened").expect("one to write to");
        Self { bucket, origin: open(config), files: Box::new(files) }
    }

    fn begin(&self, name: &str, length: Option<u64>) -> Draft {
        self.bucket.begin(&key(name), Some("image/x-test"), length).expect("begun")
    }

    async fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut draft = self.begin(name, None);
        self.bucket.write(&mut draft, body(bytes, 1000)).await?;
        self.bucket.finish(&mut draft).await
    }

    async fn is_missing(&self, name: &str) -> bool {
        matches!(self.origin.head(&key(name)).await, Err(Error::NotFound(_)))
    }
}

fn body(bytes: &[u8], piece: usize) -> Body {
    let pieces: Vec<_> = bytes.chunks(piece.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

fn sample(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// As another process would find it.
fn reread(draft: &Draft) -> Draft {
    let text = serde_json::to_string(draft).expect("written down");
    serde_json::from_str(&text).expect("read")
}

fn files_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(root).expect("below").display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let root = tempfile::tempdir().expect("a directory");
    let mut config = config(Kind::Directory);
    config.directory.path = root.path().display().to_string();
    let path = root.path().to_owned();
    contract(&Sides::open(&config, move || files_below(&path))).await;
}

#[tokio::test]
async fn s3_keeps_the_contract() {
    let server = Arc::new(S3Server::start());
    let mut config = config(Kind::S3);
    config.s3 = server.config();
    contract(&Sides::open(&config, move || server.stored())).await;
}

#[test]
fn a_web_server_takes_nothing() {
    let mut config = config(Kind::Http);
    config.http.base_url = kinora::origin::Address::new("http://127.0.0.1:1");
    assert!(open_bucket(&config, Path::new("/nowhere")).expect("opened").is_none());
}

async fn contract(sides: &Sides) {
    nothing_is_seen_before_it_is_finished(sides).await;
    whole_objects(sides).await;
    a_draft_goes_on_where_it_was_synced(sides).await;
    large_objects_in_small_steps(sides).await;
    a_body_that_breaks(sides).await;
    nothing_is_replaced(sides).await;
    finishing_again_is_no_error(sides).await;
    abandoned_and_deleted_is_gone(sides).await;
}

async fn nothing_is_seen_before_it_is_finished(sides: &Sides) {
    let mut draft = sides.begin("new/a.jpg", Some(10));
    sides.bucket.write(&mut draft, body(b"0123456789", 3)).await.expect("written");
    assert_eq!((draft.written(), draft.durable()), (10, 0));
    sides.bucket.sync(&mut draft).await.expect("synced");
    assert_eq!((draft.written(), draft.durable()), (10, 10));
    assert!(sides.is_missing("new/a.jpg").await, "not finished");
    sides.bucket.finish(&mut draft).await.expect("finished");
    assert_eq!(read(&sides.origin, "new/a.jpg").await, b"0123456789");
    assert_eq!((sides.files)(), ["new/a.jpg"], "and nothing else is left");
}

async fn whole_objects(sides: &Sides) {
    for (name, length) in [("empty", 0), ("one", 1), ("deep/er/and deeper/ä ö+%.jpg", 70_000)] {
        let bytes = sample(length);
        sides.store(name, &bytes).await.expect(name);
        assert!(read(&sides.origin, name).await == bytes, "{name}");
    }
}

async fn a_draft_goes_on_where_it_was_synced(sides: &Sides) {
    let bytes = sample(5000);
    let mut draft = sides.begin("resumed", None);
    for part in bytes.chunks(500) {
        sides.bucket.write(&mut draft, body(part, 70)).await.expect("written");
        sides.bucket.sync(&mut draft).await.expect("synced");
        let durable = draft.durable();
        let mut lost = reread(&draft);
        sides.bucket.write(&mut lost, body(b"never synced", 5)).await.expect("written");
        draft = reread(&draft);
        assert_eq!((draft.written(), draft.durable()), (durable, durable));
    }
    draft = reread(&draft);
    sides.bucket.finish(&mut draft).await.expect("finished");
    assert!(read(&sides.origin, "resumed").await == bytes, "what was synced, and nothing else");
    assert!((sides.files)().iter().all(|file| !file.contains("resumed.") && !file.contains("draft")));
}

async fn large_objects_in_small_steps(sides: &Sides) {
    let bytes = sample(21 * MIB + 12_345);
    for (name, length) in [("large/known", Some(bytes.len() as u64)), ("large/unknown", None)] {
        let mut draft = sides.begin(name, length);
        for part in bytes.chunks(3 * MIB + 77) {
            sides.bucket.write(&mut draft, body(part, 65_537)).await.expect("written");
            sides.bucket.sync(&mut draft).await.expect("synced");
            draft = reread(&draft);
        }
        sides.bucket.finish(&mut draft).await.expect("finished");
        assert!(read(&sides.origin, name).await == bytes, "{name}");
    }
    let mut draft = sides.begin("large/at once", None);
    sides.bucket.write(&mut draft, body(&bytes, 65_536)).await.expect("written");
    sides.bucket.finish(&mut draft).await.expect("finished");
    assert!(read(&sides.origin, "large/at once").await == bytes, "at once");
    let left = (sides.files)();
    let large: Vec<_> = left
        .iter()
        .filter(|file| {
            !["new", "deep", "one", "empty", "resumed"].iter().any(|known| file.starts_with(known))
        })
        .collect();
    assert_eq!(large, ["large/at once", "large/known", "large/unknown"], "and nothing else is left");
}

async fn a_body_that_breaks(sides: &Sides) {
    let bytes = sample(9 * MIB);
    let mut draft = sides.begin("broken", None);
    let broken = body(&bytes, 100_000).chain(stream::iter([Err(Error::Interrupted)]));
    let error = sides.bucket.write(&mut draft, Box::pin(broken)).await.expect_err("broken");
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    assert_eq!(draft.written(), bytes.len() as u64, "what arrived has been taken");
    sides.bucket.sync(&mut draft).await.expect("synced");
    let mut draft = reread(&draft);
    assert_eq!(draft.durable(), bytes.len() as u64);
    sides.bucket.write(&mut draft, body(b"end", 1)).await.expect("written");
    sides.bucket.finish(&mut draft).await.expect("finished");
    assert!(read(&sides.origin, "broken").await == [&bytes, &b"end"[..]].concat());
}

async fn nothing_is_replaced(sides: &Sides) {
    for length in [10, 9 * MIB] {
        let name = format!("taken/{length}");
        let mut late = sides.begin(&name, None);
        sides.bucket.write(&mut late, body(&vec![1; length], 65_536)).await.expect("written");
        sides.store(&name, b"the first").await.expect("stored");
        let error = sides.bucket.finish(&mut late).await.expect_err("taken");
        assert!(matches!(error, Error::Exists), "{error:?}");
        assert_eq!(read(&sides.origin, &name).await, b"the first");
        sides.bucket.abandon(&late).await.expect("abandoned");
    }
}

async fn finishing_again_is_no_error(sides: &Sides) {
    for length in [0, 10, 9 * MIB] {
        let (name, bytes) = (format!("twice/{length}"), sample(length));
        let mut draft = sides.begin(&name, None);
        sides.bucket.write(&mut draft, body(&bytes, 65_536)).await.expect("written");
        sides.bucket.sync(&mut draft).await.expect("synced");
        let mut again = reread(&draft);
        sides.bucket.finish(&mut draft).await.expect("finished");
        if length > 0 {
            sides.bucket.finish(&mut again).await.expect("it had been done");
        }
        assert!(read(&sides.origin, &name).await == bytes, "{name}");
    }
}

async fn abandoned_and_deleted_is_gone(sides: &Sides) {
    let before = (sides.files)();
    for length in [0, 10, 9 * MIB] {
        let mut draft = sides.begin("gone/a/b", None);
        sides.bucket.write(&mut draft, body(&sample(length), 65_536)).await.expect("written");
        sides.bucket.sync(&mut draft).await.expect("synced");
        sides.bucket.abandon(&draft).await.expect("abandoned");
        if length > 0 {
            let error = sides.bucket.finish(&mut reread(&draft)).await;
            assert!(error.is_err(), "nothing is there to be finished");
        }
        sides.bucket.abandon(&draft).await.expect("nothing to remove is no error");
        assert_eq!((sides.files)(), before, "{length} bytes");
    }
    sides.store("gone/a/b", b"x").await.expect("stored");
    sides.bucket.delete(&key("gone/a/b")).await.expect("deleted");
    assert!(sides.is_missing("gone/a/b").await);
    for missing in ["gone/a/b", "never/was", "nor this"] {
        sides.bucket.delete(&key(missing)).await.expect("nothing to remove is no error");
    }
    assert_eq!((sides.files)(), before);
}

#[tokio::test]
async fn of_a_directory_nothing_is_begun_that_could_not_be_read_or_lies_behind_a_link() {
    let outer = tempfile::tempdir().expect("a directory");
    let root = outer.path().join("root");
    std::fs::create_dir_all(outer.path().join("other")).expect("made");
    std::fs::create_dir(&root).expect("made");
    std::os::unix::fs::symlink("../other", root.join("link")).expect("linked");
    let mut config = config(Kind::Directory);
    config.directory.path = root.display().to_string();
    let sides = Sides::open(&config, Vec::new);
    for hidden in [".kinora-drafts/a", "a/.b/c", "a/.b"] {
        let refused = sides.bucket.begin(&key(hidden), None, None).err();
        assert!(matches!(refused, Some(Error::Refused(_))), "{hidden}: {refused:?}");
        sides.bucket.delete(&key(hidden)).await.expect("nothing happens");
    }
    assert!(sides.store("link/a", b"x").await.is_err(), "it would leave the directory");
    assert_eq!(files_below(&outer.path().join("other")), Vec::<String>::new());
    sides.store("a/b/c", b"x").await.expect("stored");
    sides.bucket.delete(&key("a/b/c")).await.expect("deleted");
    assert!(
        root.join("a").is_dir() && !root.join("a/b").exists(),
        "no empty directory stays below the first"
    );
}

fn s3(server: &S3Server) -> Arc<dyn Bucket> {
    let mut config = config(Kind::S3);
    config.s3 = server.config();
    open_bucket(&config, Path::new("/nowhere")).expect("opened").expect("one to write to")
}

#[tokio::test]
async fn small_objects_take_one_request_and_large_ones_parts_of_eight_mib() {
    let server = S3Server::start();
    let bucket = s3(&server);
    let mut draft = bucket.begin(&key("small"), Some("image/png"), None).expect("begun");
    bucket.write(&mut draft, body(&sample(MIB), 65_536)).await.expect("written");
    bucket.finish(&mut draft).await.expect("finished");
    let requests = server.requests();
    assert!(requests.len() == 1 && requests[0].starts_with("PUT /originals/small?"), "{requests:?}");
    assert!(requests[0].contains("content-md5") && requests[0].contains("if-none-match"), "signed");

    let mut draft = bucket.begin(&key("large"), None, Some(17 << 20)).expect("begun");
    bucket.write(&mut draft, body(&sample(17 * MIB), 65_536)).await.expect("written");
    bucket.finish(&mut draft).await.expect("finished");
    let requests = server.requests();
    let methods: Vec<_> =
        requests[1..].iter().map(|request| request.split_once(' ').expect("two").0).collect();
    assert_eq!(methods, ["POST", "PUT", "PUT", "PUT", "POST"], "{requests:?}");
    assert!(!requests.iter().any(|request| request.starts_with("GET")), "no list of parts is asked for");
}

/// A server that answers as S3 would, but as the test tells it.
fn mocked(server: &HttpOrigin) -> Arc<dyn Bucket> {
    let mut config = config(Kind::S3);
    let endpoint = kinora::origin::Address::new(server.url());
    config.s3 = S3Config { endpoint, ..S3Server::start().config() };
    open_bucket(&config, Path::new("/nowhere")).expect("opened").expect("one to write to")
}

#[tokio::test]
async fn an_upload_that_s3_fails_to_complete_is_an_error() {
    let server = HttpOrigin::start();
    let bucket = mocked(&server);
    let mut draft = bucket.begin(&key("a"), None, None).expect("begun");
    bucket.write(&mut draft, body(b"x", 1)).await.expect("written");
    for _ in 0..3 {
        server.fault(Fault::Status(503, "<Error><Code>SlowDown</Code></Error>"));
    }
    let error = bucket.finish(&mut draft).await.expect_err("slow down");
    assert_eq!(error.to_string(), "the origin answered badly: status 503 SlowDown");
    let sent = server.requests();
    assert_eq!(sent.iter().filter(|request| request.method == "PUT").count(), 3, "once and two retries");
}

#[tokio::test]
async fn a_presigned_url_and_a_form_need_no_key() {
    with_crypto();
    let server = S3Server::start();
    let bucket = s3(&server);
    let client = reqwest::Client::new();
    server.put("a b.jpg", b"0123456789");
    let as_ = Presentation {
        disposition: Some("attachment; filename=\"c d.jpg\""),
        content_type: Some("image/x-y"),
    };
    let url = bucket.presigned_get(&key("a b.jpg"), Duration::from_secs(60), &as_).expect("a URL");
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"c d.jpg\"");
    assert_eq!(answer.headers()["content-type"], "image/x-y");

    let wish = PostWish {
        key: &key("direct/x.jpg"),
        max_bytes: 20,
        now: SystemTime::now(),
        expires_in: Duration::from_secs(60),
    };
    let policy = bucket.post_policy(&wish).expect("a form");
    let send = async |policy: &PostPolicy, key: &str, bytes: &[u8]| {
        let mut form = Form::default();
        for (name, value) in &policy.fields {
            form = form.text(name, if *name == "key" { key } else { value });
        }
        let request = client.post(&policy.url).header("content-type", Form::content_type());
        let body = form.file("file", "x.jpg", None, bytes).body();
        request.body(body).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(send(&policy, "direct/x.jpg", b"0123456789").await / 100, 2, "as it is");
    assert_eq!(send(&policy, "direct/y.jpg", b"0123456789").await / 100, 4, "another key");
    assert_eq!(send(&policy, "direct/x.jpg", &[0; 21]).await / 100, 4, "too large");
    let late = PostWish { now: SystemTime::now() - Duration::from_secs(3600), ..wish };
    let policy = bucket.post_policy(&late).expect("a form");
    assert_eq!(send(&policy, "direct/x.jpg", b"late").await / 100, 4, "too late");
    assert_eq!(server.stored(), ["a b.jpg", "direct/x.jpg"], "of {BUCKET}");
    assert_eq!(read(&sides_origin(&server), "direct/x.jpg").await, b"0123456789");
}

fn sides_origin(server: &S3Server) -> Arc<dyn Origin> {
    let mut config = config(Kind::S3);
    config.s3 = server.config();
    open(&config)
}
