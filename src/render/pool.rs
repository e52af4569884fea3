//! The threads that do image work, and who may use them: a bounded queue, a budget of memory.
//!
//! A render first takes a [`Ticket`]: beyond `slots + queue` of them it is refused at once. Then it
//! waits for its share of memory, and only then may it hold source bytes. Work that nobody waits for
//! any longer is dropped before it starts; work that has started runs to its end, and its memory
//! stays booked until then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::transform::Scratch;

/// Memory is booked in units of this many bytes: a semaphore counts no higher than `u32`.
const UNIT: u64 = 64 * 1024;

/// Nice value of the threads: hits are served first whatever the load of misses
/// (at 0 the 99th percentile of hits grows sevenfold, at 19 not at all).
const NICENESS: i32 = 19;

/// A bounded pool of threads of its own, never the I/O threads.
pub struct Pool {
    shared: Arc<Shared>,
    memory: Arc<Semaphore>,
    memory_units: u32,
    tickets: Arc<AtomicUsize>,
    most_tickets: usize,
}

/// The right to be rendered: given back when dropped.
pub struct Ticket {
    tickets: Arc<AtomicUsize>,
}

/// Booked memory: given back when dropped.
pub struct Booking {
    _permit: OwnedSemaphorePermit,
}

/// The pool takes no more work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `slots + queue` renders are already here.
    #[error("the render queue is full")]
    QueueFull,
    /// The work alone needs more than the whole budget.
    #[error("{needed} bytes are needed, the budget is {budget}")]
    TooMuchMemory {
        /// Estimate of the plan.
        needed: u64,
        /// `render.memory`.
        budget: u64,
    },
}

/// The work ended without a result: it panicked, or the pool is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work was lost")]
pub struct Lost;

type Job = Box<dyn FnOnce(&mut Scratch) + Send>;

struct Shared {
    jobs: Mutex<Jobs>,
    wake: Condvar,
    running: AtomicUsize,
    started: Instant,
    /// Milliseconds after `started` at which work last ended, or began after a pause.
    moved: AtomicU64,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Shared {
    /// A panicking job cannot leave the queue half changed, so a poisoned lock is as good as new.
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_move(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }
}

impl Pool {
    /// Starts `slots` threads. At most `queue` further renders may wait, and all together may book
    /// `memory` bytes.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(slots: usize, queue: usize, memory: u64) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            wake: Condvar::new(),
            running: AtomicUsize::new(0),
            started: Instant::now(),
            moved: AtomicU64::new(0),
        });
        for slot in 0..slots {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("render-{slot}")).spawn(move || work(&shared))?;
        }
        let memory_units =
            units(memory).min(Semaphore::MAX_PERMITS as u64 / 2).min(u64::from(u32::MAX)) as u32;
        Ok(Self {
            shared,
            memory: Arc::new(Semaphore::new(memory_units as usize)),
            memory_units,
            tickets: Arc::default(),
            most_tickets: slots + queue,
        })
    }

    /// Takes a ticket, or refuses at once.
    ///
    /// # Errors
    /// [`Refused::QueueFull`].
    pub fn enter(&self) -> Result<Ticket, Refused> {
        let entered = self
            .tickets
            .try_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < self.most_tickets).then_some(n + 1));
        match entered {
            Ok(before) => {
                if before == 0 {
                    self.shared.note_move();
                }
                Ok(Ticket { tickets: Arc::clone(&self.tickets) })
            }
            Err(_) => Err(Refused::QueueFull),
        }
    }

    /// Waits, first come first served, until `bytes` are free within the budget.
    ///
    /// # Errors
    /// [`Refused::TooMuchMemory`] if they never will be.
    pub async fn book(&self, bytes: u64) -> Result<Booking, Refused> {
        let needed = units(bytes);
        let refused = Refused::TooMuchMemory { needed: bytes, budget: u64::from(self.memory_units) * UNIT };
        let wanted = u32::try_from(needed).ok().filter(|&units| units <= self.memory_units).ok_or(refused)?;
        // The semaphore is never closed, so the only failure cannot happen; it is refused all the same.
        let permit = Arc::clone(&self.memory).acquire_many_owned(wanted).await.map_err(|_| refused)?;
        Ok(Booking { _permit: permit })
    }

    /// Runs `work` on a thread of the pool and waits for its result. Dropping the future cancels
    /// work that has not started.
    ///
    /// # Errors
    /// [`Lost`] if the work panicked.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: FnOnce(&mut Scratch) -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let still_wanted = Arc::clone(&wanted.0);
        let job: Job = Box::new(move |scratch| {
            if still_wanted.load(Ordering::Acquire) {
                // A receiver that has left in the meantime needs no result.
                let _ = sender.send(work(scratch));
            }
        });
        self.shared.jobs().waiting.push_back(job);
        self.shared.wake.notify_one();
        receiver.await.map_err(|_| Lost)
    }

    /// Renders that have a ticket, waiting or running.
    pub fn in_flight(&self) -> usize {
        self.tickets.load(Ordering::Relaxed)
    }

    /// Renders that run right now.
    pub fn running(&self) -> usize {
        self.shared.running.load(Ordering::Relaxed)
    }

    /// How long renders have been waiting without any of them ending; zero when there are none.
    pub fn stalled_for(&self) -> Duration {
        match self.in_flight() {
            0 => Duration::ZERO,
            _ => {
                let moved = Duration::from_millis(self.shared.moved.load(Ordering::Relaxed));
                self.shared.started.elapsed().saturating_sub(moved)
            }
        }
    }

    /// Bytes that are booked right now.
    pub fn booked_bytes(&self) -> u64 {
        (self.memory_units as usize).saturating_sub(self.memory.available_permits()) as u64 * UNIT
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.jobs().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Turns false when the future that waits for a job is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT)
}

/// The life of one thread.
fn work(shared: &Shared) {
    // On Linux this concerns the calling thread alone. Where it is not allowed, the pool still works.
    if rustix::process::setpriority_process(None, NICENESS).is_err() {
        tracing::warn!("render threads run at normal priority: lowering it was refused");
    }
    let mut scratch = Scratch::default();
    while let Some(job) = next_job(shared) {
        shared.running.fetch_add(1, Ordering::Relaxed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut scratch)));
        shared.running.fetch_sub(1, Ordering::Relaxed);
        shared.note_move();
        if outcome.is_err() {
            // The panic itself has been logged by the hook. Its buffers may be in any state.
            scratch = Scratch::default();
        }
    }
}

fn next_job(shared: &Shared) -> Option<Job> {
    let mut jobs = shared.jobs();
    loop {
        if let Some(job) = jobs.waiting.pop_front() {
            return Some(job);
        }
        if jobs.closed {
            return None;
        }
        jobs = shared.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_beyond_slots_and_queue_and_takes_again_after() {
        let pool = Pool::new(1, 1, 1 << 20).expect("threads");
        let first = pool.enter().expect("a slot is free");
        let _second = pool.enter().expect("the queue is empty");
        assert_eq!(pool.enter().err(), Some(Refused::QueueFull), "one slot and one place are taken");
        drop(first);
        assert!(pool.enter().is_ok(), "a ticket given back can be taken again");
    }

    #[tokio::test]
    async fn books_memory_in_order_and_never_beyond_the_budget() {
        let pool = Pool::new(1, 8, 4 * UNIT).expect("threads");
        assert!(matches!(pool.book(5 * UNIT).await, Err(Refused::TooMuchMemory { .. })), "can never fit");
        let three = pool.book(3 * UNIT).await.expect("fits");
        assert_eq!(pool.booked_bytes(), 3 * UNIT);
        let mut two = Box::pin(pool.book(2 * UNIT));
        assert!(futures::poll!(&mut two).is_pending(), "only one unit is left");
        drop(three);
        assert!(futures::poll!(&mut two).is_ready(), "now there is room");
    }

    #[tokio::test]
    async fn cancelled_work_never_starts() {
        let pool = Pool::new(1, 8, UNIT).expect("threads");
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let mut blocker = Box::pin(pool.run(move |_| gate.recv().is_ok()));
        assert!(futures::poll!(&mut blocker).is_pending(), "the only thread is busy");
        let started = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&started);
        let mut cancelled = Box::pin(pool.run(move |_| flag.store(true, Ordering::SeqCst)));
        assert!(futures::poll!(&mut cancelled).is_pending());
        drop(cancelled);
        release.send(()).expect("the thread waits");
        assert!(blocker.await.expect("the blocker ends"));
        pool.run(|_| ()).await.expect("work behind the cancelled one runs");
        assert!(!started.load(Ordering::SeqCst), "nobody waited for it");
    }

    #[tokio::test]
    async fn a_panic_is_lost_work_and_the_thread_lives_on() {
        let pool = Pool::new(1, 8, UNIT).expect("threads");
        assert_eq!(pool.run(|_| std::panic::panic_any("boom")).await, Err(Lost));
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn threads_run_at_the_lowest_priority() {
        let pool = Pool::new(1, 8, UNIT).expect("threads");
        let nice = pool.run(|_| rustix::process::nice(0)).await.expect("runs").expect("readable");
        assert_eq!(nice, NICENESS);
        let own = rustix::process::nice(0).expect("readable");
        assert!(own < NICENESS, "other threads keep their priority");
    }
}
