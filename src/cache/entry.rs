//! One stored answer: its head, how long it is good for, and where its body is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;

use crate::cache::ReadError;
use crate::cache::disk::DiskObject;
use crate::cache::fill::Fill;
use crate::cache::segments::Segments;
use crate::cache::selection::Selection;
use crate::metadata::Stamp;

/// Status and headers as they are kept: nothing in them belongs to one request alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// End-to-end headers.
    pub headers: HeaderMap,
}

/// When an answer was made, how long it is fresh, and how long it may be used after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// When the origin made it: the present less the age that it came with, RFC 9111 section 4.2.3.
    pub created: SystemTime,
    /// Fresh before this moment.
    pub fresh_until: SystemTime,
    /// RFC 5861 section 3.
    pub stale_while_revalidate: Duration,
    /// RFC 5861 section 4.
    pub stale_if_error: Duration,
}

/// What may be done with a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usability {
    /// Answer with it.
    Fresh,
    /// Answer with it, and fetch it anew meanwhile.
    StaleWhileRevalidate,
    /// Ask the origin first.
    Expired,
}

impl Freshness {
    /// Never fresh.
    pub fn none(now: SystemTime) -> Self {
        let never = Duration::ZERO;
        Self { created: now, fresh_until: now, stale_while_revalidate: never, stale_if_error: never }
    }

    /// Whole seconds since the origin made it, for `Age`.
    pub fn age(&self, now: SystemTime) -> u64 {
        now.duration_since(self.created).unwrap_or_default().as_secs()
    }

    /// Whole seconds for which it is still fresh; negative when it is stale.
    pub fn ttl(&self, now: SystemTime) -> i64 {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        match self.fresh_until.duration_since(now) {
            Ok(left) => seconds(left),
            Err(over) => -seconds(over.duration()),
        }
    }

    /// Whether it may be used without a question.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.fresh_until
    }

    /// What may be done with it now.
    pub fn usability(&self, now: SystemTime) -> Usability {
        match now.duration_since(self.fresh_until) {
            Err(_) => Usability::Fresh,
            Ok(over) if over < self.stale_while_revalidate => Usability::StaleWhileRevalidate,
            Ok(_) => Usability::Expired,
        }
    }

    /// Whether it may stand in for an answer that the origin could not give.
    pub fn stands_in_for_errors(&self, now: SystemTime) -> bool {
        now.duration_since(self.fresh_until).is_ok_and(|over| over < self.stale_if_error)
    }
}

/// A stored answer.
#[derive(Clone)]
pub struct Entry {
    /// Status and headers.
    pub head: Head,
    /// How long it is good for.
    pub freshness: Freshness,
    /// The newest purge when the fetch of it began: a later one that covers it counts.
    pub stamp: Stamp,
    /// `Cache-Tag`, for purges.
    pub tags: Box<[Box<str>]>,
    /// Which requests it is for.
    pub selection: Selection,
    /// Set after the origin has failed to give a new one: until then it is not asked again.
    pub held_until: Option<SystemTime>,
    /// The bytes.
    pub body: Body,
}

/// Where the bytes of an answer are.
#[derive(Clone)]
pub enum Body {
    /// In memory, whole.
    Memory(Segments),
    /// On the way here.
    Filling(Arc<Fill>),
    /// On the disk, whole.
    Disk(Arc<DiskObject>),
    /// In slices, each of which is an entry of its own.
    Sliced {
        /// Bytes of all slices.
        length: u64,
    },
}

impl Body {
    /// Bytes in all, those that are still to come included.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(segments) => segments.len() as u64,
            Self::Filling(fill) => fill.length(),
            Self::Disk(object) => object.len(),
            Self::Sliced { length } => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next bytes from `position` on, not beyond `end`; waits for them. `None` at the end, and for what
    /// is in slices.
    ///
    /// # Errors
    /// [`ReadError`] if they will not come.
    pub async fn read(&self, position: u64, end: u64) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::Memory(segments) => Ok(segments.piece(position, end)),
            Self::Filling(fill) => fill.read(position, end).await,
            Self::Disk(object) if position < end.min(object.len()) => {
                Ok(Some(object.read(position, end).await?))
            }
            Self::Disk(_) | Self::Sliced { .. } => Ok(None),
        }
    }
}
