//! What a request is answered with, and how the cache came to it.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;

use crate::cache::{Entry, Head, ReadError};
use crate::failure::{Code, Failure};
use crate::headers::cache_status::{CacheStatus, Forward};
use crate::headers::freshness::age_on_arrival;
use crate::proxy::slices::{Progress, Reader};
use crate::proxy::upstream;
use crate::proxy::upstream::{Answer, Content};
use crate::telemetry::Outcome;

/// An answer before the client's own wishes (a range, a condition, HEAD) are looked at.
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) how: How,
    /// Where the time of the render went that this very request began.
    pub(super) timing: Option<String>,
    /// Why the upstream failed, if this very request asked it.
    pub(super) failure: Option<Failure>,
    /// Headers for this client alone, RFC 9111 sections 5.2.2.4 and 5.2.2.7.
    pub(super) private: HeaderMap,
    /// Followed by a run of slices that has begun for this very request.
    pub(super) progress: Option<Progress>,
}

/// Where head and bytes come from.
pub(super) enum Source {
    /// The cache, or a fill on its way there.
    Stored(Arc<Entry>),
    /// The cache, in slices that are fetched as they are wanted.
    Sliced(Arc<Entry>, Box<Reader>),
    /// The upstream, for this client alone.
    Passing(Passing),
}

/// An answer that is passed on as it comes.
pub(super) struct Passing {
    head: Head,
    /// Whole seconds that it was old when it came.
    age: u64,
    content: Content,
    /// Bytes that have been taken from it.
    position: u64,
    /// What was taken and not yet wanted.
    left: Bytes,
}

/// How the cache took part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Stored and fresh.
    Hit,
    /// Stored and stale.
    Stale,
    /// Asked for, and now stored; the upstream's status.
    Miss { status: u16 },
    /// Stored but stale, and good enough while the upstream fails, as its status says.
    StandIn { status: u16 },
    /// Stored but stale, and replaced by what the upstream answered.
    Replaced { status: u16 },
    /// Stored, and good again: the upstream said 304.
    Revalidated,
    /// Brought by another request's flight.
    Collapsed,
    /// Stored in slices, and the first that was wanted had to be asked for.
    Partial,
    /// Asked for, and not to be stored.
    Passed { status: u16 },
}

impl Found {
    pub(super) fn new(source: Source, how: How) -> Self {
        Self { source, how, timing: None, failure: None, private: HeaderMap::new(), progress: None }
    }

    /// How the cache took part, once the first bytes are here.
    pub(super) fn how(&self) -> How {
        match (&self.source, self.how) {
            (Source::Sliced(_, reader), How::Hit) if reader.has_fetched() => How::Partial,
            (_, how) => how,
        }
    }

    /// With what the upstream told along with it.
    pub(super) fn told(source: Source, how: How, answer: Answer) -> Self {
        let Answer { timing, failure, private, .. } = answer;
        Self { source, how, timing, failure, private, progress: None }
    }

    /// An answer for one client.
    pub(super) fn passing(answer: Answer, how: How) -> Self {
        let (rest, content) = answer.split();
        let age = age_on_arrival(&rest.head.headers, SystemTime::now()).into();
        let passing = Passing { head: rest.head, age, content, position: 0, left: Bytes::new() };
        let Answer { timing, failure, private, .. } = rest;
        Self { source: Source::Passing(passing), how, timing, failure, private, progress: None }
    }

    /// The task that should have brought it is gone, which only a bug can cause.
    pub(super) fn lost() -> Self {
        let failure = Failure::hidden(Code::Internal, "the fetch ended without an answer");
        let (head, status) = (upstream::failed(&failure), failure.code.status());
        let body = Content::Whole(failure.body().into());
        let answer = Answer { failure: Some(failure), ..Answer::new(head, body) };
        Self::passing(answer, How::Passed { status })
    }
}

impl Source {
    pub(super) fn head(&self) -> &Head {
        match self {
            Self::Stored(entry) | Self::Sliced(entry, _) => &entry.head,
            Self::Passing(passing) => &passing.head,
        }
    }

    /// Whole seconds since the origin made it; `None` for what has been made just now.
    pub(super) fn age(&self, how: How, now: SystemTime) -> Option<u64> {
        let is_new = matches!(how, How::Miss { .. } | How::Replaced { .. });
        let age = match self {
            Self::Stored(entry) | Self::Sliced(entry, _) => entry.freshness.age(now),
            Self::Passing(passing) => passing.age,
        };
        let is_stored = !matches!(self, Self::Passing(_)) && !is_new;
        (is_stored || age > 0).then_some(age)
    }

    /// Whole seconds for which it is fresh.
    pub(super) fn ttl(&self, now: SystemTime) -> Option<i64> {
        match self {
            Self::Stored(entry) | Self::Sliced(entry, _) => Some(entry.freshness.ttl(now)),
            Self::Passing(_) => None,
        }
    }

    /// The next bytes from `position` on, not beyond `end`. Positions only ever rise.
    ///
    /// # Errors
    /// [`ReadError`] if they will not come.
    pub(super) async fn read(&mut self, position: u64, end: u64) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::Stored(entry) => entry.body.read(position, end).await,
            Self::Sliced(_, reader) => reader.read(position, end).await,
            Self::Passing(passing) => passing.read(position, end).await,
        }
    }
}

impl Passing {
    async fn read(&mut self, position: u64, end: u64) -> Result<Option<Bytes>, ReadError> {
        if position >= end {
            return Ok(None);
        }
        loop {
            if self.left.is_empty() {
                match self.content.next().await {
                    Some(piece) => self.left = piece.map_err(ReadError::Origin)?,
                    None => return Ok(None),
                }
            }
            let has = self.left.len() as u64;
            let skipped = position.saturating_sub(self.position).min(has);
            let wanted = end.saturating_sub(self.position.max(position)).min(has - skipped);
            let mut piece = self.left.split_to(index(skipped + wanted));
            self.position += skipped + wanted;
            if wanted > 0 {
                return Ok(Some(piece.split_off(index(skipped))));
            }
        }
    }
}

/// Never more than the length of a `Bytes`, so that it fits.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl How {
    /// The same for metrics and log.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Hit => Outcome::Hit,
            Self::Stale | Self::StandIn { .. } => Outcome::Stale,
            Self::Miss { .. } | Self::Replaced { .. } | Self::Partial | Self::Passed { .. } => Outcome::Miss,
            Self::Revalidated => Outcome::Revalidated,
            Self::Collapsed => Outcome::Collapsed,
        }
    }

    /// The same for the client, RFC 9211.
    pub(super) fn status(self, ttl: Option<i64>) -> CacheStatus {
        let status = match self {
            Self::Hit | Self::Stale => CacheStatus::hit(),
            Self::Miss { status } => CacheStatus::forwarded(Forward::Miss).status(status).stored(),
            Self::StandIn { status } => CacheStatus::forwarded(Forward::Stale).status(status),
            Self::Replaced { status } => CacheStatus::forwarded(Forward::Stale).status(status).stored(),
            Self::Revalidated => CacheStatus::forwarded(Forward::Stale).status(304),
            Self::Collapsed => CacheStatus::forwarded(Forward::Miss).collapsed(),
            Self::Partial => CacheStatus::forwarded(Forward::Partial).status(206).stored(),
            Self::Passed { status } => CacheStatus::forwarded(Forward::Miss).status(status),
        };
        match ttl {
            Some(seconds) => status.ttl(seconds),
            None => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    fn passing(pieces: &[Vec<u8>]) -> Passing {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let head = Head { status: 200, headers: HeaderMap::new() };
        let content = Content::Stream(Box::pin(stream::iter(pieces)));
        Passing { head, age: 0, content, position: 0, left: Bytes::new() }
    }

    proptest! {
        #[test]
        fn rising_parts_of_a_passing_answer_are_the_bytes_asked_for(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..9),
            cuts in prop::collection::vec(0_u64..80, 4),
        ) {
            let whole = pieces.concat();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut passing = passing(&pieces);
            for part in [cuts[0]..cuts[1], cuts[2]..cuts[3]] {
                let mut read = Vec::new();
                let mut position = part.start;
                while let Some(Ok(Some(piece))) = futures::FutureExt::now_or_never(passing.read(position, part.end)) {
                    position += piece.len() as u64;
                    read.extend_from_slice(&piece);
                }
                let at = |at: u64| (at as usize).min(whole.len());
                prop_assert_eq!(&read, &whole[at(part.start)..at(part.end)]);
            }
        }
    }
}
