//! The real program, in a process of its own, with settings from the environment.

#![allow(dead_code, reason = "each subject uses some of it")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{Connection, Reply};
use crate::support::http_origin::HttpOrigin;

/// For what takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. It is killed when it is dropped.
pub(crate) struct Edge {
    child: Child,
    data: TempDir,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    logged: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Edge {
    /// Starts with these settings, written as in `config.toml`: `("delivery.s_maxage", "1s")`.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), settings)
    }

    /// Starts with a web server as bucket, which is asked once whatever it answers.
    pub(crate) fn in_front_of(origin: &HttpOrigin, settings: &[(&str, &str)]) -> Self {
        let url = origin.url();
        let ours = [("origin.kind", "http"), ("origin.http.base_url", &url), ("origin.retries", "0")];
        Self::start(&[&ours, settings].concat())
    }

    /// Starts on a data directory that is there already.
    pub(crate) fn start_in(data: TempDir, settings: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(data.path().join("bucket")).expect("a bucket");
        let mut child = command(data.path(), settings).spawn().expect("the program starts");
        let (tell, told) = mpsc::channel();
        let (said, logged) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().expect("a pipe"), &said, Some(tell)),
            collect(child.stderr.take().expect("a pipe"), &logged, None),
        ];
        let (mut public, mut admin) = (None, None);
        while public.is_none() || admin.is_none() {
            let line = match told.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let _ = child.kill();
                    panic!("no start: {said:?} {logged:?}");
                }
            };
            public = public.or(address(&line, "listening on http://"));
            admin = admin.or(address(&line, "admin listening on http://"));
        }
        let (public, admin) = (public.expect("seen"), admin.expect("seen"));
        Self { child, data, public, admin, said, logged, readers }
    }

    /// The directory that is the bucket unless the settings say otherwise.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.data.path().join("bucket")
    }

    /// Stores an object in [`Edge::bucket`].
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.bucket().join(key);
        std::fs::create_dir_all(path.parent().expect("a bucket")).expect("a prefix");
        std::fs::write(path, bytes).expect("an object");
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Process id, for signals.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.public).await
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[]).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        exchange(self.public, method, target, headers).await
    }

    /// One request to the admin listener.
    pub(crate) async fn admin(&self, target: &str) -> Reply {
        exchange(self.admin, "GET", target, &[]).await
    }

    /// The sum of a metric over all series that have these labels, written `name="value"`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let page = self.admin("/metrics").await;
        let page = String::from_utf8(page.body).expect("text");
        let mut sum = 0.0;
        for line in page.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (this, with) = series.split_once('{').unwrap_or((series, ""));
            if this == name && labels.iter().all(|label| with.contains(label)) {
                sum += value.parse::<f64>().expect("a number");
            }
        }
        sum as u64
    }

    /// GETs that reached the origin.
    pub(crate) async fn origin_gets(&self) -> u64 {
        self.metric("kinora_origin_requests_total", &[r#"method="get""#]).await
    }

    /// Pictures that were made.
    pub(crate) async fn renders(&self) -> u64 {
        self.metric("kinora_renders_total", &[r#"result="done""#]).await
    }

    /// Waits until a metric has at least this value.
    pub(crate) async fn until(&self, name: &str, labels: &[&str], least: u64) {
        let what = format!("{name}{labels:?} >= {least}");
        eventually(&what, async || (self.metric(name, labels).await >= least).then_some(())).await;
    }

    /// Everything on standard output.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no panic").join("\n")
    }

    /// Everything on standard error.
    pub(crate) fn logged(&self) -> String {
        self.logged.lock().expect("no panic").join("\n")
    }

    /// The access log's first line that passes; waits for it, as it is written after the answer.
    pub(crate) async fn log_line(&self, passes: impl Fn(&Value) -> bool) -> Value {
        eventually("the line in the access log", async || {
            let lines = self.logged.lock().expect("no panic");
            lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(|line| passes(line))
        })
        .await
    }

    /// Kills the process, and hands out the data directory for another one.
    pub(crate) fn killed(mut self) -> TempDir {
        self.child.kill().and_then(|()| self.child.wait()).expect("a child");
        std::mem::replace(&mut self.data, tempfile::tempdir().expect("a directory"))
    }

    /// Waits for the process to end by itself; its status and what it said besides.
    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        let child = &mut self.child;
        eventually("the end of the process", async || child.try_wait().expect("a child")).await
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("the edge said:\n{}\nand logged:\n{}", self.said(), self.logged());
        }
    }
}

/// The program with these settings, not started yet: on port 0, with a log for machines.
pub(crate) fn command(data: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Settings of whoever runs the tests are none of ours.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KINORA__")) {
        command.env_remove(name);
    }
    command.env("KINORA__DATA__DIR", data);
    let ours = [("server.listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0"), ("log.format", "json")];
    for (key, value) in ours.iter().chain(settings) {
        command.env(format!("KINORA__{}", key.replace('.', "__").to_uppercase()), value);
    }
    command
}

/// Asks again, up to a bound, until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn exchange(to: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
    let mut connection = Connection::open(to).await;
    connection.ask(method, target, headers).await;
    connection.reply(method).await
}

fn address(line: &str, before: &str) -> Option<SocketAddr> {
    line.strip_prefix(before)?.trim().parse().ok()
}

/// Keeps the lines of a pipe, and tells each to whoever listens.
fn collect(
    pipe: impl Read + Send + 'static,
    lines: &Arc<Mutex<Vec<String>>>,
    tell: Option<mpsc::Sender<String>>,
) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(tell) = &tell {
                // The listener stops listening once it knows the addresses.
                let _ = tell.send(line.clone());
            }
            lines.lock().expect("no panic").push(line);
        }
    })
}
