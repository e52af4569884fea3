//! The right to work on uploads, kept as long as somebody works.
//!
//! A hold runs out unless it is put off, so one of a process that died is free again soon. Whoever cannot put
//! it off in time must assume that it is lost, and stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::metadata::{Catalog, Fence};

/// How long a hold is good.
pub(super) const HELD_FOR: Duration = Duration::from_secs(20);

/// How often it is put off.
const PUT_OFF_EVERY: Duration = Duration::from_secs(4);

/// So long before it ends nothing is begun any more: what is under way has this time to end.
const MARGIN: Duration = Duration::from_secs(5);

/// A hold on everything behind one fence; its end does not release it.
pub(super) struct Hold {
    pub(super) fence: Fence,
    began: Instant,
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

struct Shared {
    /// Milliseconds after `began`.
    good_until: std::sync::atomic::AtomicU64,
    is_lost: AtomicBool,
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The end of a hold that begins now, in Unix seconds.
pub(super) fn until() -> u64 {
    now() + HELD_FOR.as_secs()
}

impl Hold {
    /// Keeps what `fence` holds, or will hold, from now on.
    pub(super) fn keep(catalog: &Catalog, fence: Fence) -> Self {
        let (began, catalog) = (Instant::now(), catalog.clone());
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let shared = Arc::new(Shared {
            good_until: milliseconds(HELD_FOR - MARGIN).into(),
            is_lost: AtomicBool::new(false),
        });
        let (theirs, kept) = (Arc::clone(&shared), fence.clone());
        let keeper = tokio::spawn(async move {
            let mut ticks =
                tokio::time::interval_at(tokio::time::Instant::now() + PUT_OFF_EVERY, PUT_OFF_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let asked = began.elapsed();
                match catalog.keep_uploads(&kept, until()).await {
                    Ok(true) => {
                        theirs.good_until.store(milliseconds(asked + HELD_FOR - MARGIN), Ordering::Release);
                    }
                    Ok(false) => theirs.is_lost.store(true, Ordering::Release),
                    // It runs out by itself if this goes on.
                    Err(error) => tracing::debug!(%error, "a hold was not put off"),
                }
            }
        });
        Self { fence, began, shared, keeper }
    }

    /// Whether work may go on.
    pub(super) fn is_good(&self) -> bool {
        let good_until = Duration::from_millis(self.shared.good_until.load(Ordering::Acquire));
        !self.shared.is_lost.load(Ordering::Acquire) && self.began.elapsed() < good_until
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
