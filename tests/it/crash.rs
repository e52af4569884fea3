//! What is left after `kill -9`, damage by hand, a flood, and a directory that goes away.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use futures::StreamExt;
use futures::stream;
use reqwest::Client;
use reqwest::header::{CONTENT_RANGE, RANGE};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::support::edge::{Edge, eventually};
use crate::support::http_origin::HttpOrigin;
use crate::support::program::{create_key, signal, with_crypto};

const SMALL: u64 = 80;
const LARGE: u64 = 4;
const LARGE_BYTES: usize = 1 << 20;

/// Clients that read at the same time.
const READERS: u64 = 5;

const WRITES: &str = "kinora_cache_disk_writes_total";
const DONE: &str = r#"result="done""#;
const CORRUPT: &str = r#"kind="corrupt""#;
const ON_DISK: &str = r#"tier="disk""#;

#[tokio::test]
async fn after_a_kill_every_answer_is_whole_and_every_purge_holds() {
    survive(5).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn after_two_hundred_kills_every_answer_is_whole_and_every_purge_holds() {
    survive(200).await;
}

async fn survive(rounds: u64) {
    let bench = Bench::start();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..=rounds {
        let mut edge = bench.edge();
        bench.check_all(&edge, &mut random).await;
        if round < rounds {
            bench.load_until_killed(&edge, &mut random).await;
            assert!(!edge.ended().await.success(), "it was killed");
        }
    }
    let seen = &bench.seen;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{rounds} kills: {} answers right under load, {} broken off; {} purges acknowledged, {} unanswered; \
         {} answers from the disk after a restart, {} evictions",
        count(&seen.right),
        count(&seen.broken),
        count(&seen.purges),
        count(&seen.unanswered),
        count(&seen.disk_hits),
        count(&seen.evictions),
    );
    for (what, counter) in
        [("purge", &seen.purges), ("answer from the disk", &seen.disk_hits), ("eviction", &seen.evictions)]
    {
        assert!(count(counter) > 0, "no {what}");
    }
}

/// An origin that changes, and what is known of each of its objects.
struct Bench {
    origin: HttpOrigin,
    data: TempDir,
    api_key: String,
    client: Client,
    /// The version of each that the origin has.
    current: Vec<AtomicU32>,
    /// An older one than this has been purged.
    purged: Vec<AtomicU32>,
    is_dying: AtomicBool,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    right: AtomicU64,
    broken: AtomicU64,
    purges: AtomicU64,
    unanswered: AtomicU64,
    disk_hits: AtomicU64,
    evictions: AtomicU64,
}

impl Bench {
    fn start() -> Self {
        with_crypto();
        let data = tempfile::tempdir().expect("a directory");
        let (_, api_key) = create_key(data.path(), &["api"]);
        let versions = || (0..SMALL + LARGE).map(|_| AtomicU32::new(0)).collect();
        let bench = Self {
            origin: HttpOrigin::start(),
            data,
            api_key,
            client: Client::builder().no_proxy().build().expect("a client"),
            current: versions(),
            purged: versions(),
            is_dying: AtomicBool::new(false),
            seen: Seen::default(),
        };
        (0..SMALL + LARGE).for_each(|number| bench.change(number));
        bench
    }

    /// On the same data each time, and with far less room than there is to keep.
    fn edge(&self) -> Edge {
        let data = self.data.path().to_str().expect("a plain path");
        let settings = [
            ("data.dir", data),
            ("cache.memory", "512KiB"),
            ("cache.disk", "4MiB"),
            ("cache.slice_above", "256KiB"),
            ("cache.slice", "64KiB"),
            ("log.level", "warn"),
        ];
        Edge::in_front_of(&self.origin, &settings)
    }

    /// The origin has a new version of an object.
    fn change(&self, number: u64) {
        let version = self.current[number as usize].fetch_add(1, Ordering::Relaxed) + 1;
        self.origin.put(&key(number), &content(number, version));
    }

    /// Nothing changes: every object is there, whole, and no older than the last purge allows.
    async fn check_all(&self, edge: &Edge, random: &mut Random) {
        let ranges: Vec<_> = (SMALL..SMALL + LARGE).map(|number| (number, Some(range(random)))).collect();
        let wholes = (0..SMALL + LARGE).map(|number| (number, None));
        let asked = ranges.into_iter().chain(wholes);
        let answers = asked.map(async |(number, part)| {
            let first = self.read(edge, number, part).await;
            // What the origin has changed, and nobody has purged, may be noticed in the middle.
            let is_right = first || (number >= SMALL && self.read(edge, number, part).await);
            assert!(is_right, "{} is not answered after a restart", key(number));
        });
        stream::iter(answers).buffer_unordered(8).for_each(async |()| {}).await;
        self.seen
            .disk_hits
            .fetch_add(edge.metric("kinora_cache_hits_total", &[ON_DISK]).await, Ordering::Relaxed);
    }

    async fn load_until_killed(&self, edge: &Edge, random: &mut Random) {
        self.is_dying.store(false, Ordering::Relaxed);
        let readers = (0..READERS).map(|_| Random(random.next())).collect::<Vec<_>>();
        let readers = readers.into_iter().map(async |mut random| {
            while !self.is_dying() {
                let number = random.below(SMALL + LARGE);
                let part = (number >= SMALL && random.below(4) > 0).then(|| range(&mut random));
                let is_right = self.read(edge, number, part).await;
                let counter = if is_right { &self.seen.right } else { &self.seen.broken };
                counter.fetch_add(1, Ordering::Relaxed);
                assert!(is_right || number >= SMALL || self.is_dying(), "{} broke off", key(number));
            }
        });
        let mut for_purges = Random(random.next());
        let purger = async {
            while !self.is_dying() {
                self.purge(edge, &mut for_purges).await;
            }
        };
        let answers = self.seen.right.load(Ordering::Relaxed) + 20 + random.below(400);
        let killer = async {
            let are_given = || (self.seen.right.load(Ordering::Relaxed) >= answers).then_some(());
            eventually("enough answers", async || are_given()).await;
            let evicted = edge.metric("kinora_cache_evictions_total", &[ON_DISK]).await;
            self.seen.evictions.fetch_add(evicted, Ordering::Relaxed);
            assert_eq!(edge.metric("kinora_cache_disk_faults_total", &[]).await, 0, "a kill damages nothing");
            self.is_dying.store(true, Ordering::Relaxed);
            signal(edge, Signal::KILL).await;
        };
        futures::join!(futures::future::join_all(readers), purger, killer);
    }

    fn is_dying(&self) -> bool {
        self.is_dying.load(Ordering::Relaxed)
    }

    /// Changes some objects and purges them.
    async fn purge(&self, edge: &Edge, random: &mut Random) {
        let (covered, body): (Vec<u64>, _) = match random.below(10) {
            0 => ((0..SMALL + LARGE).collect(), json!({ "everything": true })),
            1 | 2 => {
                let prefix = format!("s/{}", 1 + random.below(8));
                (
                    (0..SMALL).filter(|&number| key(number).starts_with(&prefix)).collect(),
                    json!({ "prefixes": [prefix] }),
                )
            }
            _ => {
                let number = random.below(SMALL + LARGE);
                (vec![number], json!({ "keys": [key(number)] }))
            }
        };
        for _ in 0..3 {
            self.change(covered[random.below(covered.len() as u64) as usize]);
        }
        let versions: Vec<u32> =
            covered.iter().map(|&number| self.current[number as usize].load(Ordering::Relaxed)).collect();
        let url = format!("http://{}/api/v1/purge", edge.public);
        let asked = self.client.post(url).bearer_auth(&self.api_key).body(body.to_string()).send().await;
        match asked {
            Ok(answer) => {
                assert_eq!(answer.status(), 200, "{body}");
                self.seen.purges.fetch_add(1, Ordering::Relaxed);
                for (number, version) in covered.into_iter().zip(versions) {
                    self.purged[number as usize].fetch_max(version, Ordering::Relaxed);
                }
            }
            Err(error) => {
                assert!(self.is_dying(), "{body}: {error}");
                self.seen.unanswered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether an object, or these bytes of it, come whole. What comes whole must be right.
    async fn read(&self, edge: &Edge, number: u64, part: Option<(usize, usize)>) -> bool {
        let key = key(number);
        let least = self.purged[number as usize].load(Ordering::Relaxed);
        let mut ask = self.client.get(format!("http://{}/media/{key}", edge.public));
        if let Some((first, last)) = part {
            ask = ask.header(RANGE, format!("bytes={first}-{last}"));
        }
        let Ok(answer) = ask.send().await else { return false };
        let status = answer.status().as_u16();
        let of = answer.headers().get(CONTENT_RANGE).map(|range| range.to_str().expect("text").to_owned());
        let Ok(body) = answer.bytes().await else { return false };
        if status == 502 && number >= SMALL {
            return false;
        }
        let expected = match part {
            None => (200, None),
            Some((first, last)) => (206, Some(format!("bytes {first}-{last}/{LARGE_BYTES}"))),
        };
        assert_eq!((status, of), expected, "{key}: {}", String::from_utf8_lossy(&body));
        let (first, length) = part.map_or((0, length(number)), |(first, last)| (first, last + 1 - first));
        let version = version_of(&body, first);
        assert_eq!(body.len(), length, "{key} of version {version}");
        assert!(part_of(number, version, first, length) == body, "{key} is not version {version} of itself");
        let newest = self.current[number as usize].load(Ordering::Relaxed);
        assert!((least..=newest).contains(&version), "{key}: {version} of {least}..={newest}");
        true
    }
}

fn key(number: u64) -> String {
    match number.checked_sub(SMALL) {
        None => format!("s/{}", number + 10),
        Some(large) => format!("large/{large}"),
    }
}

fn length(number: u64) -> usize {
    if number < SMALL { 1000 + (number as usize * 7919) % 100_000 } else { LARGE_BYTES }
}

const BLOCK: usize = 16;

/// What an object is in a version: each block of it tells which of what it is.
fn content(number: u64, version: u32) -> Vec<u8> {
    part_of(number, version, 0, length(number))
}

/// The bytes from `first` on, so many.
fn part_of(number: u64, version: u32, first: usize, length: usize) -> Vec<u8> {
    let (begin, end) = (first / BLOCK, (first + length).div_ceil(BLOCK));
    let mut bytes = Vec::with_capacity((end - begin) * BLOCK);
    for block in begin as u32..end as u32 {
        let salt = Random((number << 48) ^ (u64::from(version) << 24) ^ u64::from(block) ^ 1).next();
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&block.to_le_bytes());
        bytes.extend_from_slice(&salt.to_le_bytes());
    }
    bytes.drain(..first - begin * BLOCK);
    bytes.truncate(length);
    bytes
}

/// The version of which this is a part that begins at `first`.
fn version_of(part: &[u8], first: usize) -> u32 {
    let at = first.next_multiple_of(BLOCK) - first;
    u32::from_le_bytes(part[at..at + 4].try_into().expect("four bytes"))
}

/// First and last byte of a part of a large object, of at least two blocks.
fn range(random: &mut Random) -> (usize, usize) {
    let length = (2 * BLOCK as u64 + random.below(200_000)) as usize;
    let first = random.below((LARGE_BYTES - length) as u64) as usize;
    (first, first + length - 1)
}

/// Xorshift: the same row of numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The files below the disk tier's directory; none before it has been made.
fn files(data: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| {
        std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.expect("an entry").path())
    };
    let directories = entries(&data.join("cache/answers")).filter(|path| path.is_dir());
    directories.flat_map(|path| entries(&path).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn damage_on_the_disk_is_a_miss_and_never_a_wrong_byte() {
    let flip = |at: fn(usize) -> usize| {
        move |bytes: &mut Vec<u8>| {
            let at = at(bytes.len());
            bytes[at] ^= 1;
        }
    };
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let damages: [(&str, Damage<'_>); 6] = [
        ("the last byte", &flip(|length| length - 1)),
        ("the middle", &flip(|length| length / 2)),
        ("the head", &flip(|_| 20)),
        ("what is said of the body", &flip(|_| 100)),
        ("the end is missing", &|bytes| bytes.truncate(bytes.len() - 1)),
        ("all but the name is missing", &Vec::clear),
    ];
    let origin = HttpOrigin::start();
    let data = tempfile::tempdir().expect("a directory");
    let settings = [("data.dir", data.path().to_str().expect("a plain path"))];
    // One that moves into memory when it is found, one that is read from the disk piece by piece.
    for (name, length) in [("small.bin", 300_000), ("large.bin", 3_000_000)] {
        let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        origin.put(name, &body);
        let target = format!("/media/{name}");
        for (what, damage) in &damages {
            let edge = Edge::in_front_of(&origin, &settings);
            edge.get(&target).await;
            edge.until(WRITES, &[ON_DISK, DONE], 1).await;
            drop(edge);
            let file = files(data.path()).pop().expect("its file");
            let mut bytes = std::fs::read(&file).expect("the file");
            damage(&mut bytes);
            std::fs::write(&file, &bytes).expect("damaged");

            let edge = Edge::in_front_of(&origin, &settings);
            edge.until("kinora_cache_entries", &[ON_DISK], 1).await;
            let asked = origin.requests().len();
            let mut reply = edge.get(&target).await;
            if length > 1 << 20 && !reply.whole {
                // It was on its way already when the damage was found.
                assert!(body.starts_with(&reply.body), "{name}, {what}");
                reply = edge.get(&target).await;
            }
            assert!(reply.status == 200 && reply.whole && reply.body == body, "{name}, {what}");
            assert!(reply.header("cache-status").contains("fwd=miss"), "{name}, {what}: {reply:?}");
            assert_eq!(origin.requests().len() - asked, 1, "{name}, {what}");
            assert_eq!(edge.metric("kinora_cache_disk_faults_total", &[CORRUPT]).await, 1, "{name}, {what}");
            drop(edge);
            files(data.path()).iter().for_each(|file| std::fs::remove_file(file).expect("removed"));
        }
    }
}

/// Bytes that the tier's files take on the disk, with the process held still so that they do not move.
async fn space(edge: &Edge, data: &Path) -> u64 {
    let id = Pid::from_raw(i32::try_from(edge.id()).expect("a process id")).expect("a process id");
    let stat = format!("/proc/{}/stat", edge.id());
    kill_process(id, Signal::STOP).expect("a signal");
    eventually("it to hold still", async || {
        let stat = std::fs::read_to_string(&stat).expect("a process");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')).then_some(())
    })
    .await;
    let files = files(data);
    let space = files.iter().map(|file| std::fs::metadata(file).expect("a file").blocks() * 512).sum();
    kill_process(id, Signal::CONT).expect("a signal");
    space
}

#[tokio::test]
async fn the_budget_of_the_disk_holds_while_ten_times_as_much_flows_through() {
    const BUDGET: u64 = 8 << 20;
    const LARGEST: u64 = 1_000_000;
    let origin = HttpOrigin::start();
    let edge = Edge::in_front_of(&origin, &[("cache.disk", "8MiB"), ("cache.memory", "1MiB")]);
    let mut random = Random(7);
    let (mut flowed, mut number, mut most) = (0, 0, 0);
    while flowed < 10 * BUDGET {
        // As many at the same time as browsers ask for.
        let sizes = [0; 6].map(|_| 1 + random.below(LARGEST));
        let answers = sizes.iter().zip(number..).map(async |(&size, number): (&u64, u64)| {
            origin.put(&format!("{number}.bin"), &vec![number as u8; size as usize]);
            let reply = edge.get(&format!("/media/{number}.bin")).await;
            assert_eq!((reply.status, reply.body.len() as u64), (200, size));
        });
        let mut answers = answers.collect::<stream::FuturesUnordered<_>>();
        while answers.next().await.is_some() {
            most = most.max(space(&edge, edge.data_dir()).await);
        }
        flowed += sizes.iter().sum::<u64>();
        number += sizes.len() as u64;
    }

    assert!(most <= BUDGET + LARGEST, "{most}");
    assert!(most > BUDGET / 2, "and it is used: {most}");
    assert!(edge.metric("kinora_cache_evictions_total", &[ON_DISK]).await > 0);
    assert!(edge.metric("kinora_cache_bytes", &[ON_DISK]).await <= BUDGET);
}

#[tokio::test]
async fn without_its_directory_it_serves_on_says_so_once_and_recovers() {
    let origin = HttpOrigin::start();
    // All that is kept is on the disk.
    let edge = Edge::in_front_of(&origin, &[("cache.memory", "0")]);
    let answers = async |names: std::ops::Range<u32>| {
        for number in names {
            let body = vec![number as u8; 50_000];
            origin.put(&format!("{number}.bin"), &body);
            let reply = edge.get(&format!("/media/{number}.bin")).await;
            assert!(reply.status == 200 && reply.body == body, "{number}: {}", reply.status);
        }
    };
    let state = async |wanted: u64| {
        let is = async || edge.metric("kinora_cache_disk_state", &[ON_DISK]).await == wanted;
        eventually("the state of the disk", async || is().await.then_some(())).await;
    };
    let warnings = |text: &str| edge.logged().lines().filter(|line| line.contains(text)).count();
    state(0).await;
    answers(0..5).await;
    edge.until(WRITES, &[ON_DISK, DONE], 5).await;

    let (place, away) = (edge.data_dir().join("cache/answers"), edge.data_dir().join("cache/away"));
    std::fs::rename(&place, &away).expect("moved away");
    std::fs::write(&place, b"in its place").expect("a file");
    answers(0..10).await;
    state(2).await;
    answers(0..20).await;
    assert_eq!(warnings("the disk cache cannot be used"), 1);

    std::fs::remove_file(&place).expect("removed");
    std::fs::rename(&away, &place).expect("moved back");
    state(0).await;
    assert_eq!((warnings("the disk cache cannot be used"), warnings("the disk cache works again")), (1, 1));
    let before = edge.metric(WRITES, &[ON_DISK, DONE]).await;
    answers(20..25).await;
    edge.until(WRITES, &[ON_DISK, DONE], before + 5).await;
    let asked = origin.requests().len();
    answers(20..25).await;
    assert_eq!(origin.requests().len(), asked, "they are found again");
}
