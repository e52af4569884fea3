//! The disk tier against `kill -9`: whatever is found afterwards is whole.
//!
//! A child process stores, renews and removes as fast as it can until it is killed in the midst of
//! it. Body and length of an object are functions of its key and of a version that its metadata names,
//! so a mixture of two versions is found as well as a torn one.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::tests::{load, objects, settled};
use super::*;

const BUDGET: u64 = 6 << 20;
const KEYS: u64 = 120;
const LARGEST: u64 = 400_000;
const DIRECTORY: &str = "KINORA_TEST_KILL_DIRECTORY";

#[tokio::test]
async fn twenty_kills_leave_only_whole_objects() {
    survive(20).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn two_hundred_kills_leave_only_whole_objects() {
    survive(200).await;
}

/// The child's part; without a directory it does nothing.
#[test]
#[ignore = "writes until it is killed"]
fn write_until_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let disk = settled(Path::new(&directory), BUDGET);
    let mut random = Random(u64::from(std::process::id()));
    loop {
        let number = random.below(KEYS);
        let key = key(number);
        let version = random.next();
        match random.below(10) {
            0 => disk.remove(&key),
            // The second of them changes the metadata alone, in its place or beyond it.
            1 | 2 => {
                let (meta, body) = object(number, version);
                let longer = [&meta[..], &vec![1; random.below(3000) as usize]].concat();
                disk.store(key, meta, vec![body.clone()]);
                disk.store(key, longer.into(), vec![body]);
            }
            _ => {
                let (meta, body) = object(number, version);
                disk.store(key, meta, vec![body.slice(..body.len() / 2), body.slice(body.len() / 2..)]);
            }
        }
        // One byte a step: the parent counts them, and its pipe slows this loop down to the writer.
        std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush()).expect("a reader");
        while disk.counts().waiting_bytes > 4 << 20 {
            std::thread::yield_now();
        }
    }
}

async fn survive(rounds: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut random = Random(rounds);
    let (mut served, mut leftovers) = (0, 0);
    for round in 0..rounds {
        kill_after(directory.path(), 20 + random.below(150));
        let bytes: u64 = objects(directory.path()).iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= BUDGET, "round {round}: {bytes} bytes");
        let found = objects(directory.path()).len();
        let disk = settled(directory.path(), BUDGET);
        for number in 0..KEYS {
            let Some((meta, body)) = load(&disk, &key(number)).await else { continue };
            let version = meta.first_chunk().copied().map(u64::from_le_bytes).expect("a version");
            assert!(body == object(number, version).1, "round {round}: object {number} is not whole");
            served += 1;
        }
        // In a page cache that outlives the process nothing is torn.
        leftovers += disk.counts().corrupt;
        assert_eq!(disk.counts().objects + disk.counts().corrupt, found as u64, "round {round}");
    }
    assert!(served > rounds * 5, "enough was found to be judged: {served}");
    println!("{rounds} kills: {served} objects were whole, {leftovers} were refused");
}

fn kill_after(directory: &Path, steps: u64) {
    let program = std::env::current_exe().expect("this program");
    let mut child: Child = Command::new(program)
        .args(["--exact", "cache::disk::kill::write_until_killed", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut output = child.stdout.take().expect("its output");
    let mut seen = vec![0; steps as usize];
    output.read_exact(&mut seen).expect("it writes until it is killed");
    child.kill().expect("killed");
    child.wait().expect("gone");
}

fn key(number: u64) -> Key {
    let mut key = Key([number as u8; 16]);
    key.0[8..].copy_from_slice(&number.to_le_bytes());
    key
}

fn object(number: u64, version: u64) -> (Bytes, Bytes) {
    let mut random = Random(number ^ version);
    let length = random.below(LARGEST) >> random.below(8);
    let body: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    (Bytes::copy_from_slice(&version.to_le_bytes()), Bytes::from(body).slice(..length as usize))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
