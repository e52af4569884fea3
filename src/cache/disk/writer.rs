//! The one thread that changes the directory: it scans, writes, evicts, and comes back after a fault.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::cache::disk::files::{Fault, Files};
use crate::cache::disk::format::ObjectHead;
use crate::cache::disk::index::{Place, Room, cost};
use crate::cache::disk::object::{has_body, read_head};
use crate::cache::disk::queue::Job;
use crate::cache::disk::scan::scan;
use crate::cache::disk::{DiskState, Shared};
use crate::cache::key::Key;

/// What is written to prove that a directory is usable; after a write that failed, as much as that had.
const PROBE_BYTES: usize = 4096;

const MAX_PROBE_BYTES: usize = 1 << 20;

/// How long the tier rests after a fault: ever longer while they follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The pause after a fault that ended a `healthy` time.
    fn after(&mut self, healthy: Duration) -> Duration {
        let pause = if healthy > self.longest { self.first } else { self.next };
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    files: Files,
    pauses: Pauses,
    probe_bytes: usize,
    /// Nobody knows what is in the directory.
    must_scan: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, pauses: Pauses) -> Self {
        let files = Files::new(shared.root.clone());
        Self { shared, files, pauses, probe_bytes: PROBE_BYTES, must_scan: true }
    }

    /// The life of the thread.
    pub(super) fn run(mut self) {
        loop {
            let begun = self.begin();
            let since = Instant::now();
            let is_ready = begun.is_ok();
            let Err(fault) = begun.and_then(|()| self.work()) else { break };
            let healthy = if is_ready { since.elapsed() } else { Duration::ZERO };
            self.shared.degrade(&fault);
            // Files may have come and gone while they could not be reached.
            self.must_scan |= !fault.is_full();
            let pause = match fault {
                // It may be the process whose place this one takes: soon it is gone.
                Fault::InUse => self.pauses.first,
                Fault::Io { .. } => self.pauses.after(healthy),
            };
            if !self.shared.queue.rest(pause) {
                break;
            }
        }
        self.files.unlock();
        self.shared.queue.end();
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.files.prepare(self.probe_bytes)?;
        if self.must_scan {
            let empty = self.shared.index().renewed();
            let found = scan(self.files.root(), empty)?;
            *self.shared.index() = found;
        }
        self.must_scan = false;
        self.probe_bytes = PROBE_BYTES;
        self.shared.turn(DiskState::Ready);
        self.make_room(0)
    }

    fn work(&mut self) -> Result<(), Fault> {
        while let Some(job) = self.shared.queue.next() {
            let (key, is_write, outcome) = match job {
                Job::Store { key, meta, body } => (key, true, self.store(key, meta, &body)),
                Job::Refresh { key, serial, meta } => (key, true, self.refresh(&key, serial, meta)),
                Job::Remove { key, serial } => (key, false, self.remove(&key, serial)),
            };
            if outcome.is_err() {
                self.shared.counters.dropped.add(u64::from(is_write));
                // Once the files can be reached again, what should have left must not come back.
                self.shared.queue.insist(Job::Remove { key, serial: None });
                return outcome;
            }
        }
        Ok(())
    }

    fn store(&mut self, key: Key, meta: Bytes, body: &[Bytes]) -> Result<(), Fault> {
        let Some(new) = ObjectHead::new(key, meta, body) else {
            self.drop_one();
            return self.remove(&key, None);
        };
        if let Some((file, old)) = self.existing(&key, None)?
            && old.resembles(&new)
            && has_body(&file, &old, body)
        {
            return self.renew(file, &old, new.meta().clone());
        }
        // An older object is wrong now, whatever comes of the new one.
        self.remove(&key, None)?;
        self.write(&new, |file| {
            file.write_all(&new.encode())?;
            body.iter().try_for_each(|piece| file.write_all(piece))
        })
    }

    fn refresh(&mut self, key: &Key, serial: u32, meta: Bytes) -> Result<(), Fault> {
        match self.existing(key, Some(serial))? {
            Some((file, old)) => self.renew(file, &old, meta),
            None => Ok(()),
        }
    }

    /// The file of a key, or only that of the serial, if it is as it should be.
    fn existing(&self, key: &Key, serial: Option<u32>) -> Result<Option<(File, ObjectHead)>, Fault> {
        let place = self.shared.index().visible(key);
        let is_meant = |place: &Place| serial.is_none_or(|serial| serial == place.serial);
        let Some(place) = place.filter(is_meant) else { return Ok(None) };
        let Some(file) = self.files.open(key, place.file_bytes)? else { return Ok(None) };
        match read_head(&file, place.file_bytes) {
            Ok((head, _)) => Ok(Some((file, head)).filter(|(_, head)| head.key() == key)),
            Err(error) => {
                self.shared.give_up(key, place, &error);
                Ok(None)
            }
        }
    }

    fn renew(&mut self, file: File, old: &ObjectHead, meta: Bytes) -> Result<(), Fault> {
        let Some(new) = old.with_meta(meta) else {
            self.drop_one();
            return self.remove(old.key(), None);
        };
        if new.body_at() == old.body_at() {
            let front = new.encode();
            let _readers_wait = self.shared.rewriting();
            return self.files.rewrite(&file, &front[..new.table_at()]);
        }
        self.move_body(file, old, &new)
    }

    fn drop_one(&self) {
        self.shared.counters.dropped.add(1);
    }

    /// Writes an object anew because its metadata has outgrown its place. The old file is read to its
    /// end although its name is gone; the checksums go along.
    fn move_body(&mut self, mut from: File, old: &ObjectHead, new: &ObjectHead) -> Result<(), Fault> {
        self.remove(old.key(), None)?;
        self.write(new, |file| {
            file.write_all(&new.encode())?;
            from.seek(SeekFrom::Start(old.body_at()))?;
            match io::copy(&mut from, file)? {
                copied if copied == new.body_bytes() => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    /// Makes room, then writes the file of a key that has none.
    fn write(
        &mut self,
        head: &ObjectHead,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let file_bytes = head.file_bytes();
        if cost(file_bytes) > self.shared.index().budget() {
            self.drop_one();
            return Ok(());
        }
        self.make_room(cost(file_bytes))?;
        self.files.write(head.key(), file_bytes, fill).inspect_err(|_| {
            self.probe_bytes = (file_bytes as usize).clamp(PROBE_BYTES, MAX_PROBE_BYTES);
        })?;
        self.shared.index().insert(*head.key(), file_bytes);
        self.shared.counters.writes.add(1);
        self.shared.counters.written_bytes.add(file_bytes);
        Ok(())
    }

    /// Evicts until `needed` more bytes fit. Files go before they leave the index, so that it never
    /// counts less than there is.
    fn make_room(&mut self, needed: u64) -> Result<(), Fault> {
        loop {
            let room = self.shared.index().room(needed);
            let (key, place) = match room {
                Room::Enough => return Ok(()),
                Room::Searching => continue,
                Room::Victim(key, place) => (key, place),
            };
            self.files.delete(&key, place.file_bytes)?;
            self.shared.index().evict(&key);
            self.shared.counters.evicted.add(1);
        }
    }

    /// Deletes the file of a key, or only that of the serial.
    fn remove(&mut self, key: &Key, serial: Option<u32>) -> Result<(), Fault> {
        let mut index = self.shared.index();
        let is_meant = |place: &Place| serial.is_none_or(|serial| serial == place.serial);
        let Some(place) = index.file(key).filter(is_meant) else { return Ok(()) };
        index.hide(key, None);
        drop(index);
        self.files.delete(key, place.file_bytes)?;
        self.shared.index().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_while_faults_follow_each_other() {
        let seconds = Duration::from_secs;
        let mut pauses = Pauses::new(seconds(1), seconds(60));
        let mut after = |healthy| pauses.after(seconds(healthy)).as_secs();
        assert_eq!([0; 8].map(&mut after), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!([59, 61, 3].map(after), [60, 1, 2], "a healthy minute ends the row");
    }
}
