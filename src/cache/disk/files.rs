//! What is done to the directory. Only the writer does it, and only one process at a time.
//!
//! Files that carry no name of ours are left alone. Nothing waits for the medium (no fsync): a file that
//! a power cut tears is found by its checksums.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use thiserror::Error;

use crate::cache::disk::format;
use crate::cache::key::Key;

/// The name of a file that is being written; one in each directory is enough for one writer.
pub(super) const TEMPORARY: &str = "kinora-writing";

/// Held while a process writes here.
const LOCK: &str = "kinora-lock";

const LINK: i32 = OFlags::NOFOLLOW.bits() as i32;

/// Why the directory cannot be used.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("another process uses the directory")]
    InUse,
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Fault {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Whether there is merely no space: then the files are still what they were.
    pub(super) fn is_full(&self) -> bool {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }
}

/// The directory.
pub(super) struct Files {
    root: PathBuf,
    lock: Option<File>,
}

impl Files {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, lock: None }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the directory, takes its lock, and proves that `probe` bytes can be written.
    pub(super) fn prepare(&mut self, probe: usize) -> Result<(), Fault> {
        // A lock of our own would be in the way as well.
        self.lock = None;
        make_directory(&self.root)?;
        self.lock = Some(take_lock(&self.root.join(LOCK))?);
        let temporary = self.root.join(TEMPORARY);
        remove(&temporary)?;
        let outcome = create(&temporary).and_then(|mut file| file.write_all(&vec![0; probe]));
        remove(&temporary)?;
        outcome.map_err(Fault::io(&temporary))
    }

    /// Lets another process in.
    pub(super) fn unlock(&mut self) {
        self.lock = None;
    }

    /// Makes the file of an object, as one step: until `fill` has written all of it, it has no name.
    pub(super) fn write(
        &self,
        key: &Key,
        file_bytes: u64,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let path = format::path(&self.root, key, file_bytes);
        let directory = format::directory(&self.root, key.0[0]);
        let temporary = directory.join(TEMPORARY);
        let created = match create(&temporary) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_directory(&directory)?;
                create(&temporary)
            }
            outcome => outcome,
        };
        let written = created
            .and_then(|mut file| fill(&mut file))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(Fault::io(&path));
        if written.is_err() {
            // What stays behind is removed when the directory is prepared again.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Opens the file of an object for new metadata. `None` if it is gone.
    pub(super) fn open(&self, key: &Key, file_bytes: u64) -> Result<Option<File>, Fault> {
        let path = format::path(&self.root, key, file_bytes);
        match OpenOptions::new().read(true).write(true).custom_flags(LINK).open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::io(&path)(error)),
        }
    }

    /// Writes the beginning of an opened file anew.
    pub(super) fn rewrite(&self, file: &File, front: &[u8]) -> Result<(), Fault> {
        file.write_all_at(front, 0).map_err(Fault::io(&self.root))
    }

    /// Deletes the file of an object; one that is gone already is fine.
    pub(super) fn delete(&self, key: &Key, file_bytes: u64) -> Result<(), Fault> {
        remove(&format::path(&self.root, key, file_bytes))
    }
}

/// Deletes a file; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Fault::io(path)(error)),
        _ => Ok(()),
    }
}

fn make_directory(path: &Path) -> Result<(), Fault> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Fault::io(path))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn take_lock(path: &Path) -> Result<File, Fault> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(LINK);
    let file = options.open(path).map_err(Fault::io(path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Fault::InUse),
        // Some file systems know no locks: there the operator has to see to it.
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
            Err(Fault::io(path)(error))
        }
        _ => Ok(file),
    }
}
