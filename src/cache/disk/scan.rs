//! Builds the index from the names of the files, without opening or even asking about any of them.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cache::disk::files::{self, Fault, TEMPORARY};
use crate::cache::disk::format;
use crate::cache::disk::index::Index;
use crate::cache::key::Key;

/// Directories are read side by side: while one thread waits for the disk, the other counts.
const THREADS: usize = 2;

/// Adds all objects below `root` to `index`; half-written files are removed.
///
/// # Errors
/// If a directory cannot be read: what is in it would not be counted.
pub(super) fn scan(root: &Path, index: Index) -> Result<Index, Fault> {
    let index = Mutex::new(index);
    let next = AtomicU16::new(0);
    let work = || -> Result<(), Fault> {
        while let Ok(first) = u8::try_from(next.fetch_add(1, Ordering::Relaxed)) {
            let found = read(root, first)?;
            let twins = adopt(&mut index.lock().unwrap_or_else(PoisonError::into_inner), found);
            for (key, file_bytes) in twins {
                files::remove(&format::path(root, &key, file_bytes))?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
        // A thread that panicked has found nothing that could be relied on.
        let lost = || Fault::io(root)(io::Error::other("the scan broke off"));
        others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|_| Err(lost())))
            .fold(work(), |outcome, other| outcome.and(other))
    })?;
    Ok(index.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Adds what was found in one directory. Of two files of one key nobody knows which is the newer: both
/// are given back, to be removed.
fn adopt(index: &mut Index, found: Vec<(Key, u64)>) -> Vec<(Key, u64)> {
    let mut twins = Vec::new();
    for (key, file_bytes) in found {
        if let Some(other) = index.file(&key) {
            twins.extend([(key, other.file_bytes), (key, file_bytes)]);
        } else {
            index.adopt(key, file_bytes);
        }
    }
    twins.iter().for_each(|(key, _)| index.remove(key));
    twins
}

fn read(root: &Path, first: u8) -> Result<Vec<(Key, u64)>, Fault> {
    let directory = format::directory(root, first);
    let mut found = Vec::new();
    let mut walk = || -> io::Result<()> {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == OsStr::new(TEMPORARY) {
                fs::remove_file(entry.path())?;
            }
            found.extend(object(&entry, &name).filter(|(key, _)| key.0[0] == first));
        }
        Ok(())
    };
    match walk() {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Fault::io(&directory)(error)),
        _ => Ok(found),
    }
}

fn object(entry: &DirEntry, name: &OsStr) -> Option<(Key, u64)> {
    // The type is known from reading the directory.
    let object = format::read_name(name.to_str()?)?;
    entry.file_type().is_ok_and(|kind| kind.is_file()).then_some(object)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, Instant};

    use super::*;

    const OBJECTS: u32 = 1_000_000;

    /// Memory of this process that is really there.
    fn resident_bytes() -> u64 {
        let facts = fs::read_to_string("/proc/self/status").expect("Linux");
        let line = facts.lines().find(|line| line.starts_with("VmRSS:")).expect("a line of it");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib * 1024
    }

    #[test]
    #[ignore = "makes a million files"]
    fn a_million_objects_are_known_within_three_seconds_and_200_bytes_each() {
        let dir = tempfile::tempdir().expect("a directory");
        (0..=255).for_each(|first| fs::create_dir(format::directory(dir.path(), first)).expect("made"));
        for number in 0..OBJECTS {
            let mut key = Key([0; 16]);
            // Odd, so that numbers are spread and none comes twice.
            key.0[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
            key.0[4..8].copy_from_slice(&number.to_le_bytes());
            let path = format::path(dir.path(), &key, 20_000 + u64::from(number));
            File::create_new(path).expect("made");
        }
        let (start, before) = (Instant::now(), resident_bytes());
        let index = scan(dir.path(), Index::new(u64::MAX)).expect("readable");
        let (time, bytes) = (start.elapsed(), (resident_bytes() - before) / u64::from(OBJECTS));
        println!("{} objects in {time:?}, {bytes} bytes each", index.objects());
        assert_eq!(index.objects(), OBJECTS as usize);
        assert!(time < Duration::from_secs(3) && bytes <= 200);
    }
}
