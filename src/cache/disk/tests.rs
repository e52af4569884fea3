//! The disk tier as its users see it, on a directory of its own and under faults.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::cache::disk::format::{self, BLOCK_BYTES};

const LONG: Duration = Duration::from_secs(60);

/// A tier that tries again at once.
pub(super) fn open(dir: &Path, budget: u64) -> Arc<Disk> {
    let options = DiskOptions { dir: dir.to_owned(), budget, write_queue: 1 << 30 };
    Disk::open_with(options, LONG, Pauses::new(Duration::from_millis(1), Duration::from_millis(4)))
}

pub(super) fn settled(dir: &Path, budget: u64) -> Arc<Disk> {
    let disk = open(dir, budget);
    settle(&disk);
    disk
}

fn settle(disk: &Disk) {
    assert!(disk.settle(LONG), "the writer comes to rest");
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "{what}");
        std::thread::yield_now();
    }
}

fn key(number: u8) -> Key {
    let mut key = Key([0x55; 16]);
    key.0[0] = number;
    key
}

/// Bytes of which no two blocks are equal.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    });
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

fn store(disk: &Disk, number: u8, meta: &[u8], body: &[u8]) {
    let body = body.chunks(50_000).map(Bytes::copy_from_slice).collect();
    disk.store(key(number), Bytes::copy_from_slice(meta), body);
    settle(disk);
}

async fn read(object: &DiskObject, mut position: u64, end: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    loop {
        let piece = object.read(position, end).await?;
        assert!(piece.len() <= 256 * 1024, "a bounded piece");
        if piece.is_empty() {
            return Ok(bytes);
        }
        position += piece.len() as u64;
        bytes.extend_from_slice(&piece);
    }
}

/// Metadata and body of an object.
pub(super) async fn load(disk: &Disk, key: &Key) -> Option<(Bytes, Vec<u8>)> {
    let object = disk.get(key).await?;
    let body = read(&object, 0, u64::MAX).await.ok()?;
    assert_eq!(body.len() as u64, object.len());
    Some((object.meta().clone(), body))
}

/// All files below, with their lengths.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("metadata");
        match metadata.is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push((entry.path(), metadata.len())),
        }
    }
    found
}

pub(super) fn objects(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = files(dir);
    found.retain(|(path, _)| {
        path.file_name().and_then(|name| name.to_str()).and_then(format::read_name).is_some()
    });
    found
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn bodies_of_any_length_and_any_range_of_them_read_back() {
    let dir = temporary();
    let disk = settled(dir.path(), 64 << 20);
    let block = BLOCK_BYTES as usize;
    let lengths = [0, 1, block - 1, block, block + 1, 4 * block, 5 * block - 9, 17 * block + 5];
    for (number, length) in (0..).zip(lengths) {
        let body = noise(number.into(), length);
        store(&disk, number, b"meta", &body);
        let object = disk.get(&key(number)).await.expect("is there");
        assert_eq!((object.len(), &object.meta()[..]), (length as u64, &b"meta"[..]));
        let edges =
            [0, 1, block - 1, block, 2 * block + 7, length / 2, length.saturating_sub(1), length, length + 1];
        for from in edges {
            for to in edges {
                let expected = body.get(from..to.min(length)).unwrap_or_default();
                let found = read(&object, from as u64, to as u64).await.expect("readable");
                assert!(found == expected, "{from}..{to} of {length}");
            }
        }
    }
    let counts = disk.counts();
    assert_eq!((counts.objects, counts.writes, counts.corrupt), (8, 8, 0));
}

#[tokio::test]
async fn replaced_refreshed_and_removed_objects_survive_a_restart_as_such() {
    let dir = temporary();
    let (small, large) = (noise(1, 1000), noise(2, 300_000));
    let grown = vec![7; 10_000];
    let expect = async |disk: &Disk| {
        assert_eq!(load(disk, &key(1)).await, Some((Bytes::from("new"), large.clone())), "replaced");
        assert_eq!(load(disk, &key(2)).await, Some((Bytes::from("newer"), small.clone())), "refreshed");
        assert_eq!(load(disk, &key(3)).await, Some((grown.clone().into(), large.clone())), "outgrown");
        assert_eq!(load(disk, &key(4)).await, None, "removed");
        assert_eq!(load(disk, &key(5)).await, Some((Bytes::from("again"), small.clone())), "stored again");
        assert_eq!(disk.counts().objects, 4);
    };
    let disk = settled(dir.path(), 64 << 20);
    for number in 1..=5 {
        store(&disk, number, b"old", &small);
    }
    store(&disk, 3, b"old", &large);
    let old = disk.get(&key(1)).await.expect("is there");
    disk.store(key(1), Bytes::from("new"), vec![large.clone().into()]);
    old.refresh(Bytes::from("of another body"));
    disk.get(&key(2)).await.expect("is there").refresh(Bytes::from("newer"));
    disk.get(&key(3)).await.expect("is there").refresh(grown.clone().into());
    disk.remove(&key(4));
    disk.remove(&key(5));
    assert!(!disk.contains(&key(4)) && !disk.contains(&key(5)), "a removal is seen at once");
    disk.store(key(5), Bytes::from("again"), vec![small.clone().into()]);
    settle(&disk);
    expect(&disk).await;
    drop(disk);
    expect(&settled(dir.path(), 64 << 20)).await;
    assert_eq!(objects(dir.path()).len(), 4);
}

#[tokio::test]
async fn of_an_unchanged_body_only_the_metadata_is_written() {
    let dir = temporary();
    let disk = settled(dir.path(), 64 << 20);
    let mut body = noise(1, 700_000);
    store(&disk, 1, b"old", &body);
    store(&disk, 1, b"new", &body);
    assert_eq!(disk.counts().writes, 1);
    assert_eq!(load(&disk, &key(1)).await, Some((Bytes::from("new"), body.clone())));
    body[650_000] ^= 1;
    store(&disk, 1, b"newest", &body);
    assert_eq!(disk.counts().writes, 2);
    assert_eq!(load(&disk, &key(1)).await, Some((Bytes::from("newest"), body)));
    assert_eq!((objects(dir.path()).len(), disk.counts().corrupt), (1, 0));
}

#[tokio::test]
async fn ten_times_its_budget_flows_through_and_the_directory_never_exceeds_it() {
    let dir = temporary();
    let budget = 4 << 20;
    let disk = settled(dir.path(), budget);
    let mut most = 0;
    for number in 0..=255_u8 {
        store(&disk, number, b"", &noise(number.into(), 1000 * usize::from(number) + 40_000));
        let bytes = objects(dir.path()).iter().map(|(_, length)| length).sum::<u64>();
        assert!(bytes <= disk.counts().bytes && disk.counts().bytes <= budget);
        most = most.max(bytes);
    }
    assert!(most > budget * 9 / 10, "the budget is used: {most}");
    assert_eq!(disk.counts().objects + disk.counts().evicted, 256);
    drop(disk);
    let smaller = settled(dir.path(), budget / 4);
    assert!(smaller.counts().bytes <= budget / 4, "a smaller budget holds from the start");
    assert!(objects(dir.path()).iter().map(|(_, length)| length).sum::<u64>() <= budget / 4);
    store(&smaller, 1, b"", &noise(1, budget as usize / 4));
    assert!(!smaller.contains(&key(1)) && smaller.counts().dropped == 1, "larger than the budget");
}

#[tokio::test]
async fn no_damaged_byte_is_ever_served() {
    let dir = temporary();
    let disk = settled(dir.path(), 64 << 20);
    // One that is read whole, and one that is read in pieces.
    for (number, length) in [(1, 100_000), (2, 600_000)] {
        let body = noise(1, length);
        let mut damaged = 0;
        for place in (0..40).map(|step| length / 40 * step).chain([8, 20, 41, 64, 600, 700]) {
            store(&disk, number, b"metadata", &body);
            let (path, _) = objects(dir.path()).pop().expect("a file");
            let mut bytes = fs::read(&path).expect("readable");
            bytes[place] ^= 0x10;
            fs::write(&path, &bytes).expect("written");
            let loaded = load(&disk, &key(number)).await;
            let is_padding =
                loaded.as_ref().is_some_and(|(meta, found)| *found == body && meta == "metadata");
            assert!(loaded.is_none() || is_padding, "byte {place}");
            damaged += u64::from(loaded.is_none());
            assert_eq!(disk.contains(&key(number)), is_padding, "a damaged object is forgotten");
        }
        assert!(damaged > 40, "{damaged}");
        assert_eq!(disk.counts().corrupt, if number == 1 { damaged } else { disk.counts().corrupt });
    }
}

#[tokio::test]
async fn a_file_of_another_length_or_of_another_key_is_not_served() {
    let dir = temporary();
    let disk = settled(dir.path(), 64 << 20);
    for (number, length) in [(1, 0_u64), (2, 63), (3, 200_000), (4, 299_999), (5, 400_000)] {
        store(&disk, number, b"", &noise(1, 300_000));
        let (path, _) = objects(dir.path()).pop().expect("a file");
        fs::OpenOptions::new().write(true).open(&path).expect("opened").set_len(length).expect("cut");
        assert!(disk.get(&key(number)).await.is_none(), "a file of {length} bytes");
        settle(&disk);
        assert!(!path.exists(), "it is deleted");
        assert_eq!(disk.counts().corrupt, u64::from(number));
    }
    store(&disk, 6, b"", b"six");
    store(&disk, 7, b"", b"777");
    let of = |number| format::path(dir.path(), &key(number), objects(dir.path())[0].1);
    fs::copy(of(6), of(7)).expect("copied");
    assert!(disk.get(&key(7)).await.is_none());
    assert_eq!(load(&disk, &key(6)).await, Some((Bytes::new(), b"six".to_vec())));
    fs::remove_file(of(6)).expect("removed");
    assert!(disk.get(&key(6)).await.is_none() && !disk.contains(&key(6)));
    assert_eq!(disk.counts().read_errors, 1, "a file that is gone is no damage");
}

#[tokio::test]
async fn damage_in_a_later_block_fails_the_reader_and_the_object() {
    let dir = temporary();
    let disk = settled(dir.path(), 64 << 20);
    let body = noise(3, 1_000_000);
    store(&disk, 1, b"", &body);
    let (path, length) = objects(dir.path()).pop().expect("a file");
    let object = disk.get(&key(1)).await.expect("is there");
    fs::OpenOptions::new().write(true).open(&path).expect("opened").set_len(length - 10).expect("cut");
    assert!(read(&object, 0, 500_000).await.expect("whole") == body[..500_000]);
    assert!(matches!(read(&object, 0, u64::MAX).await, Err(ReadError::Corrupt(Flaw::Short))));
    assert!(!disk.contains(&key(1)));
    settle(&disk);
    assert_eq!((disk.counts().corrupt, disk.counts().objects, path.exists()), (1, 0, false));
    assert!(read(&object, 999_000, u64::MAX).await.is_err());
    assert_eq!(disk.counts().corrupt, 1, "counted once");
}

#[tokio::test]
async fn a_reader_reads_to_the_end_whatever_becomes_of_the_object() {
    let dir = temporary();
    let disk = settled(dir.path(), 2 << 20);
    let body = noise(3, 1_000_000);
    store(&disk, 1, b"first", &body);
    let object = disk.get(&key(1)).await.expect("is there");
    disk.store(key(1), Bytes::from("second"), vec![Bytes::from(noise(4, 999_000))]);
    (2..9).for_each(|number| store(&disk, number, b"", &noise(number.into(), 900_000)));
    disk.remove(&key(1));
    settle(&disk);
    assert!(disk.get(&key(1)).await.is_none());
    assert!(read(&object, 0, u64::MAX).await.expect("readable") == body);
    assert_eq!(object.meta(), "first");
    assert_eq!(disk.counts().read_errors, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_take_new_metadata_on_its_way_for_damage() {
    let dir = temporary();
    let disk = settled(dir.path(), 2 << 20);
    // Several pages, so that a reader can meet half of them.
    let meta = |number: u8| vec![number; 30_000];
    store(&disk, 1, &meta(0), b"body");
    let writing = Arc::clone(&disk);
    let refreshing = tokio::task::spawn_blocking(move || {
        for round in 0..400 {
            writing.store(key(1), meta(round as u8).into(), vec![Bytes::from("body")]);
        }
        settle(&writing);
    });
    let mut seen = 0;
    while !refreshing.is_finished() {
        let object = disk.get(&key(1)).await.expect("always whole");
        let first = object.meta()[0];
        assert!(object.meta().iter().all(|byte| *byte == first));
        seen += 1;
    }
    refreshing.await.expect("refreshed");
    assert!(seen > 0);
    assert_eq!((disk.counts().corrupt, load(&disk, &key(1)).await.expect("there").0[0]), (0, 399_u16 as u8));
}

#[tokio::test]
async fn only_files_of_our_own_are_touched_or_counted() {
    let dir = temporary();
    let root = dir.path().join("deep").join("cache");
    store(&settled(&root, 1 << 20), 0x11, b"", b"body");
    let (ours, length) = objects(&root).pop().expect("a file");
    let name = |number: u8, length: u64| {
        let path = format::path(&root, &key(number), length);
        path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
    };
    let strange = [
        "notes.txt".to_owned(),
        format!("11/{}.bak", name(0x11, length)),
        format!("11/{}", name(0x12, 77)),
        name(0x11, 77),
        "zz/file".to_owned(),
    ];
    fs::create_dir(root.join("zz")).expect("made");
    for path in &strange {
        fs::write(root.join(path), "strange").expect("written");
    }
    fs::create_dir(root.join("11").join(name(0x11, 99))).expect("made");
    std::os::unix::fs::symlink("/etc/passwd", root.join("11").join(name(0x11, 98))).expect("linked");
    fs::write(root.join("11").join(files::TEMPORARY), "left behind").expect("written");
    fs::write(root.join(files::TEMPORARY), "left behind").expect("written");
    let disk = settled(&root, 1 << 20);
    assert_eq!((disk.counts().objects, disk.counts().bytes), (1, 4096));
    store(&disk, 0x11, b"", b"other");
    assert!(strange.iter().all(|path| root.join(path).exists()), "what is strange stays");
    assert!(!files(&root).iter().any(|(path, _)| path.ends_with(files::TEMPORARY)), "what is half does not");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&root) & 0o077 | mode(ours.parent().expect("a parent")) & 0o077, 0);
    let newest = format::path(&root, &key(0x11), length + 1);
    assert_eq!(mode(&newest), 0o600);
}

#[tokio::test]
async fn of_two_files_of_one_key_neither_is_trusted() {
    let dir = temporary();
    let disk = settled(dir.path(), 1 << 20);
    store(&disk, 1, b"", b"older");
    let (older, length) = objects(dir.path()).pop().expect("a file");
    let aside = dir.path().join("aside");
    fs::copy(&older, &aside).expect("copied");
    store(&disk, 1, b"", b"newer and longer");
    drop(disk);
    fs::rename(aside, format::path(dir.path(), &key(1), length)).expect("renamed");
    let disk = settled(dir.path(), 1 << 20);
    assert!(!disk.contains(&key(1)));
    assert_eq!((disk.counts().objects, objects(dir.path()).len()), (0, 0));
}

#[tokio::test]
async fn a_directory_that_vanishes_degrades_the_tier_until_it_can_be_made_again() {
    let dir = temporary();
    let root = dir.path().join("cache");
    let disk = settled(&root, 1 << 20);
    store(&disk, 1, b"", b"one");
    store(&disk, 2, b"", b"two");
    fs::rename(&root, dir.path().join("away")).expect("moved");
    fs::write(&root, "in the way").expect("written");
    assert!(disk.get(&key(1)).await.is_none());
    assert_eq!(disk.counts().read_errors, 1);
    disk.store(key(3), Bytes::new(), vec![Bytes::from("three")]);
    until("a fault is noticed", || disk.state() == DiskState::Degraded);
    disk.store(key(4), Bytes::new(), vec![Bytes::from("four")]);
    disk.remove(&key(2));
    assert_eq!((disk.counts().dropped, disk.counts().waiting_bytes > 10_000), (2, false));
    fs::remove_file(&root).expect("removed");
    fs::rename(dir.path().join("away"), &root).expect("moved");
    until("it recovers", || disk.state() == DiskState::Ready);
    settle(&disk);
    assert_eq!(load(&disk, &key(2)).await, None, "what was removed meanwhile does not come back");
    assert_eq!(objects(&root).len() as u64, disk.counts().objects, "all that is there is counted");
    store(&disk, 5, b"", b"five");
    assert!(load(&disk, &key(5)).await.is_some());
}

#[tokio::test]
async fn what_is_known_is_read_while_nothing_can_be_written() {
    let dir = temporary();
    let disk = settled(dir.path(), 1 << 20);
    store(&disk, 1, b"", b"one");
    let obstacle = dir.path().join("ff");
    fs::write(&obstacle, "in the way").expect("written");
    disk.store(key(0xff), Bytes::new(), vec![Bytes::from("refused")]);
    until("a fault is noticed", || disk.state() == DiskState::Degraded);
    assert_eq!(load(&disk, &key(1)).await, Some((Bytes::new(), b"one".to_vec())));
    fs::remove_file(&obstacle).expect("removed");
    until("it recovers", || disk.state() == DiskState::Ready);
    assert_eq!(load(&disk, &key(1)).await, Some((Bytes::new(), b"one".to_vec())));
    store(&disk, 0xff, b"", b"taken");
    assert_eq!(load(&disk, &key(0xff)).await, Some((Bytes::new(), b"taken".to_vec())));
}

#[tokio::test]
async fn a_directory_serves_one_tier_at_a_time() {
    let dir = temporary();
    let first = settled(dir.path(), 1 << 20);
    store(&first, 1, b"", b"one");
    let second = open(dir.path(), 1 << 20);
    until("the second sees the first", || second.state() == DiskState::Degraded);
    assert!(!second.contains(&key(1)));
    drop(first);
    until("the second takes its place", || second.state() == DiskState::Ready);
    assert_eq!(load(&second, &key(1)).await, Some((Bytes::new(), b"one".to_vec())));
}

#[test]
fn a_full_queue_drops_what_is_stored_and_keeps_what_is_removed() {
    let dir = temporary();
    let options = DiskOptions { dir: dir.path().to_owned(), budget: 1 << 20, write_queue: 10_000 };
    let disk = Disk::open_with(options, LONG, PAUSES);
    settle(&disk);
    (1..=3).for_each(|number| store(&disk, number, b"", b"short"));
    let slow = disk.shared.rewriting();
    disk.store(key(1), Bytes::from("stuck"), vec![Bytes::from("short")]);
    until("the writer is stuck", || disk.counts().waiting_bytes == 0);
    (10..20).for_each(|number| disk.store(key(number), Bytes::new(), vec![Bytes::from(vec![0; 3000])]));
    disk.store(key(3), Bytes::new(), vec![Bytes::from(vec![0; 3000])]);
    assert!(!disk.contains(&key(3)), "what is newer could not be written: what is older goes too");
    disk.remove(&key(2));
    assert!(disk.counts().waiting_bytes <= 10_000 + 2 * 256);
    drop(slow);
    settle(&disk);
    let counts = disk.counts();
    assert_eq!((counts.dropped, counts.writes, counts.objects), (8, 6, 4));
}

#[tokio::test]
async fn a_disk_that_hangs_is_a_miss_and_the_object_stays() {
    let dir = temporary();
    let options = DiskOptions { dir: dir.path().to_owned(), budget: 1 << 20, write_queue: 1 << 20 };
    let disk = Disk::open_with(options, Duration::from_millis(500), PAUSES);
    settle(&disk);
    store(&disk, 1, b"", b"body");
    let hanging = disk.shared.reads.acquire_many(READS as u32).await.expect("open");
    assert!(disk.get(&key(1)).await.is_none());
    drop(hanging);
    assert_eq!((disk.counts().read_errors, disk.counts().misses), (1, 1));
    assert!(load(&disk, &key(1)).await.is_some());
}

/// Meaningful where `TMPDIR` is a small file system that can be filled, as `mount -t tmpfs -o size=8m`
/// makes one.
#[tokio::test]
#[ignore = "fills the file system of TMPDIR, which has to be a small one"]
async fn a_full_disk_degrades_the_tier_until_there_is_space() {
    let dir = temporary();
    let facts = rustix::fs::statvfs(dir.path()).expect("known");
    if facts.f_blocks * facts.f_frsize > 64 << 20 {
        return;
    }
    let ballast = dir.path().join("ballast");
    let disk = settled(&dir.path().join("cache"), 1 << 30);
    store(&disk, 1, b"", &noise(1, 500_000));
    let space = facts.f_bavail * facts.f_frsize;
    fs::write(&ballast, vec![1; space as usize - 1_500_000]).expect("room for ballast");
    for number in 2..9 {
        disk.store(key(number), Bytes::new(), vec![Bytes::from(noise(number.into(), 500_000))]);
    }
    until("a full disk is noticed", || disk.state() == DiskState::Degraded);
    assert!(load(&disk, &key(1)).await.is_some_and(|(_, body)| body == noise(1, 500_000)));
    assert!(disk.counts().dropped > 0);
    fs::remove_file(&ballast).expect("removed");
    until("it recovers", || disk.state() == DiskState::Ready);
    store(&disk, 9, b"", &noise(9, 500_000));
    assert!(load(&disk, &key(9)).await.is_some_and(|(_, body)| body == noise(9, 500_000)));
    assert!(!files(dir.path()).iter().any(|(path, _)| path.ends_with(files::TEMPORARY)));
}
