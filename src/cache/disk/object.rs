//! One stored object, opened: what is handed out of it has been verified.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use thiserror::Error;
use tokio::sync::AcquireError;
use tokio::task::JoinError;

use crate::cache::disk::Shared;
use crate::cache::disk::format::{self, BLOCK_BYTES, Flaw, ObjectHead};
use crate::cache::disk::index::Place;
use crate::cache::disk::queue::Job;
use crate::cache::key::Key;

/// Most bytes of one read. Files up to this size are read whole when they are opened.
const READ_BYTES: u64 = 256 * 1024;

/// Of a larger file, this much is read first: enough for the head of most.
const FRONT_BYTES: u64 = 8 * 1024;

/// Never `CREAT`; `NONBLOCK` because opening a pipe would wait for its writer.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A stored object. It keeps its file open, so it can be read to its end whatever becomes of the name.
pub struct DiskObject {
    shared: Arc<Shared>,
    place: Place,
    opened: Arc<Opened>,
}

/// Why bytes of an object cannot be had. Unless the disk is merely slow, it will not be found again.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not what was written.
    #[error("the object is damaged: {0}")]
    Corrupt(#[from] Flaw),
    /// The disk, or the system, failed.
    #[error("the object cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The disk did not answer in time. The object is kept: this says nothing about it.
    #[error("the disk did not answer in time")]
    Slow,
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<JoinError> for ReadError {
    fn from(error: JoinError) -> Self {
        Self::Io(error.into())
    }
}

impl From<AcquireError> for ReadError {
    fn from(error: AcquireError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

impl DiskObject {
    pub(super) async fn open(shared: &Arc<Shared>, key: Key, place: Place) -> Result<Self, ReadError> {
        let theirs = Arc::clone(shared);
        let work = move || Opened::open(&theirs, &key, place.file_bytes);
        let opened = off_thread(shared, shared.patience, work).await?;
        Ok(Self { shared: Arc::clone(shared), place, opened: Arc::new(opened) })
    }

    /// What was stored beside the body, or put there since.
    pub fn meta(&self) -> &Bytes {
        self.opened.head.meta()
    }

    /// Length of the body.
    #[expect(clippy::len_without_is_empty, reason = "an empty body is nothing special")]
    pub fn len(&self) -> u64 {
        self.opened.head.body_bytes()
    }

    /// The next bytes from `position`: at most 256 KiB, and none from `end` on. Empty if there are none.
    ///
    /// # Errors
    /// If the disk fails or the bytes are not those that were stored; the object is then forgotten.
    pub async fn read(&self, position: u64, end: u64) -> Result<Bytes, ReadError> {
        let end = end.min(self.len());
        if position >= end {
            return Ok(Bytes::new());
        }
        if let Some(body) = &self.opened.body {
            return Ok(body.slice(position as usize..end as usize));
        }
        let opened = Arc::clone(&self.opened);
        // A lookup can still be a miss; who has begun to answer had better wait longer.
        let patience = self.shared.patience * 10;
        let outcome = off_thread(&self.shared, patience, move || opened.read(position, end)).await;
        if let Err(error) = &outcome {
            self.shared.give_up(self.opened.head.key(), self.place, error);
        }
        outcome
    }

    /// Has the metadata of this very object replaced, once the writer gets to it. Nothing happens if it
    /// is no longer the one that its key has: other bytes never get this metadata.
    pub fn refresh(&self, meta: Bytes) {
        let key = *self.opened.head.key();
        self.shared.offer(Job::Refresh { key, serial: self.place.serial, meta });
    }
}

struct Opened {
    file: File,
    head: ObjectHead,
    /// All of it, if it is small.
    body: Option<Bytes>,
}

impl Opened {
    fn open(shared: &Shared, key: &Key, file_bytes: u64) -> Result<Self, ReadError> {
        let path = format::path(&shared.root, key, file_bytes);
        let file = File::from(rustix::fs::open(path, READ, Mode::empty())?);
        let (head, front) = match read_head(&file, file_bytes) {
            // New metadata may be on its way into the file just now.
            Err(ReadError::Corrupt(_)) => {
                let _nobody_writes = shared.rewriting();
                read_head(&file, file_bytes)?
            }
            outcome => outcome?,
        };
        if head.key() != key {
            return Err(Flaw::Key.into());
        }
        let body = (front.len() as u64 == file_bytes).then(|| front.slice(head.body_at() as usize..));
        if body.as_ref().is_some_and(|body| !head.verifies(0, body)) {
            return Err(Flaw::Checksum.into());
        }
        Ok(Self { file, head, body })
    }

    fn read(&self, position: u64, end: u64) -> Result<Bytes, ReadError> {
        let first = position / BLOCK_BYTES;
        let from = first * BLOCK_BYTES;
        let to = end.next_multiple_of(BLOCK_BYTES).min(from + READ_BYTES).min(self.head.body_bytes());
        let blocks = read_at(&self.file, self.head.body_at() + from, to - from)?;
        if !self.head.verifies(first as usize, &blocks) {
            return Err(Flaw::Checksum.into());
        }
        let wanted = (position - from) as usize..(end.min(to) - from) as usize;
        Ok(Bytes::from(blocks).slice(wanted))
    }
}

/// The head of a file that should be of this length, and what was read with it.
pub(super) fn read_head(file: &File, file_bytes: u64) -> Result<(ObjectHead, Bytes), ReadError> {
    if file.metadata()?.len() != file_bytes {
        return Err(Flaw::Lengths.into());
    }
    let ahead = if file_bytes <= READ_BYTES { file_bytes } else { FRONT_BYTES };
    let mut front = read_at(file, 0, ahead)?;
    let needed = ObjectHead::needs(&front, file_bytes)?;
    if needed > front.len() {
        front = read_at(file, 0, needed as u64)?;
    }
    let head = ObjectHead::decode(&front, file_bytes)?;
    Ok((head, Bytes::from(front)))
}

/// Whether a file has this body, byte for byte.
pub(super) fn has_body(file: &File, head: &ObjectHead, body: &[Bytes]) -> bool {
    let mut at = head.body_at();
    let mut pieces = body.iter().flat_map(|piece| piece.chunks(READ_BYTES as usize));
    pieces.all(|piece| {
        let from = at;
        at += piece.len() as u64;
        read_at(file, from, piece.len() as u64).is_ok_and(|there| there == piece)
    })
}

/// Exactly these bytes of a file.
fn read_at(file: &File, from: u64, length: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(length as usize);
    while (bytes.len() as u64) < length {
        let at = from + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            // Shorter than its name says.
            Ok(0) => return Err(Flaw::Short.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// Runs blocking work where it stops nobody. Their number is bounded, so that a disk that hangs cannot
/// take all threads; a caller that goes away leaves its place only when the work is done.
async fn off_thread<T: Send + 'static>(
    shared: &Shared,
    patience: Duration,
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let outcome = async {
        let permit = Arc::clone(&shared.reads).acquire_owned().await?;
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await?
    };
    tokio::time::timeout(patience, outcome).await.unwrap_or(Err(ReadError::Slow))
}
