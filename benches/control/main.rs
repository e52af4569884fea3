//! The control plane over a socket: uploads beside `dd` and a tus server of npm, reads, searches, webhooks.
//!
//! Client, servers and disk share the machine, so only the ratios mean anything elsewhere.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark reports to a person and stops at trouble"
)]

#[path = "../serving/mod.rs"]
mod serving;

use std::io::{BufRead, BufReader, Read, Write};
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kinora::config::Config;
use kinora::metadata::{Asset, Catalog, EventKind};
use kinora::request::AssetId;
use serving::{Client, Edge, Head};

const ROUNDS: usize = 3;
const FILE_BYTES: usize = 1 << 30;
const PATCH_BYTES: usize = 8 << 20;
const ASSETS: usize = 100_000;
const SEARCHES: usize = 400;
const EVENTS: usize = 10_000;
const READERS: usize = 8;
const READ_FOR: Duration = Duration::from_secs(2);

fn main() {
    // Beside the build, as a temporary directory may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let edge = Edge::start(dir.path());
    let key = edge.run(&["key", "create", "api", "--json"]);
    let key: serde_json::Value = serde_json::from_str(&key).expect("JSON");
    let api = Api { edge: &edge, key: key["secret"].as_str().expect("a key").to_owned() };
    println!("{:<44}{:>14}{:>10}", "case", "", "ratio");
    uploads(&api, dir.path());
    reads(&api);
    searches(&api, dir.path());
    deliveries(&api, dir.path());
}

/// The server and a key to it.
struct Api<'a> {
    edge: &'a Edge,
    key: String,
}

impl Api<'_> {
    fn head(&self, line: &str, headers: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n{headers}\r\n", self.key)
    }
}

/// One large file in each way, in turns with a plain copy to the same disk.
fn uploads(api: &Api<'_>, dir: &Path) {
    let block: Vec<u8> =
        (0..PATCH_BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let peer = Tus::start(dir);
    let before = api.edge.kilobytes("VmRSS");
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(copied(dir));
        times[1].push(form(api, &block));
        let authorized = format!("Authorization: Bearer {}\r\n", api.key);
        times[2].push(tus(&api.edge.address, "/api/v1/uploads", &authorized, &block));
        if let Some(peer) = &peer {
            times[3].push(tus(&peer.address, "/files", "", &block));
        }
    }
    let grown = api.edge.kilobytes("VmHWM").saturating_sub(before);
    let names =
        ["dd conv=fsync of 1 GiB", "form upload of it", "tus, PATCHes of 8 MiB", "  @tus/server, the same"];
    let mut base = None;
    for (name, mut times) in iter::zip(names, times).filter(|(_, times)| !times.is_empty()) {
        times.sort();
        let time = times[times.len() / 2].as_secs_f64();
        println!("{name:<44}{:>12.2} s{:>10.2}", time, time / *base.get_or_insert(time));
    }
    println!("{:<44}{:>11.1} MB", "memory above that of the idle server, at most", grown as f64 / 1024.0);
    if peer.is_none() {
        println!("@tus/server is not installed (tests/clients/install): no peer in this run");
    }
}

fn copied(dir: &Path) -> Duration {
    let to = format!("of={}", dir.join("copy").display());
    let count = format!("count={}", FILE_BYTES / PATCH_BYTES);
    let began = Instant::now();
    let arguments = ["if=/dev/zero", &to, "bs=8M", &count, "conv=fsync", "status=none"];
    assert!(Command::new("dd").args(arguments).status().expect("dd").success(), "copied");
    began.elapsed()
}

fn form(api: &Api<'_>, block: &[u8]) -> Duration {
    let before = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"large.bin\"\r\n\r\n";
    let after = "\r\n--b--\r\n";
    let length = before.len() + FILE_BYTES + after.len();
    let headers = format!("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n");
    let head = api.head("POST /api/v1/assets/new/content/original/upload", &headers);
    let blocks = iter::repeat_n(block, FILE_BYTES / block.len());
    let pieces = [head.as_bytes(), before.as_bytes()].into_iter().chain(blocks).chain([after.as_bytes()]);
    let mut client = Client::connect(&api.edge.address);
    let began = Instant::now();
    good(client.exchange(pieces));
    began.elapsed()
}

fn tus(address: &str, path: &str, authorized: &str, block: &[u8]) -> Duration {
    let mut client = Client::connect(address);
    let common = format!("Host: bench\r\nTus-Resumable: 1.0.0\r\n{authorized}");
    let create = format!(
        "POST {path} HTTP/1.1\r\n{common}Upload-Length: {FILE_BYTES}\r\nUpload-Metadata: filename bGFyZ2UuYmlu\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let began = Instant::now();
    let created = good(client.exchange([create.as_bytes()]));
    let location = created.header("location").expect("a location").to_owned();
    let place = location.find("://").map_or(location.as_str(), |scheme| {
        let rest = &location[scheme + 3..];
        &rest[rest.find('/').unwrap_or(0)..]
    });
    for offset in (0..FILE_BYTES).step_by(block.len()) {
        let head = format!(
            "PATCH {place} HTTP/1.1\r\n{common}Upload-Offset: {offset}\r\nContent-Length: {}\r\n\
             Content-Type: application/offset+octet-stream\r\n\r\n",
            block.len()
        );
        good(client.exchange([head.as_bytes(), block]));
    }
    began.elapsed()
}

/// How many reads of one asset's data a second.
fn reads(api: &Api<'_>) {
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\ntext\r\n--b--\r\n";
    let length = body.len();
    let headers = format!("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n");
    let head = api.head("POST /api/v1/assets/new/content/original/upload", &headers);
    let (answer, body) = Client::connect(&api.edge.address).exchange([head.as_bytes(), body.as_bytes()]);
    assert!(answer.status < 300, "{body}");
    let made: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let id = made["files"][0]["id"].as_str().expect("an id");
    let request = api.head(&format!("GET /api/v1/assets/{id}/data"), "");
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut client = Client::connect(&api.edge.address);
                while !stop.load(Ordering::Relaxed) {
                    client.ask(&request);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(READ_FOR);
        stop.store(true, Ordering::Relaxed);
    });
    let rate = count.load(Ordering::Relaxed) as f64 / READ_FOR.as_secs_f64();
    println!("{:<44}{rate:>12.0}/s", "reads of an asset's data");
}

/// How long a search by words takes that has many to look through.
fn searches(api: &Api<'_>, dir: &Path) {
    fill(dir, ASSETS);
    let mut client = Client::connect(&api.edge.address);
    let mut times: Vec<Duration> = (0..SEARCHES)
        .map(|number| {
            let (one, other) = (word(number), word(number * 7 + 3));
            let keyword = if number % 3 == 0 { one.to_owned() } else { format!("{one} {other}") };
            let body = serde_json::json!({ "keyword": keyword, "limit_per_page": 50 }).to_string();
            let length = body.len();
            let headers = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
            let head = api.head("POST /api/v1/search", &headers);
            let began = Instant::now();
            good(client.exchange([head.as_bytes(), body.as_bytes()]));
            began.elapsed()
        })
        .collect();
    times.sort();
    for (name, part) in [("p50", 50), ("p95", 95)] {
        let time = times[times.len() * part / 100].as_secs_f64() * 1000.0;
        println!("{:<44}{time:>11.1} ms", format!("search over {ASSETS} assets, {name}"));
    }
}

/// How long it takes until a fast receiver has had this many webhooks.
fn deliveries(api: &Api<'_>, dir: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let count = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, seen) = (stream.expect("a connection"), Arc::clone(&seen));
            thread::spawn(move || receive(stream, &seen));
        }
    });
    let body = serde_json::json!({ "url": format!("http://{address}/") }).to_string();
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let head = api.head("POST /api/v1/hooks", &headers);
    good(Client::connect(&api.edge.address).exchange([head.as_bytes(), body.as_bytes()]));
    let began = Instant::now();
    fill(dir, EVENTS);
    while count.load(Ordering::Relaxed) < EVENTS as u64 {
        assert!(began.elapsed() < Duration::from_secs(300), "{count:?} have come");
        thread::sleep(Duration::from_millis(10));
    }
    let took = began.elapsed().as_secs_f64();
    println!("{:<44}{took:>12.2} s", format!("{EVENTS} webhooks, from the first change on"));
}

/// Answers every message on a connection with 204.
fn receive(stream: TcpStream, count: &AtomicU64) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut length = 0;
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).expect("a body");
            count.fetch_add(1, Ordering::Relaxed);
            reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("sent");
        }
        line.clear();
    }
}

/// Records so many assets with the events of their upload, beside the running server.
fn fill(dir: &Path, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = Config::load(None).expect("the embedded settings");
    runtime.block_on(async {
        let catalog = Catalog::open(&config.catalog, &dir.join("data")).await.expect("a catalogue");
        let numbers: Vec<usize> = (0..count).collect();
        for numbers in numbers.chunks(1000) {
            let assets: Vec<Asset> = numbers.iter().map(|number| asset(*number)).collect();
            catalog.insert_assets(&assets, EventKind::FileSaved, 1_700_000_000).await.expect("recorded");
        }
        catalog.close().await;
    });
}

fn asset(number: usize) -> Asset {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("random bytes");
    let name = format!("{}-{}-{number}.jpg", word(number), word(number / 97));
    let mut asset = Asset::new(AssetId::new(random), name, 1_700_000_000);
    let words: Vec<&str> = (0..12).map(|place| word(number * 31 + place * place * 17)).collect();
    asset.data.insert("title".to_owned(), words.join(" ").into());
    asset
}

/// Common ones and rare ones.
fn word(number: usize) -> &'static str {
    const WORDS: [&str; 32] = [
        "river",
        "lake",
        "sunset",
        "harbour",
        "bridge",
        "garden",
        "window",
        "market",
        "winter",
        "summer",
        "portrait",
        "street",
        "forest",
        "mountain",
        "valley",
        "station",
        "castle",
        "meadow",
        "island",
        "desert",
        "festival",
        "concert",
        "kitchen",
        "workshop",
        "library",
        "museum",
        "bicycle",
        "lantern",
        "umbrella",
        "orchard",
        "telescope",
        "waterfall",
    ];
    let spread = number.wrapping_mul(2_654_435_761) >> 7;
    WORDS[(spread % 32).min(spread / 32 % 32)]
}

fn good((head, body): (Head, String)) -> Head {
    assert!(head.status < 300, "{}{body}", head.lines);
    head
}

/// The reference tus server for Node.js, with its store of files.
struct Tus {
    process: Child,
    address: String,
}

impl Tus {
    fn start(dir: &Path) -> Option<Self> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let mut command = Command::new("node");
        command.arg(clients.join("tus-server.mjs")).arg(dir.join("tus")).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::null()).spawn().ok()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take()?).read_line(&mut address).ok()?;
        let server = Self { process, address: address.trim().to_owned() };
        (!server.address.is_empty()).then_some(server)
    }
}

impl Drop for Tus {
    fn drop(&mut self) {
        // It may have stopped by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
