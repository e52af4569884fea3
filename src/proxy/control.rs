//! Requests for the control plane, handed on with their bodies in this process, and `PURGE`.

use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use http::{Method, Response, request};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::failure::{Code, Failure};
use crate::metadata::{PurgeMode, PurgeScope};
use crate::proxy::Edge;
use crate::proxy::context::Context;
use crate::proxy::respond;
use crate::request::{MediaRequest, split_target};

/// Whether a request is none for the delivery of media.
pub(super) fn is_meant(head: &RequestHeader) -> bool {
    is_purge(head) || head.uri.path().starts_with("/api/")
}

fn is_purge(head: &RequestHeader) -> bool {
    head.method.as_str() == "PURGE"
}

/// Hands a request on and its answer back.
///
/// # Errors
/// If the client is gone.
pub(super) async fn serve(edge: &Edge, session: &mut ServerSession, ctx: &mut Context) -> Result<()> {
    if is_purge(session.req_header()) {
        return match purge(edge, session).await {
            Ok(()) => send(session, Response::new(Bytes::new())).await,
            Err(failure) => {
                ctx.note(&failure);
                respond::refuse(edge, session, &failure, None).await
            }
        };
    }
    let (pieces, body) = mpsc::channel(1);
    let head: request::Parts = session.req_header().clone().into();
    let answer = edge.control.answer(head, ReceiverStream::new(body));
    let answer = while_sending(session, pieces, answer).await?;
    if let Some(failure) = answer.extensions().get::<Failure>() {
        ctx.note(failure);
    }
    send(session, answer).await
}

/// `PURGE /media/KEY`, as caches before ours have taught it: all that came from the object.
async fn purge(edge: &Edge, session: &ServerSession) -> Result<(), Failure> {
    let asking: Option<IpAddr> =
        session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    if !asking.is_some_and(|ip| edge.purge.allows(ip)) {
        return Err(Failure::new(Code::NotPermitted, "PURGE is not for this address"));
    }
    let target = String::from_utf8_lossy(session.req_header().raw_path());
    let request = MediaRequest::parse(&split_target(&target), &edge.rules)?;
    let scope = PurgeScope::Key(request.key.as_str().to_owned());
    edge.purger.purge(&[scope], PurgeMode::Gone).await?;
    Ok(())
}

/// Feeds the request's body to whoever answers, as fast as it is taken.
async fn while_sending(
    session: &mut ServerSession,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    answer: impl Future<Output = Response<Bytes>>,
) -> Result<Response<Bytes>> {
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
                    room.send(Err(io::Error::other(error.to_string())));
                    true
                }
            },
        };
        if is_over {
            pieces = None;
        }
    }
}

async fn send(session: &mut ServerSession, answer: Response<Bytes>) -> Result<()> {
    let (parts, body) = answer.into_parts();
    let mut head = ResponseHeader::build_no_case(parts.status, Some(parts.headers.len() + 1))?;
    for (name, value) in &parts.headers {
        head.append_header(name, value)?;
    }
    if session.req_header().method == Method::HEAD {
        return respond::head_only(session, head).await;
    }
    head.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    session.write_response_header(Box::new(head)).await?;
    session.write_response_body(body, true).await
}
