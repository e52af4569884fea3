//! The body of a request on its way to whoever answers: asked for when it is wanted, read as fast as it
//! is taken, and never taken for whole when it is not.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, stream};
use pingora::protocols::http::ServerSession;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::proxy::control::expects_continue;

/// A piece, `None` at the end.
type Piece = io::Result<Option<Bytes>>;

/// The client's side.
pub(super) struct Feed {
    wanted: oneshot::Receiver<()>,
    pieces: mpsc::Sender<Piece>,
}

/// Both sides of a body.
pub(super) fn channel() -> (Feed, impl Stream<Item = io::Result<Bytes>> + Send + 'static) {
    let (want, wanted) = oneshot::channel();
    let (pieces, taken) = mpsc::channel(1);
    let body = async move {
        // Polled for the first time: nobody listens any more if the answer is there already.
        let _ = want.send(());
        stream::unfold(Some(taken), next)
    };
    (Feed { wanted, pieces }, body.flatten_stream())
}

/// The next piece; nothing follows an error.
async fn next(
    taken: Option<mpsc::Receiver<Piece>>,
) -> Option<(io::Result<Bytes>, Option<mpsc::Receiver<Piece>>)> {
    let mut taken = taken?;
    match taken.recv().await {
        Some(Ok(piece)) => piece.map(|piece| (Ok(piece), Some(taken))),
        Some(Err(error)) => Some((Err(error), None)),
        None => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
    }
}

impl Feed {
    /// Feeds until there is no more, or no more is wanted; a client may pause for so long.
    pub(super) async fn run(self, session: &mut ServerSession, pause: Duration) {
        if self.wanted.await.is_err() {
            return;
        }
        if expects_continue(session.req_header()) && !session.is_body_done() {
            // A client that has gone is noticed when its body is read.
            let _ = session.write_continue_response().await;
        }
        // Room first: a piece is only read when it can be handed on at once.
        while let Ok(room) = self.pieces.reserve().await {
            let piece = match timeout(pause, session.read_request_body()).await {
                Ok(read) => read.map_err(|error| io::Error::other(error.to_string())),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let is_over = !matches!(piece, Ok(Some(_)));
            room.send(piece);
            if is_over {
                return;
            }
        }
    }
}
