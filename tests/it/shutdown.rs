//! The end of the process, and a process that follows another.

use std::fs::File;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::client::Connection;
use crate::support::edge::{Edge, command, eventually};
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::program::{PICTURE, data_with_pair, signal, with_crypto};

#[tokio::test]
async fn sigterm_lets_answers_finish_and_nobody_new_in() {
    let origin = HttpOrigin::start();
    origin.put("a.txt", b"all of it");
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let url = origin.url();
    let mut edge = Edge::start(&[
        ("origin.kind", "http"),
        ("origin.http.base_url", &url),
        ("server.shutdown_grace", "60s"),
    ]);
    let mut idle = edge.connect().await;
    idle.ask("GET", "/nothing", &[]).await;
    assert_eq!(idle.reply("GET").await.status, 404, "an idle connection, kept alive");
    let mut waiting = edge.connect().await;
    waiting.ask("GET", "/media/a.txt", &[]).await;
    eventually("the origin's request", async || (origin.requests().len() == 1).then_some(())).await;
    let began = Instant::now();
    signal(&edge, Signal::TERM).await;
    eventually("closed doors", async || TcpStream::connect(edge.public).await.err()).await;
    assert_eq!(idle.rest().await, b"", "an idle connection is closed");
    open.send(()).expect("the origin waits");
    let reply = waiting.reply("GET").await;
    assert_eq!((reply.status, reply.body.as_slice(), reply.whole), (200, b"all of it".as_slice(), true));
    assert_eq!(waiting.rest().await, b"", "and its connection is closed");
    let status = edge.ended().await;
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(30), "well before the grace is over");
}

#[tokio::test]
async fn sigterm_does_not_wait_for_idle_http2_connections() {
    with_crypto();
    let mut edge = Edge::start_in(data_with_pair(&[]), &[("server.shutdown_grace", "60s")]);
    edge.put("a.jpg", PICTURE);
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let url = format!("http://{}/media/a.jpg", edge.public);
    let reply = client.get(&url).send().await.expect("an answer");
    assert_eq!(reply.bytes().await.expect("a body"), PICTURE);
    let began = Instant::now();
    signal(&edge, Signal::TERM).await;
    assert!(edge.ended().await.success());
    assert!(began.elapsed() < Duration::from_secs(30), "well before the grace is over");
    drop(client);
}

#[tokio::test]
async fn the_next_start_works_after_a_kill() {
    let data = data_with_pair(&[]);
    let path = data.path().to_str().expect("a plain path").to_owned();
    let mut edge = Edge::start_in(data, &[]);
    edge.put("a.jpg", PICTURE);
    assert_eq!(edge.get("/media/a.jpg").await.status, 200);
    signal(&edge, Signal::KILL).await;
    assert!(!edge.ended().await.success());
    let next = Edge::start(&[("data.dir", &path)]);
    assert_eq!(next.get("/media/a.jpg").await.status, 200);
}

#[tokio::test]
async fn two_at_once_keep_out_of_each_others_way() {
    let data = data_with_pair(&[]);
    let path = data.path().to_str().expect("a plain path").to_owned();
    let one = Edge::start_in(data, &[]);
    one.put("a.jpg", PICTURE);
    let two = Edge::start(&[("data.dir", &path)]);
    for edge in [&one, &two] {
        assert_eq!(edge.get("/media/a.jpg?resize=60,60").await.status, 200);
    }
}

/// A process that takes over from another, with its output in files.
struct Follower {
    child: Child,
    output: TempDir,
}

impl Follower {
    fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let output = tempfile::tempdir().expect("a directory");
        let file = |name: &str| File::create(output.path().join(name)).expect("a file");
        let mut command = command(data, settings);
        command.args(["serve", "--upgrade"]).stdout(file("stdout")).stderr(file("stderr"));
        Self { child: command.spawn().expect("the program starts"), output }
    }

    async fn has_written(&self, name: &str, text: &str) {
        let path = self.output.path().join(name);
        let read = || std::fs::read_to_string(&path).expect("text");
        eventually(text, async || read().contains(text).then_some(())).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let read =
                |name: &str| std::fs::read_to_string(self.output.path().join(name)).unwrap_or_default();
            eprintln!("the follower said:\n{}\nand logged:\n{}", read("stdout"), read("stderr"));
        }
    }
}

#[tokio::test]
async fn an_upgrade_leaves_no_request_without_an_answer() {
    let mut old = Edge::start_in(data_with_pair(&[]), &[]);
    old.put("a.jpg", PICTURE);
    let (public, admin) = (old.public, old.admin);
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let client = tokio::spawn(async move {
        let mut answers = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut connection = Connection::open(public).await;
            connection.ask("GET", "/media/a.jpg", &[("Connection", "close")]).await;
            let reply = connection.reply("GET").await;
            assert_eq!((reply.status, reply.whole), (200, true), "{:?}", reply.headers);
            answers += 1;
        }
        answers
    });
    let (listen, admin_listen) = (public.to_string(), admin.to_string());
    let settings = [("server.listen", listen.as_str()), ("admin.listen", &admin_listen)];
    let next = Follower::start(old.data_dir(), &settings);
    next.has_written("stderr", "send SIGQUIT to the running process").await;
    signal(&old, Signal::QUIT).await;
    next.has_written("stdout", &format!("listening on http://{public}")).await;
    let status = old.ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(old.get("/media/a.jpg?resize=60,60").await.status, 200, "the new process answers");
    assert_eq!(old.admin("/readyz").await.status, 200, "on both sockets");
    done.store(true, Ordering::Relaxed);
    assert!(client.await.expect("every request was answered") > 0);
}
