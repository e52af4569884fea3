//! Heads of answers as they were last written. Within a second, equal requests are answered with equal
//! heads, so that what is asked for most need not be written again.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::cache::{Entry, Key};

/// Heads that one thread remembers: a stored answer asked for more often than once a second gains by it,
/// and there are not many such.
const SLOTS: usize = 256;

thread_local! {
    static WRITTEN: RefCell<Vec<Option<Written>>> = const { RefCell::new(Vec::new()) };
}

/// All that the head of an answer depends on, but for what never changes while the process lives.
pub(super) struct Situation<'a> {
    pub(super) entry: &'a Arc<Entry>,
    /// The request's target as sent.
    pub(super) target: &'a str,
    /// The version of the asset, if the request names one.
    pub(super) of_asset: u64,
    /// Age, life left, and the present, in whole seconds.
    pub(super) age: (u64, i64, u64),
    /// Whether the connection stays.
    pub(super) stays: bool,
}

struct Written {
    /// Weak, so that it keeps no body in memory; as long as it is here, its address is nobody else's.
    entry: Weak<Entry>,
    target: Box<str>,
    of_asset: u64,
    age: (u64, i64, u64),
    stays: bool,
    head: Bytes,
}

/// The head for this situation: as it was written last, or by `write`.
pub(super) fn head(
    key: &Key,
    situation: &Situation<'_>,
    write: impl FnOnce() -> Option<Bytes>,
) -> Option<Bytes> {
    let place = usize::from(key.0[15]) % SLOTS;
    WRITTEN.with_borrow_mut(|slots| {
        slots.resize_with(SLOTS, || None);
        let slot = slots.get_mut(place)?;
        if let Some(written) = slot.as_ref().filter(|written| written.is_for(situation)) {
            return Some(written.head.clone());
        }
        let head = write()?;
        *slot = Some(Written {
            entry: Arc::downgrade(situation.entry),
            target: situation.target.into(),
            of_asset: situation.of_asset,
            age: situation.age,
            stays: situation.stays,
            head: head.clone(),
        });
        Some(head)
    })
}

impl Written {
    fn is_for(&self, situation: &Situation<'_>) -> bool {
        self.entry.as_ptr() == Arc::as_ptr(situation.entry)
            && (self.age, self.stays, self.of_asset) == (situation.age, situation.stays, situation.of_asset)
            && *self.target == *situation.target
    }
}
