//! The bytes of a file while they arrive.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::origin::Body;
use crate::upload::Error;

/// What is written and hashed at once: enough that it costs little, little enough that many can be under way.
const BATCH_BYTES: usize = 1 << 20;

/// A body with a limit. What came before it broke off is handed out first.
pub(super) struct Source {
    body: Body,
    ready: BytesMut,
    came: u64,
    limit: u64,
    end: Option<Result<(), Error>>,
}

impl Source {
    /// Of these bytes, at most `limit`.
    pub(super) fn new(body: Body, limit: u64) -> Self {
        Self { body, ready: BytesMut::new(), came: 0, limit, end: None }
    }

    /// The same with another body, before any byte was taken.
    pub(super) fn map_body(self, change: impl FnOnce(Body) -> Body) -> Self {
        Self { body: change(self.body), ..self }
    }

    /// The first bytes, so many unless there are fewer; they come again.
    pub(super) async fn head(&mut self, length: usize) -> Result<&[u8], Error> {
        self.gather(length).await;
        match self.end.take_if(|end| end.is_err()) {
            Some(Err(error)) => Err(error),
            _ => Ok(&self.ready[..self.ready.len().min(length)]),
        }
    }

    /// Whether all bytes have arrived, though perhaps not been handed out.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The next bytes, at most so many; `None` at the end.
    pub(super) async fn batch(&mut self, most: u64) -> Result<Option<Bytes>, Error> {
        let wanted = usize::try_from(most).unwrap_or(usize::MAX).min(BATCH_BYTES);
        self.gather(wanted).await;
        if !self.ready.is_empty() {
            let length = self.ready.len().min(wanted);
            return Ok(Some(self.ready.split_to(length).freeze()));
        }
        match self.end.replace(Ok(())) {
            Some(Err(error)) => Err(error),
            _ => Ok(None),
        }
    }

    async fn gather(&mut self, length: usize) {
        while self.ready.len() < length && self.end.is_none() {
            match self.body.next().await {
                Some(Ok(piece)) if self.came + piece.len() as u64 > self.limit => {
                    self.end = Some(Err(Error::TooLarge { limit: self.limit }));
                }
                Some(Ok(piece)) => {
                    self.came += piece.len() as u64;
                    self.ready.extend_from_slice(&piece);
                }
                Some(Err(error)) => self.end = Some(Err(Error::Source(error))),
                None => self.end = Some(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use crate::origin;

    use super::*;

    fn source(pieces: Vec<Result<Bytes, origin::Error>>, limit: u64) -> Source {
        Source::new(Box::pin(stream::iter(pieces)), limit)
    }

    #[tokio::test]
    async fn what_came_before_the_end_is_handed_out() {
        let piece = || Ok(Bytes::from_static(b"12345"));
        let mut whole = source(vec![piece(), piece(), piece()], 15);
        assert_eq!(whole.head(7).await.expect("a head"), b"1234512");
        assert!(!whole.has_ended());
        assert_eq!(whole.batch(3).await.expect("bytes").as_deref(), Some(&b"123"[..]));
        assert_eq!(whole.batch(99).await.expect("bytes").as_deref(), Some(&b"451234512345"[..]));
        assert!(whole.batch(99).await.expect("the end").is_none() && whole.has_ended());
        assert_eq!(whole.head(9).await.expect("nothing"), b"");

        let mut broken = source(vec![piece(), Err(origin::Error::Interrupted)], 15);
        assert_eq!(broken.batch(99).await.expect("bytes").as_deref(), Some(&b"12345"[..]));
        assert!(matches!(broken.batch(99).await, Err(Error::Source(origin::Error::Interrupted))));
        let mut broken = source(vec![piece(), Err(origin::Error::Interrupted)], 15);
        assert!(matches!(broken.head(99).await, Err(Error::Source(_))), "no head is told of a broken body");

        let mut long = source(vec![piece(), piece()], 9);
        assert_eq!(long.batch(99).await.expect("bytes").as_deref(), Some(&b"12345"[..]));
        assert!(matches!(long.batch(99).await, Err(Error::TooLarge { limit: 9 })));
    }
}
