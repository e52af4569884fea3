//! The whole edge over a socket: hits, signed hits, ranges and misses, with nginx's `proxy_cache` beside
//! it where nginx is installed. Prints one row for each, and ratios of the same run.
//!
//! Client and servers share the machine, so only the ratios mean anything elsewhere.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark reports to a person and stops at trouble"
)]

#[path = "../serving/mod.rs"]
mod serving;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serving::{Client, Edge};

const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;
const SMALL: usize = 20_000;
const FEW: usize = 8;
const CROWD: usize = 200;
const MANY: usize = 64;
const IDLE: usize = 5000;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fill(&dir.path().join("data/bucket"));
    let edge = Edge::start(dir.path());
    let nginx = Nginx::start(dir.path(), &edge.address);
    let signed = edge.run(&["sign", "/media/small.bin", "--expires", "1h"]);
    let signed = signed.as_str();

    println!("{:<34}{:>12}{:>14}{:>10}", "case", "per second", "p50 (us)", "ratio");
    let mut targets = vec![("hit, 20 kB", edge.address.as_str(), "/media/small.bin", "")];
    if let Some(nginx) = &nginx {
        targets.push(("  nginx proxy_cache, the same", &nginx.address, "/media/small.bin", ""));
    }
    targets.push(("hit, 20 kB, signed URL", &edge.address, signed, ""));
    // A header that the front does not know: what a hit costs that is none of the plain ones.
    targets.push(("hit, 20 kB, the full way", &edge.address, "/media/small.bin", "X-Full-Way: 1\r\n"));
    targets.push(("hit, 1 kB range", &edge.address, "/media/small.bin", "Range: bytes=5000-6023\r\n"));
    targets.push((
        "hit, 304",
        &edge.address,
        "/media/small.bin",
        "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT\r\n",
    ));
    compare(&targets);
    misses(&edge);
    equal_misses(&edge);
    hits_beside_transforms(&edge);
    idle_connections(&edge);
    if nginx.is_none() {
        println!("nginx is not installed: no peer in this run");
    }
}

fn fill(bucket: &Path) {
    fs::create_dir_all(bucket).expect("a bucket");
    fs::write(bucket.join("small.bin"), vec![7; SMALL]).expect("an object");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images/landscape.jpg");
    fs::copy(&sample, bucket.join("photo.jpg")).expect("a sample");
}

/// Targets take turns, so that whatever else happens on the machine happens to all of them.
fn compare(targets: &[(&str, &str, &str, &str)]) {
    let mut rates = vec![Vec::new(); targets.len()];
    for _ in 0..ROUNDS {
        for (place, (_, address, path, headers)) in targets.iter().enumerate() {
            let (rate, times) = load(address, path, headers, CONNECTIONS);
            rates[place].push((rate, times[times.len() / 2]));
        }
    }
    let mut base = None;
    for ((name, ..), mut rounds) in targets.iter().zip(rates) {
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (rate, p50) = rounds[rounds.len() / 2];
        let ratio = rate / *base.get_or_insert(rate);
        println!("{name:<34}{rate:>12.0}{:>14.1}{ratio:>10.2}", p50.as_secs_f64() * 1e6);
    }
}

/// Requests per second over so many keep-alive connections, and their times from the shortest on.
fn load(address: &str, path: &str, headers: &str, connections: usize) -> (f64, Vec<Duration>) {
    let stop = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n");
    let began = Instant::now();
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        times.push(client.ask(&request));
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    times
                })
            })
            .collect();
        thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    let rate = count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    times.sort();
    (rate, times)
}

/// Whole transforms through the server, one after another: the time that a viewer waits.
fn misses(edge: &Edge) {
    let mut client = Client::connect(&edge.address);
    for format in ["jpg", "webp", "avif", "png"] {
        let mut times: Vec<Duration> = (0..8)
            .map(|n| {
                let path = format!("/media/photo.jpg?resize={},&format={format}", 780 + n);
                client.ask(&format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n"))
            })
            .collect();
        times.sort();
        let p50 = times[times.len() / 2];
        let name = format!("miss, sample to 780 wide, {format}");
        println!("{name:<34}{:>12.1}{:>14.0}", 1.0 / p50.as_secs_f64(), p50.as_secs_f64() * 1e6);
    }
}

/// Many viewers of one new variant: one of them has it rendered, all share it. Of a few the middle one
/// tells how long they wait, of a crowd the last one.
fn equal_misses(edge: &Edge) {
    for format in ["webp", "avif"] {
        let mut width = 900;
        let mut ask = |viewers: usize| {
            width += 1;
            let picture = format!("/media/photo.jpg?resize={width},&format={format}");
            answered(&edge.address, &format!("GET {picture} HTTP/1.1\r\nHost: bench\r\n\r\n"), viewers)
        };
        let mut median = |viewers: usize, of: fn(&[Duration]) -> Duration| {
            let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| of(&ask(viewers))).collect();
            rounds.sort();
            rounds[ROUNDS / 2].as_secs_f64()
        };
        let middle = |times: &[Duration]| times[times.len() / 2];
        let last = |times: &[Duration]| times[times.len() - 1];
        let alone = median(1, last);
        let (few, many) = (median(FEW, middle), median(CROWD, last));
        for (name, time) in [
            (format!("one miss, {format}"), alone),
            (format!("  the middle one of {FEW} equal ones"), few),
            (format!("  the last of {CROWD} equal ones"), many),
        ] {
            println!("{name:<34}{:>12}{:>14.0}{:>10.2}", "", time * 1e6, time / alone);
        }
    }
}

/// How long each of so many viewers waits who ask at the same moment, from the shortest on.
fn answered(address: &str, request: &str, viewers: usize) -> Vec<Duration> {
    let mut clients: Vec<Client> = (0..viewers).map(|_| Client::connect(address)).collect();
    let began = Instant::now();
    // All have asked before the first is answered: then reading them in turn delays nobody.
    clients.iter_mut().for_each(|client| client.send(request));
    let mut times: Vec<Duration> = clients
        .iter_mut()
        .map(|client| {
            client.receive();
            began.elapsed()
        })
        .collect();
    times.sort();
    times
}

/// What those who ask for something at hand notice while every core makes pictures for others.
fn hits_beside_transforms(edge: &Edge) {
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100].as_secs_f64();
    let hits = || p99(&load(&edge.address, "/media/small.bin", "", MANY).1);
    let next = AtomicU64::new(0);
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        idle.push(hits());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| {
                    let mut client = Client::connect(&edge.address);
                    while !stop.load(Ordering::Relaxed) {
                        let width = 200 + next.fetch_add(1, Ordering::Relaxed);
                        let path = format!("/media/photo.jpg?resize={width},&format=webp&quality=80");
                        client.ask(&format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n"));
                    }
                });
            }
            busy.push(hits());
            stop.store(true, Ordering::Relaxed);
        });
    }
    idle.sort_by(f64::total_cmp);
    busy.sort_by(f64::total_cmp);
    let (idle, busy) = (idle[ROUNDS / 2], busy[ROUNDS / 2]);
    for (name, time) in [("p99 of hits, idle", idle), ("  while all cores transform", busy)] {
        println!("{name:<34}{:>12}{:>14.0}{:>10.2}", "", time * 1e6, time / idle);
    }
}

/// What a connection costs that is only kept open.
fn idle_connections(edge: &Edge) {
    let before = edge.kilobytes("VmRSS");
    let clients: Vec<Client> = (0..IDLE)
        .map(|_| {
            let mut client = Client::connect(&edge.address);
            client.ask("GET /media/small.bin HTTP/1.1\r\nHost: bench\r\n\r\n");
            client
        })
        .collect();
    let grown = edge.kilobytes("VmRSS").saturating_sub(before);
    println!("an idle connection: {:.1} kB resident ({IDLE} of them)", grown as f64 / clients.len() as f64);
}

/// nginx as it stands before an image server today, with its default `tcp_nopush off`.
struct Nginx {
    process: Child,
    address: String,
}

impl Nginx {
    fn start(dir: &Path, upstream: &str) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address").to_string();
        drop(free);
        let root = dir.join("nginx");
        fs::create_dir_all(&root).expect("a directory");
        let path = root.display();
        let settings = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000;\n\
             proxy_cache_path {path}/cache keys_zone=c:10m max_size=1g use_temp_path=off;\n\
             client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;\n\
             uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
             server {{ listen {address}; location / {{ proxy_pass http://{upstream}; proxy_cache c; }} }} }}\n"
        );
        fs::write(root.join("nginx.conf"), settings).expect("its settings");
        let mut command = Command::new("nginx");
        command.arg("-c").arg(root.join("nginx.conf")).stderr(Stdio::null());
        let process = command.spawn().ok()?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            thread::yield_now();
        }
        Some(Self { process, address })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM ends its worker, too.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
