//! Bytes go from a source into a draft: received, hashed and written at the same time.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::origin;
use crate::origin::{Bucket, Draft};
use crate::upload::Error;
use crate::upload::digests::Digests;
use crate::upload::hold::Hold;
use crate::upload::source::Source;

/// How far an upload is: the draft in the bucket, and the checksums of what it has.
pub(super) struct Progress {
    pub(super) draft: Draft,
    pub(super) digests: Digests,
}

/// Moves at most so many bytes. `false` when the source has no more. What arrived before an error has been
/// written and is in the checksums.
pub(super) async fn transfer(
    source: &mut Source,
    progress: &mut Progress,
    bucket: &dyn Bucket,
    hold: &Hold,
    most: u64,
) -> Result<bool, Error> {
    let (pieces, taken) = mpsc::channel(1);
    let feed = feed(source, &mut progress.digests, pieces, hold, most);
    let write = bucket.write(&mut progress.draft, Box::pin(ReceiverStream::new(taken)));
    let (fed, written) = tokio::join!(feed, write);
    written.map_err(Error::Bucket)?;
    fed
}

async fn feed(
    source: &mut Source,
    digests: &mut Digests,
    pieces: mpsc::Sender<Result<Bytes, origin::Error>>,
    hold: &Hold,
    most: u64,
) -> Result<bool, Error> {
    let mut left = most;
    while left > 0 {
        let Some(batch) = source.batch(left).await? else { return Ok(false) };
        if !hold.is_good() {
            return Err(Error::Lost);
        }
        left -= batch.len() as u64;
        let (hashed, mut state) = (batch.clone(), std::mem::take(digests));
        let hashing = tokio::task::spawn_blocking(move || {
            state.update(&hashed);
            state
        });
        let sent = pieces.send(Ok(batch)).await;
        *digests = hashing.await.map_err(|error| Error::Damaged(error.to_string()))?;
        if sent.is_err() {
            // Nobody writes any more; the writer knows why.
            return Ok(false);
        }
    }
    Ok(true)
}
