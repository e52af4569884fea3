//! A body that is still arriving: one writer, any number of readers.
//!
//! The writer belongs to no client, so nobody who reads slowly, or goes away, holds it up. Readers get
//! bytes as they arrive, may start anywhere, and wait for what is not there yet. A fill that fails
//! gives its readers an error: a short body never looks whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::cache::ReadError;
use crate::cache::segments::Segments;
use crate::origin::Error as OriginError;

/// The shared state of one fill.
#[derive(Debug)]
pub struct Fill {
    length: u64,
    /// Its place in the budget, until the last reader has let go of it.
    _place: Option<OwnedSemaphorePermit>,
    arrived: Mutex<Arrived>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Arrived {
    body: Segments,
    state: State,
}

#[derive(Debug)]
enum State {
    Arriving,
    Complete,
    /// With the reason, if it was told.
    Failed(Option<OriginError>),
}

/// The memory of all fills together.
#[derive(Debug, Clone)]
pub struct FillBudget(Arc<Semaphore>);

/// Permits are counted in 32 bits.
const PERMIT_BYTES: u64 = 4096;

impl FillBudget {
    /// Room for so many bytes.
    pub fn new(bytes: u64) -> Self {
        let permits = usize::try_from(bytes / PERMIT_BYTES).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))))
    }

    /// Begins a fill of `length` bytes, if there is room for it now. Nobody waits for room: those who read
    /// slowly hold it, and must not hold up others.
    pub fn begin(&self, length: u64) -> Option<Writer> {
        let permits = u32::try_from(length.div_ceil(PERMIT_BYTES)).ok()?;
        let place = Arc::clone(&self.0).try_acquire_many_owned(permits).ok()?;
        Some(Writer::begin_in(length, Some(place)))
    }
}

/// The one who writes. Dropping it before [`Writer::complete`] makes the fill fail.
#[derive(Debug)]
pub struct Writer(Arc<Fill>);

impl Writer {
    /// Begins a fill that will have `length` bytes.
    pub fn begin(length: u64) -> Self {
        Self::begin_in(length, None)
    }

    fn begin_in(length: u64, place: Option<OwnedSemaphorePermit>) -> Self {
        let arrived = Mutex::new(Arrived { body: Segments::default(), state: State::Arriving });
        let changed = watch::Sender::new(());
        Self(Arc::new(Fill { length, _place: place, arrived, changed }))
    }

    /// The fill, for readers.
    pub fn fill(&self) -> Arc<Fill> {
        Arc::clone(&self.0)
    }

    /// Adds bytes and wakes the readers. Those beyond the length that was announced make it fail.
    pub fn push(&self, bytes: Bytes) {
        {
            let mut arrived = self.0.arrived();
            arrived.body.push(bytes);
            if arrived.body.len() as u64 > self.0.length {
                arrived.state = State::Failed(None);
            }
        }
        self.0.changed.send_replace(());
    }

    /// Ends the fill with the reason that its readers get.
    pub fn fail(self, why: OriginError) {
        self.0.arrived().state = State::Failed(Some(why));
    }

    /// Ends the fill, and returns the body in memory of its own if every byte has come.
    pub fn complete(self) -> Option<Segments> {
        let mut arrived = self.0.arrived();
        if !matches!(arrived.state, State::Arriving) || arrived.body.len() as u64 != self.0.length {
            return None;
        }
        arrived.state = State::Complete;
        arrived.body = arrived.body.compact();
        Some(arrived.body.clone())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        {
            let mut arrived = self.0.arrived();
            if matches!(arrived.state, State::Arriving) {
                arrived.state = State::Failed(None);
            }
        }
        self.0.changed.send_replace(());
    }
}

impl Fill {
    /// Bytes in the end.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Nothing that holds this lock can panic midway.
    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next bytes from `position` on, not beyond `end`; waits for them. `None` at the end.
    ///
    /// # Errors
    /// If the fill has failed and the bytes will not come.
    pub async fn read(&self, position: u64, end: u64) -> Result<Option<Bytes>, ReadError> {
        if position >= end.min(self.length) {
            return Ok(None);
        }
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            {
                let arrived = self.arrived();
                // The last bytes of a failed fill are those that may be wrong, so none are handed out.
                if let State::Failed(why) = &arrived.state {
                    return Err(why.clone().map_or(ReadError::FillFailed, ReadError::Origin));
                }
                if let Some(piece) = arrived.body.piece(position, end) {
                    return Ok(Some(piece));
                }
                if matches!(arrived.state, State::Complete) {
                    return Ok(None);
                }
            }
            // The sender lives in `self`, so the channel cannot close while we wait.
            let _ = changed.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_wait_for_bytes_and_see_the_end() {
        let writer = Writer::begin(4);
        let fill = writer.fill();
        let mut reader = Box::pin(fill.read(2, u64::MAX));
        writer.push(Bytes::from_static(b"ab"));
        assert!(futures::poll!(&mut reader).is_pending(), "only two bytes have arrived");
        writer.push(Bytes::from_static(b"cd"));
        assert_eq!(reader.await.expect("bytes"), Some(Bytes::from_static(b"cd")));
        assert_eq!(writer.complete().map(|body| body.len()), Some(4));
        assert_eq!(fill.read(4, u64::MAX).await.expect("end"), None);
        assert_eq!(fill.read(1, 3).await.expect("range"), Some(Bytes::from_static(b"bc")));
    }

    #[tokio::test]
    async fn a_dropped_writer_is_an_error_for_every_reader() {
        let writer = Writer::begin(3);
        let fill = writer.fill();
        writer.push(Bytes::from_static(b"ab"));
        let mut waiting = Box::pin(fill.read(2, u64::MAX));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(writer);
        assert!(waiting.await.is_err(), "must not look like the end");
    }

    #[test]
    fn a_place_in_the_budget_is_free_when_the_last_reader_is_gone() {
        let budget = FillBudget::new(10 * PERMIT_BYTES);
        let first = budget.begin(9 * PERMIT_BYTES).expect("there is room");
        let reader = first.fill();
        assert!(budget.begin(2 * PERMIT_BYTES).is_none());
        assert!(budget.begin(1).is_some(), "what fits is let in");
        drop(first);
        assert!(budget.begin(2 * PERMIT_BYTES).is_none(), "it is still read");
        drop(reader);
        assert!(budget.begin(10 * PERMIT_BYTES).is_some());
    }

    #[tokio::test]
    async fn the_reason_of_a_failure_reaches_its_readers() {
        let writer = Writer::begin(3);
        let fill = writer.fill();
        let mut waiting = Box::pin(fill.read(0, 3));
        assert!(futures::poll!(&mut waiting).is_pending());
        writer.fail(OriginError::TimedOut("here"));
        for error in [waiting.await, fill.read(1, 2).await] {
            assert!(matches!(error, Err(ReadError::Origin(OriginError::TimedOut("here")))), "{error:?}");
        }
    }

    #[tokio::test]
    async fn too_few_and_too_many_bytes_are_failures() {
        for body in ["ab", "abcd"] {
            let writer = Writer::begin(3);
            let fill = writer.fill();
            writer.push(Bytes::from_static(body.as_bytes()));
            assert!(writer.complete().is_none(), "{body}");
            assert!(fill.read(0, 3).await.is_err(), "{body}");
        }
    }
}
