//! Requests for the control plane: handed on with their bodies, in this process.

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::Bytestream;
use crate::failure::{Code, Failure};
use crate::proxy::Edge;
use crate::proxy::context::Context;
use crate::proxy::respond;

/// Whether a request is for the control plane.
pub(super) fn is_meant(head: &RequestHeader) -> bool {
    head.uri.path().starts_with("/api/")
}

/// Hands a request on and its answer back.
///
/// # Errors
/// If the client is gone, or the answer breaks off.
pub(super) async fn serve(edge: &Edge, session: &mut ServerSession, ctx: &mut Context) -> Result<()> {
    let (pieces, body) = mpsc::channel(1);
    let request = request(session.req_header(), Box::pin(ReceiverStream::new(body)));
    let Ok(request) = request else {
        let failure = Failure::new(Code::BadRequest, "the request cannot be read");
        ctx.note(&failure);
        return respond::refuse(edge, session, &failure, None).await;
    };
    let answer = edge.control_plane.answer(request);
    let answer = while_sending(session, pieces, answer).await?;
    if let Some(failure) = answer.extensions().get::<Failure>() {
        ctx.note(failure);
    }
    send(session, answer).await
}

fn request(head: &RequestHeader, body: Bytestream) -> http::Result<Request<Bytestream>> {
    let mut request = Request::builder().method(head.method.clone()).uri(head.uri.clone()).body(body)?;
    *request.headers_mut() = head.headers.clone();
    Ok(request)
}

/// Feeds the request's body to whoever answers, as fast as it is taken.
async fn while_sending(
    session: &mut ServerSession,
    pieces: mpsc::Sender<std::io::Result<Bytes>>,
    answer: impl Future<Output = Response<Bytestream>>,
) -> Result<Response<Bytestream>> {
    let mut answer = std::pin::pin!(answer);
    let mut pieces = Some(pieces);
    loop {
        // Room first: a piece is only read when it can be handed on at once.
        let room = async {
            match &pieces {
                Some(pieces) => pieces.reserve().await.ok(),
                None => std::future::pending().await,
            }
        };
        let next = async {
            match room.await {
                Some(room) => Some((room, session.read_request_body().await)),
                None => None,
            }
        };
        let is_over = tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer),
            next = next => match next {
                Some((room, Ok(Some(piece)))) => {
                    room.send(Ok(piece));
                    false
                }
                Some((_, Ok(None))) | None => true,
                Some((room, Err(error))) => {
                    room.send(Err(std::io::Error::other(error.to_string())));
                    true
                }
            },
        };
        if is_over {
            pieces = None;
        }
    }
}

async fn send(session: &mut ServerSession, answer: Response<Bytestream>) -> Result<()> {
    let (parts, mut body) = answer.into_parts();
    let mut head = ResponseHeader::build_no_case(parts.status, Some(parts.headers.len() + 1))?;
    for (name, value) in &parts.headers {
        head.append_header(name, value)?;
    }
    respond::write_head(session, head).await?;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Error::explain(ErrorType::ReadError, error.to_string()))?;
        session.write_response_body(piece, false).await?;
    }
    session.write_response_body(Bytes::new(), true).await
}
