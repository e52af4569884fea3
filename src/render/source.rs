//! The bytes of a source: its head first, the rest only when there is memory for it.

use futures::StreamExt;

use crate::origin::{Answer, Ask, Body, Error as OriginError, ObjectInfo, ObjectKey, Origin};
use crate::render::error::Error;
use crate::transform;
use crate::transform::Probe;

/// A header that does not end within this is none: the largest real ones carry an ICC profile of a
/// printing press, 2 to 3 MiB.
const HEAD_LIMIT: usize = 4 << 20;

/// A source that is being read.
pub(super) struct Source {
    info: ObjectInfo,
    body: Body,
    bytes: Vec<u8>,
    ended: bool,
    limit: u64,
}

/// Asks the origin for a source of at most `limit` bytes.
pub(super) async fn open(
    origin: &dyn Origin,
    key: &ObjectKey,
    ask: &Ask,
    limit: u64,
) -> Result<Source, Error> {
    match origin.get(key, ask).await? {
        Answer::Object(object) if object.info.length.is_some_and(|length| length > limit) => {
            Err(Error::SourceTooLarge { limit })
        }
        Answer::Object(object) => {
            Ok(Source { info: object.info, body: object.body, bytes: Vec::new(), ended: false, limit })
        }
        // Nothing conditional was asked.
        Answer::NotModified(_) => Err(OriginError::BadAnswer("304 without a condition".to_owned()).into()),
    }
}

impl Source {
    /// Reads only as far as the header goes.
    pub(super) async fn probe(&mut self) -> Result<Probe, Error> {
        loop {
            self.read_more().await?;
            match transform::probe(&self.bytes, self.ended || self.bytes.len() > HEAD_LIMIT) {
                Err(transform::Error::NeedMore) if !self.ended && self.bytes.len() <= HEAD_LIMIT => {}
                result => return Ok(result?),
            }
        }
    }

    /// What the whole source will take in memory.
    pub(super) fn expected_bytes(&self) -> u64 {
        self.info.length.unwrap_or(self.limit)
    }

    /// Reads the rest.
    pub(super) async fn read_to_end(mut self) -> Result<(ObjectInfo, Vec<u8>), Error> {
        if let Some(length) = self.info.length {
            let missing = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(self.bytes.len());
            self.bytes.reserve_exact(missing);
        }
        while !self.ended {
            self.read_more().await?;
        }
        Ok((self.info, self.bytes))
    }

    async fn read_more(&mut self) -> Result<(), Error> {
        match self.body.next().await {
            Some(piece) => self.bytes.extend_from_slice(&piece?),
            None => self.ended = true,
        }
        match self.bytes.len() as u64 > self.limit {
            true => Err(Error::SourceTooLarge { limit: self.limit }),
            false => Ok(()),
        }
    }
}
