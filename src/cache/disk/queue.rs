//! What the writer has yet to do: bounded in bytes, and nobody waits to put something in.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::cache::key::Key;

/// What a job takes besides its bytes.
const JOB_OVERHEAD_BYTES: u64 = 256;

/// One change of the directory.
pub(super) enum Job {
    /// Write an object in the place of any older one.
    Store { key: Key, meta: Bytes, body: Vec<Bytes> },
    /// Give the file of this serial other metadata.
    Refresh { key: Key, serial: u32, meta: Bytes },
    /// Delete what there is of a key: with a serial, that file alone.
    Remove { key: Key, serial: Option<u32> },
}

impl Job {
    /// What it holds in memory until it is done.
    fn bytes(&self) -> u64 {
        let held = match self {
            Self::Store { meta, body, .. } => meta.len() + body.iter().map(Bytes::len).sum::<usize>(),
            Self::Refresh { meta, .. } => meta.len(),
            Self::Remove { .. } => 0,
        };
        held as u64 + JOB_OVERHEAD_BYTES
    }
}

/// Jobs in the order of their coming, for one worker.
pub(super) struct Queue {
    limit: u64,
    waiting: Mutex<Waiting>,
    /// Something has changed: a job came, the worker became idle or ended.
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: u64,
    /// The worker waits for a job.
    is_idle: bool,
    /// No more jobs are taken or done.
    is_closed: bool,
    /// The worker has left.
    has_ended: bool,
}

impl Queue {
    /// A queue for jobs of at most `limit` bytes, or for a single larger one.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, waiting: Mutex::default(), changed: Condvar::new() }
    }

    /// Nothing that holds this lock can panic midway.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job unless the queue is full; whether it did.
    pub(super) fn offer(&self, job: Job) -> bool {
        let waiting = self.waiting();
        let has_room = waiting.jobs.is_empty() || waiting.bytes + job.bytes() <= self.limit;
        if has_room && !waiting.is_closed {
            self.push(waiting, job);
            return true;
        }
        false
    }

    /// Takes a job that must not be lost; the caller bounds their number.
    pub(super) fn insist(&self, job: Job) {
        self.push(self.waiting(), job);
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, job: Job) {
        waiting.bytes += job.bytes();
        waiting.jobs.push_back(job);
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next job, as soon as there is one. `None` when the queue is closed.
    pub(super) fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting();
        loop {
            if waiting.is_closed {
                return None;
            }
            if let Some(job) = waiting.jobs.pop_front() {
                waiting.bytes -= job.bytes();
                waiting.is_idle = false;
                return Some(job);
            }
            if !std::mem::replace(&mut waiting.is_idle, true) {
                self.changed.notify_all();
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops all writes; how many, and what would have been stored: older objects of these keys, which
    /// nothing will replace now, are to be removed instead.
    pub(super) fn drop_writes(&self) -> (u64, Vec<Key>) {
        let mut waiting = self.waiting();
        let mut keys = Vec::new();
        let mut dropped = 0;
        for job in std::mem::take(&mut waiting.jobs) {
            dropped += u64::from(!matches!(job, Job::Remove { .. }));
            match job {
                Job::Remove { .. } => waiting.jobs.push_back(job),
                Job::Refresh { .. } => {}
                Job::Store { key, .. } => {
                    keys.push(key);
                    waiting.jobs.push_back(Job::Remove { key, serial: None });
                }
            }
        }
        waiting.bytes = waiting.jobs.iter().map(Job::bytes).sum();
        (dropped, keys)
    }

    /// Bytes of the jobs that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.waiting().bytes
    }

    /// Ends the worker after the job at hand, and waits for that at most `limit`.
    pub(super) fn close(&self, limit: Duration) {
        self.waiting().is_closed = true;
        self.changed.notify_all();
        self.wait(limit, |waiting| waiting.has_ended);
    }

    /// The worker's last word.
    pub(super) fn end(&self) {
        self.waiting().has_ended = true;
        self.changed.notify_all();
    }

    /// Waits for `pause`, or until the queue is closed; whether it is still open.
    pub(super) fn rest(&self, pause: Duration) -> bool {
        !self.wait(pause, |waiting| waiting.is_closed)
    }

    /// Waits until all is done and the worker idle, at most `limit`; whether it is.
    pub(super) fn settle(&self, limit: Duration) -> bool {
        self.wait(limit, |waiting| waiting.is_idle && waiting.jobs.is_empty())
    }

    fn wait(&self, limit: Duration, is_so: impl Fn(&Waiting) -> bool) -> bool {
        let start = Instant::now();
        let mut waiting = self.waiting();
        while !is_so(&waiting) {
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            let (guard, _) = self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
            waiting = guard;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(number: u8, bytes: usize) -> Job {
        Job::Store { key: Key([number; 16]), meta: Bytes::new(), body: vec![Bytes::from(vec![0; bytes])] }
    }

    fn remove(number: u8) -> Job {
        Job::Remove { key: Key([number; 16]), serial: None }
    }

    #[test]
    fn takes_up_to_its_limit_and_one_larger_job() {
        let queue = Queue::new(2000);
        assert!(queue.offer(store(1, 5000)), "an empty queue takes any job");
        assert!(!queue.offer(store(2, 1)), "a full one takes none");
        queue.insist(remove(2));
        assert!(matches!(queue.next(), Some(Job::Store { .. })));
        assert!(matches!(queue.next(), Some(Job::Remove { .. })));
        assert_eq!(queue.bytes(), 0);
        assert!(queue.offer(store(3, 700)) && queue.offer(store(4, 700)) && !queue.offer(store(5, 700)));
        assert_eq!(queue.drop_writes(), (2, vec![Key([3; 16]), Key([4; 16])]));
        assert!(matches!(queue.next(), Some(Job::Remove { key, .. }) if key == Key([3; 16])));
        assert!(matches!(queue.next(), Some(Job::Remove { key, .. }) if key == Key([4; 16])));
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn removals_outlive_dropped_writes_and_a_closed_queue_gives_nothing() {
        let queue = Queue::new(2000);
        queue.insist(remove(1));
        assert!(queue.offer(Job::Refresh { key: Key([2; 16]), serial: 7, meta: Bytes::new() }));
        assert_eq!(queue.drop_writes(), (1, Vec::new()));
        assert!(matches!(queue.next(), Some(Job::Remove { .. })));
        queue.insist(remove(1));
        queue.end();
        queue.close(Duration::ZERO);
        assert!(queue.next().is_none() && !queue.offer(store(3, 1)) && !queue.rest(Duration::MAX));
    }
}
