//! An answer that is still arriving: one writer, any number of readers.
//!
//! Readers get bytes as they arrive, may start anywhere, and wait for what is not there yet. A fill
//! that fails gives its readers an error: a short body never looks whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use tokio::sync::watch;

use crate::cache::body::Body;
use crate::cache::entry::Freshness;

/// The shared state of one fill.
pub(super) struct Fill {
    pub(super) freshness: Freshness,
    pub(super) header: ResponseHeader,
    arrived: Mutex<Arrived>,
    changed: watch::Sender<()>,
}

struct Arrived {
    body: Body,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Arriving,
    Complete,
    Failed,
}

impl Fill {
    pub(super) fn new(freshness: Freshness, header: ResponseHeader) -> Self {
        let arrived = Mutex::new(Arrived { body: Body::default(), state: State::Arriving });
        Self { freshness, header, arrived, changed: watch::Sender::new(()) }
    }

    /// Nothing that holds this lock can panic midway.
    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds bytes and wakes the readers.
    pub(super) fn push(&self, bytes: Bytes) {
        self.arrived().body.push(bytes);
        self.changed.send_replace(());
    }

    /// Ends the fill well, and returns the body in memory of its own.
    pub(super) fn complete(&self) -> Body {
        let body = {
            let mut arrived = self.arrived();
            arrived.body = arrived.body.compact();
            arrived.state = State::Complete;
            arrived.body.clone()
        };
        self.changed.send_replace(());
        body
    }

    /// Ends the fill badly, unless it is complete.
    pub(super) fn fail(&self) {
        {
            let mut arrived = self.arrived();
            if arrived.state == State::Arriving {
                arrived.state = State::Failed;
            }
        }
        self.changed.send_replace(());
    }

    /// The next bytes from `position` on, not beyond `end`; waits for them. `None` at the end.
    ///
    /// # Errors
    /// If the fill has failed and the bytes will not come.
    pub(super) async fn read(&self, position: usize, end: usize) -> Result<Option<Bytes>> {
        if position >= end {
            return Ok(None);
        }
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            {
                let arrived = self.arrived();
                if let Some(piece) = arrived.body.piece(position, end) {
                    return Ok(Some(piece));
                }
                match arrived.state {
                    State::Arriving => {}
                    State::Complete => return Ok(None),
                    State::Failed => {
                        return Error::e_explain(ErrorType::ReadError, "the fill of this answer failed");
                    }
                }
            }
            // The sender lives in `self`, so the channel cannot close while we wait.
            let _ = changed.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn fill() -> Arc<Fill> {
        let header = ResponseHeader::build_no_case(200, None).expect("a valid status");
        Arc::new(Fill::new(Freshness::none(), header))
    }

    #[tokio::test]
    async fn readers_wait_for_bytes_and_see_the_end() {
        let fill = fill();
        let mut reader = Box::pin(fill.read(2, usize::MAX));
        fill.push(Bytes::from_static(b"ab"));
        assert!(futures::poll!(&mut reader).is_pending(), "only two bytes have arrived");
        fill.push(Bytes::from_static(b"cd"));
        assert_eq!(reader.await.expect("bytes"), Some(Bytes::from_static(b"cd")));
        assert_eq!(fill.complete().len(), 4);
        assert_eq!(fill.read(4, usize::MAX).await.expect("end"), None);
        assert_eq!(fill.read(1, 3).await.expect("range"), Some(Bytes::from_static(b"bc")));
    }

    #[tokio::test]
    async fn a_failed_fill_is_an_error_for_every_reader_beyond_its_bytes() {
        let fill = fill();
        fill.push(Bytes::from_static(b"ab"));
        let mut waiting = Box::pin(fill.read(2, usize::MAX));
        assert!(futures::poll!(&mut waiting).is_pending());
        fill.fail();
        assert!(waiting.await.is_err(), "must not look like the end");
        assert!(fill.read(0, usize::MAX).await.is_ok(), "what has arrived may still be read");
    }
}
