//! What only a directory can meet.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures::StreamExt;
use kinora::origin::{Ask, Error, Kind, OpenError, Origin};

use crate::origin::{config, error, key, object, open, read};

fn open_at(root: &Path) -> Arc<dyn Origin> {
    let mut config = config(Kind::Directory);
    config.directory.path = root.display().to_string();
    open(&config)
}

#[tokio::test]
async fn no_key_reaches_a_file_outside_or_one_that_is_none() {
    let outer = tempfile::tempdir().expect("a directory");
    let root = outer.path().join("root");
    std::fs::create_dir_all(root.join("sub/.hidden")).expect("made");
    std::fs::write(outer.path().join("secret"), "secret").expect("written");
    std::fs::write(root.join("sub/.hidden/file"), "hidden").expect("written");
    std::fs::write(root.join(".env"), "hidden").expect("written");
    std::fs::write(root.join("inside"), "inside").expect("written");
    symlink("../secret", root.join("relative")).expect("linked");
    symlink(outer.path().join("secret"), root.join("absolute")).expect("linked");
    symlink("..", root.join("up")).expect("linked");
    symlink("/proc/self/root", root.join("magic")).expect("linked");
    symlink("/dev/zero", root.join("zero")).expect("linked");
    symlink("loop", root.join("loop")).expect("linked");
    symlink("gone", root.join("dangling")).expect("linked");
    symlink("../inside", root.join("sub/link")).expect("linked");
    let made = Command::new("mkfifo").arg(root.join("pipe")).status().expect("mkfifo runs");
    assert!(made.success(), "a pipe is there");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("bound");

    let origin = open_at(&root);
    let names = [
        "relative",
        "absolute",
        "up/secret",
        "up/root/inside",
        "magic/etc/passwd",
        "zero",
        "loop",
        "dangling",
        "pipe",
        "socket",
        "sub",
        ".env",
        "sub/.hidden/file",
        "inside/x",
    ];
    for name in names {
        let get = error(&origin, name, &Ask::default()).await;
        assert!(matches!(get, Error::NotFound(_)), "GET of {name}: {get:?}");
        let head = origin.head(&key(name)).await;
        assert!(matches!(head, Err(Error::NotFound(_))), "HEAD of {name}: {head:?}");
    }
    assert_eq!(read(&origin, "sub/link").await, b"inside", "a link that stays inside is followed");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_an_error() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("file");
    let origin = open_at(root.path());
    for (what, new_length) in [("shrunk", 100_000), ("rewritten", 200_000), ("grown", 300_000)] {
        std::fs::write(&path, vec![1; 200_000]).expect("written");
        let mut body = object(origin.get(&key("file"), &Ask::default()).await).body;
        body.next().await.expect("a piece").expect("a good piece");
        std::fs::write(&path, vec![2; new_length]).expect("written");
        let mut end = Ok(());
        while let Some(piece) = body.next().await {
            end = piece.map(|_| ());
        }
        assert!(matches!(end, Err(Error::Changed)), "{what}: {end:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_to_its_end() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("file");
    std::fs::write(&path, vec![1; 200_000]).expect("written");
    let origin = open_at(root.path());
    let before = origin.head(&key("file")).await.expect("facts");
    let body = object(origin.get(&key("file"), &Ask::default()).await).body;
    std::fs::write(root.path().join("new"), vec![2; 200_000]).expect("written");
    std::fs::rename(root.path().join("new"), &path).expect("replaced");
    assert!(crate::origin::bytes(body).await.expect("a body") == vec![1; 200_000], "the old file, whole");
    let after = origin.head(&key("file")).await.expect("facts");
    assert_ne!(before.etag, after.etag, "another file has another tag");
}

#[tokio::test]
async fn the_directory_itself_may_be_a_link_that_is_swapped() {
    let outer = tempfile::tempdir().expect("a directory");
    for release in ["one", "two"] {
        std::fs::create_dir(outer.path().join(release)).expect("made");
        std::fs::write(outer.path().join(release).join("file"), release).expect("written");
    }
    symlink("one", outer.path().join("current")).expect("linked");
    let origin = open_at(&outer.path().join("current"));
    assert_eq!(read(&origin, "file").await, b"one");
    symlink("two", outer.path().join("next")).expect("linked");
    std::fs::rename(outer.path().join("next"), outer.path().join("current")).expect("swapped");
    assert_eq!(read(&origin, "file").await, b"two");
    std::fs::remove_file(outer.path().join("current")).expect("removed");
    assert!(origin.ready().await.is_err(), "a directory that is gone is not ready");
}

#[tokio::test]
async fn a_file_without_permission_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("file");
    std::fs::write(&path, "x").expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("set");
    // The administrator may read everything.
    if std::fs::File::open(&path).is_err() {
        let error = error(&open_at(root.path()), "file", &Ask::default()).await;
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
    }
}

#[test]
fn the_default_directory_is_made_and_a_configured_one_must_exist() {
    let data = tempfile::tempdir().expect("a directory");
    let mut config = config(Kind::Directory);
    kinora::origin::open(&config, data.path()).map(drop).expect("made");
    assert!(data.path().join("bucket").is_dir(), "the default is data.dir/bucket");
    config.directory.path = data.path().join("missing").display().to_string();
    let refused = kinora::origin::open(&config, data.path()).map(drop);
    assert!(matches!(refused, Err(OpenError::Directory { .. })), "{refused:?}");
    std::fs::write(data.path().join("file"), "x").expect("written");
    config.directory.path = data.path().join("file").display().to_string();
    assert!(kinora::origin::open(&config, data.path()).is_err(), "a file is no directory");
    for reads in [0, usize::MAX] {
        config.directory.reads = reads;
        assert_eq!(config.check().len(), 1, "{reads} accesses at once are refused");
    }
}
