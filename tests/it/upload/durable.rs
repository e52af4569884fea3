//! A 2xx means durable: the system calls of the program, in their order.

use std::process::{Command, Stdio};

use crate::support::edge::eventually;
use crate::support::form::Form;
use crate::support::program::PICTURE;
use crate::upload::{Place, UPLOAD, files};

/// Calls that matter, with the paths of their files.
const CALLS: &str = "trace=fsync,fdatasync,renameat2,rename,sendto,sendmsg,write,writev";

/// The calls of the program while one request is answered.
async fn traced(place: &Place, request: impl Future<Output = ()>) -> Vec<String> {
    let log = place.edge.data_dir().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-qq", "-s", "64", "-e", CALLS, "-p", &place.edge.id().to_string(), "-o"]);
    let mut child = strace.arg(&log).stderr(Stdio::null()).spawn().expect("strace");
    let attached = format!("/proc/{}/status", place.edge.id());
    eventually("strace", async || {
        let status = std::fs::read_to_string(&attached).expect("a process");
        (!status.contains("TracerPid:\t0\n")).then_some(())
    })
    .await;
    request.await;
    child.kill().and_then(|()| child.wait()).expect("ended");
    let text = std::fs::read_to_string(log).expect("a trace");
    text.lines().map(str::to_owned).collect()
}

/// Where each of these first stands behind the one before.
fn in_order(calls: &[String], wanted: &[&[&str]]) {
    let mut at = 0;
    for words in wanted {
        let found = calls[at..].iter().position(|call| words.iter().all(|word| call.contains(word)));
        let found = found.unwrap_or_else(|| panic!("no {words:?} behind call {at} of\n{}", calls.join("\n")));
        at += found + 1;
    }
}

#[tokio::test]
async fn an_upload_is_synced_before_it_is_acknowledged() {
    let place = Place::sqlite(&[]).await;
    let calls = traced(&place, async {
        let form = Form::default().file("f", "a.jpg", Some("image/jpeg"), PICTURE);
        assert_eq!(files(&place.post(UPLOAD, form).await).len(), 1);
    })
    .await;
    in_order(
        &calls,
        &[
            &["fsync(", "/.kinora-drafts/"],
            &["renameat2(", "RENAME_NOREPLACE"],
            &["fsync(", "/bucket/kinora/"],
            &["sync(", "kinora.sqlite-wal"],
            &["HTTP/1.1 200"],
        ],
    );
}

#[tokio::test]
async fn bytes_of_an_upload_that_goes_on_are_synced_before_they_are_acknowledged() {
    let place = Place::sqlite(&[]).await;
    let version = ("Tus-Resumable", "1.0.0");
    let created = place.send("POST", "/api/v1/uploads", &[version, ("Upload-Length", "1000")], b"").await;
    let upload = created.header("location");
    let headers = [version, ("Upload-Offset", "0"), ("Content-Type", "application/offset+octet-stream")];
    let calls = traced(&place, async {
        assert_eq!(place.send("PATCH", &upload, &headers, &PICTURE[..500]).await.status, 204);
    })
    .await;
    in_order(
        &calls,
        &[
            &["fdatasync(", "/.kinora-drafts/"],
            &["fsync(", "/.kinora-drafts>"],
            &["sync(", "kinora.sqlite-wal"],
            &["HTTP/1.1 204"],
        ],
    );
}
