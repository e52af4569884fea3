//! A directory of this machine as bucket: an object is a regular file.
//!
//! No key reaches a file outside (see `beneath`), and none with a segment that begins with a dot
//! reaches a file at all: `.git`, `.env` and half-written files of other programs are no objects.
//! The entity tag is strong: it is made of the time of the last change to the nanosecond, the size
//! and the inode, so a file that is replaced or rewritten gets another one.

mod beneath;
mod draft;
mod list;

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use tokio::sync::Semaphore;

use crate::origin::{
    Answer, Ask, Body, Config, DirectoryConfig, Error, Object, ObjectInfo, ObjectKey, OpenError, Origin,
};

const PIECE: u64 = 64 * 1024;

/// A directory as bucket.
pub(super) struct Directory {
    root: Arc<Path>,
    disk: Disk,
}

impl Directory {
    /// The configured directory, which must exist, or the default one, which is made.
    pub(super) fn open(config: &Config, data_dir: &Path) -> Result<Self, OpenError> {
        let root = config.directory.root(data_dir);
        let unusable = |source| OpenError::Directory { path: root.display().to_string(), source };
        if config.directory.path.is_empty() {
            std::fs::create_dir_all(&root).map_err(unusable)?;
        }
        beneath::open_root(&root).map_err(|errno| unusable(errno.into()))?;
        let reads = config.directory.reads.clamp(1, DirectoryConfig::MAX_READS);
        let slots = Arc::new(Semaphore::new(reads));
        Ok(Self { root: root.into(), disk: Disk { slots, timeout: config.read_timeout } })
    }

    async fn find(&self, key: &ObjectKey) -> Result<Found, Error> {
        if is_hidden(key) {
            return Err(Error::NotFound(Box::default()));
        }
        let (root, key) = (self.root.clone(), key.clone());
        self.disk.access(move || Found::open(&root, key.as_str())).await
    }
}

#[async_trait]
impl Origin for Directory {
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, Error> {
        Ok(self.find(key).await?.info())
    }

    async fn get(&self, key: &ObjectKey, ask: &Ask) -> Result<Answer, Error> {
        let found = self.find(key).await?;
        let info = found.info();
        if ask.already_has(&info)? {
            return Ok(Answer::NotModified(info));
        }
        let length = found.stamp.size;
        let part = match ask.range {
            None => None,
            Some(range) => Some(range.within(length).ok_or(Error::RangeOutside { length })?),
        };
        let (from, end) = part.map_or((0, length), |(first, last)| (first, last + 1));
        let body = Reading { disk: self.disk.clone(), found: Arc::new(found), from, end }.into_body();
        Ok(Answer::Object(Object { info, part, body }))
    }

    async fn ready(&self) -> Result<(), Error> {
        let root = self.root.clone();
        self.disk.access(move || beneath::open_root(&root).map_err(system_error)).await?;
        Ok(())
    }
}

/// The one way to the disk: a bounded number of accesses, each off the async threads and in time.
#[derive(Clone)]
struct Disk {
    slots: Arc<Semaphore>,
    timeout: Duration,
}

impl Disk {
    async fn access<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = async {
            let slot = self.slots.clone().acquire_owned().await.map_err(std::io::Error::other)?;
            let worker = tokio::task::spawn_blocking(move || {
                // Kept until the work ends: a read that hangs goes on occupying a thread.
                let _slot = slot;
                work()
            });
            worker.await.map_err(std::io::Error::other)?
        };
        tokio::time::timeout(self.timeout, done).await.map_err(|_| Error::TimedOut("using the directory"))?
    }
}

/// An open file and what it was when it was opened.
struct Found {
    file: File,
    stamp: Stamp,
}

/// What tells one state of a file from the next.
#[derive(PartialEq, Eq)]
struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    size: u64,
    inode: u64,
}

impl Found {
    fn open(root: &Path, key: &str) -> Result<Self, Error> {
        let file = beneath::open(root, key).map_err(system_error)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::NotFound(Box::default()));
        }
        Ok(Self { file, stamp: Stamp::of(&metadata) })
    }

    fn info(&self) -> ObjectInfo {
        let Stamp { seconds, nanoseconds, size, inode } = self.stamp;
        ObjectInfo {
            length: Some(size),
            etag: Some(format!("\"{seconds:x}.{nanoseconds:x}-{size:x}-{inode:x}\"")),
            last_modified: self.stamp.http_time(),
            ..ObjectInfo::default()
        }
    }

    /// The bytes from `from` up to `end` or the size of a piece.
    fn read(&self, from: u64, end: u64) -> Result<Bytes, Error> {
        let wanted = (end - from).min(PIECE);
        let mut piece = Vec::with_capacity(wanted as usize);
        while (piece.len() as u64) < wanted {
            let at = from + piece.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut piece), at) {
                Ok(0) => return Err(Error::Changed),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(system_error(errno)),
            }
        }
        piece.truncate(wanted as usize);
        // Rewritten in place: the bytes are a mixture that must not pass for either state.
        if from + wanted == end && Stamp::of(&self.file.metadata()?) != self.stamp {
            return Err(Error::Changed);
        }
        Ok(piece.into())
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            size: metadata.size(),
            inode: metadata.ino(),
        }
    }

    /// The whole second, if an HTTP date can say it.
    fn http_time(&self) -> Option<SystemTime> {
        const YEAR_10000: u64 = 253_402_300_800;
        let seconds = u64::try_from(self.seconds).ok().filter(|seconds| *seconds < YEAR_10000)?;
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

/// How far a body has been read.
struct Reading {
    disk: Disk,
    found: Arc<Found>,
    from: u64,
    end: u64,
}

impl Reading {
    fn into_body(self) -> Body {
        Box::pin(stream::try_unfold(self, |mut reading| async move {
            if reading.from == reading.end {
                return Ok(None);
            }
            let (found, from, end) = (reading.found.clone(), reading.from, reading.end);
            let piece = reading.disk.access(move || found.read(from, end)).await?;
            reading.from += piece.len() as u64;
            Ok(Some((piece, reading)))
        }))
    }
}

/// Whether no key like this is ever delivered.
fn is_hidden(key: &ObjectKey) -> bool {
    key.as_str().split('/').any(|segment| segment.starts_with('.'))
}

/// What is no object (nothing there, a link that leads out, a pipe, a name too long) is not found.
fn system_error(errno: Errno) -> Error {
    match errno {
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::ISDIR
        | Errno::XDEV
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::NODEV => Error::NotFound(Box::default()),
        Errno::ACCESS | Errno::PERM => Error::Refused("no permission for the file".to_owned()),
        other => std::io::Error::from(other).into(),
    }
}
