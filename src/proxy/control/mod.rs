//! Requests for the control plane, handed on in this process, and `PURGE`.
//!
//! Neither a request's body nor an answer is ever held whole: both pass piece by piece, as fast as they
//! are taken. A body is not asked for before somebody wants it, and a refusal that comes while the client
//! is still sending reaches it all the same.

mod body;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, EXPECT};
use http::{Method, Version, request};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use crate::api::{Answer, Control, Peer};
use crate::failure::{Code, Failure};
use crate::metadata::{PurgeMode, PurgeScope};
use crate::proxy::Edge;
use crate::proxy::context::Context;
use crate::proxy::cors::Cors;
use crate::proxy::respond;
use crate::request::{MediaRequest, Route, Source, split_target};

/// What websites may send. Each path says by 405 what it does not take.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The rest of a body that is sooner read than a new connection made.
const SMALL_BYTES: u64 = 64 << 10;

/// Whether a request is none for the delivery of media.
pub(super) fn is_meant(head: &RequestHeader) -> bool {
    is_purge(head) || (head.uri.path().starts_with("/api/") && Route::of(head.uri.path()).is_none())
}

fn is_purge(head: &RequestHeader) -> bool {
    head.method.as_str() == "PURGE"
}

/// What a browser asks before it sends what a page has made: not what the path answers to `OPTIONS`.
fn is_preflight(head: &RequestHeader) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Hands a request on and its answer back.
///
/// # Errors
/// If the client is gone, or the rest of the answer does not come.
pub(super) async fn serve(edge: &Edge, session: &mut ServerSession, ctx: &mut Context) -> Result<()> {
    if is_purge(session.req_header()) {
        return match purge(edge, session).await {
            Ok(()) => {
                let mut head = ResponseHeader::build_no_case(200, None)?;
                head.insert_header(CONTENT_LENGTH, 0)?;
                respond::head_only(session, head).await
            }
            Err(failure) => {
                ctx.note(&failure);
                respond::refuse(edge, session, &failure, None).await
            }
        };
    }
    if is_preflight(session.req_header()) {
        return respond::preflight(session, &Cors::All, METHODS).await;
    }
    // What is done about a body that has not been read is decided here; Pingora would close for each.
    session.set_close_on_response_before_downstream_finish(false);
    let peer = Peer {
        address: client_address(session),
        is_tls: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
    };
    let answer = ask(&edge.control, session, peer, edge.client.read_timeout).await;
    if let Some(failure) = answer.extensions().get::<Failure>() {
        ctx.note(failure);
    }
    send(session, answer).await
}

/// `PURGE /media/KEY`, as caches before ours have taught it: all that came from the object, or the asset.
async fn purge(edge: &Edge, session: &ServerSession) -> Result<(), Failure> {
    if !client_address(session).is_some_and(|ip| edge.purge.allows(ip)) {
        return Err(Failure::new(Code::NotPermitted, "PURGE is not for this address"));
    }
    let target = String::from_utf8_lossy(session.req_header().raw_path());
    let request = MediaRequest::parse(&split_target(&target), &edge.rules)?;
    let scope = match &request.source {
        Source::Object(key) => PurgeScope::Key(key.as_str().to_owned()),
        Source::Asset(id) | Source::Conversion(id, _) => PurgeScope::Asset(id.to_string()),
    };
    edge.purger.purge(&[scope], PurgeMode::Gone).await?;
    Ok(())
}

fn client_address(session: &ServerSession) -> Option<IpAddr> {
    session.client_addr()?.as_inet().map(SocketAddr::ip)
}

/// The answer, while the request's body is fed to whoever makes it. A client may pause for so long.
async fn ask(control: &Control, session: &mut ServerSession, peer: Peer, pause: Duration) -> Answer {
    let (feed, body) = body::channel();
    let mut head: request::Parts = session.req_header().clone().into();
    head.extensions.insert(peer);
    let mut answer = std::pin::pin!(control.answer(head, body));
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        () = feed.run(session, pause) => {}
    }
    answer.await
}

async fn send(session: &mut ServerSession, answer: Answer) -> Result<()> {
    let (parts, mut body) = answer.into_parts();
    let mut head = ResponseHeader::build_no_case(parts.status, Some(parts.headers.len() + 4))?;
    for (name, value) in &parts.headers {
        head.append_header(name, value)?;
    }
    // Keys travel in headers that a page has to name, so any page may read what it was let in for; and a
    // refusal that it could not read would look to it like a dead network.
    Cors::All.apply(&session.req_header().headers, &mut head)?;
    let breaks_off = !session.is_body_done() && !leaves_little(session.req_header());
    if breaks_off {
        session.set_keepalive(None);
    }
    if matches!(parts.status.as_u16(), 204 | 304) {
        // RFC 9110 section 8.6.
        head.remove_header(&CONTENT_LENGTH);
        respond::head_only(session, head).await?;
    } else if session.req_header().method == Method::HEAD {
        respond::head_only(session, head).await?;
    } else {
        respond::write_head(session, head).await?;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| Error::because(ErrorType::ReadError, "an answer", error))?;
            session.write_response_body(piece, false).await?;
        }
        session.write_response_body(Bytes::new(), true).await?;
    }
    if breaks_off {
        linger(session).await;
    }
    Ok(())
}

/// Whether what has not been read of a body is read quickly, so that the connection can stay.
fn leaves_little(head: &RequestHeader) -> bool {
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // Who has asked whether to send may take the answer for a no, and keep its body.
    length.is_some_and(|length: u64| length <= SMALL_BYTES) && !expects_continue(head)
}

/// RFC 9110 section 10.1.1.
fn expects_continue(head: &RequestHeader) -> bool {
    let expected = head.headers.get(EXPECT);
    head.version == Version::HTTP_11
        && expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// RFC 9112 section 9.6: closing on unread bytes is a reset, which may destroy the answer on its way. So
/// what the client still sends is read for a while, until it has seen the answer and stops. A stream of
/// HTTP/2 needs none of this.
async fn linger(session: &mut ServerSession) {
    if session.as_http1().is_some() {
        session.shutdown().await;
        // It has its answer: how it ends is no matter of ours.
        let _ = session.drain_request_body().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::extract::Request;
    use axum::response::IntoResponse;
    use axum::routing::{any, get};
    use futures::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const ROOM: usize = 1 << 12;

    /// The client's side of a connection whose one request these routes answer.
    fn serve_one(routes: Router, pause: Duration) -> (DuplexStream, JoinHandle<Result<()>>) {
        let (client, stream) = tokio::io::duplex(ROOM);
        let control = Control::from(routes);
        let serving = async move {
            let mut session = ServerSession::new_http1(Box::new(stream));
            session.read_request().await?;
            let answer = ask(&control, &mut session, Peer::default(), pause).await;
            send(&mut session, answer).await
        };
        (client, tokio::spawn(serving))
    }

    /// What arrives until this text is in it.
    async fn read_until(client: &mut DuplexStream, text: &str) -> String {
        let mut read = String::new();
        while !read.contains(text) {
            let mut byte = [0];
            assert_eq!(client.read(&mut byte).await.expect("an open connection"), 1, "{read:?}");
            read.push(byte[0].into());
        }
        read
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_body_is_asked_for_when_it_is_wanted_and_read_as_it_is_taken() {
        let (go, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (asked, wanted) = (Arc::clone(&go), Arc::clone(&stop));
        let routes = Router::new().route(
            "/",
            any(async move |request: Request| {
                asked.notified().await;
                let mut body = request.into_body().into_data_stream();
                let first = body.next().await.expect("a piece").expect("whole");
                wanted.notified().await;
                let mut length = first.len();
                while let Some(piece) = body.next().await {
                    length += piece.expect("whole").len();
                }
                length.to_string()
            }),
        );
        let (mut client, serving) = serve_one(routes, LONG);
        let length = 1 << 20;
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n");
        client.write_all(head.as_bytes()).await.expect("taken");
        let early = tokio::time::timeout(Duration::from_millis(50), client.read_u8()).await;
        assert!(early.is_err(), "nobody has wanted it yet");
        go.notify_one();
        assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        let mut sent = 0;
        let quiet = Duration::from_millis(100);
        while let Ok(count) = tokio::time::timeout(quiet, client.write(&[b'a'; 1024])).await {
            sent += count.expect("an open connection");
        }
        assert!(sent < length / 4, "{sent} bytes are taken while the first piece is");
        stop.notify_one();
        client.write_all(&vec![b'a'; length - sent]).await.expect("taken");
        let answer = read_until(&mut client, &length.to_string()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serving.await.expect("no panic").expect("sent");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_pauses_for_too_long_is_not_whole() {
        let routes = || {
            let read = async |request: Request| {
                let mut pieces = request.into_body().into_data_stream();
                let mut told = Vec::new();
                while let Some(piece) = pieces.next().await {
                    told.push(if piece.is_ok() { "piece" } else { "broken" });
                }
                told.join(" ")
            };
            Router::new().route("/", any(read))
        };
        for framing in ["Content-Length: 20", "Transfer-Encoding: chunked"] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nabcde\r\n");
            let (mut client, serving) = serve_one(routes(), LONG);
            client.write_all(head.as_bytes()).await.expect("taken");
            client.shutdown().await.expect("the end");
            assert!(read_until(&mut client, "broken").await.contains("piece broken"), "{framing}");
            drop(client);
            let _ = serving.await.expect("no panic");

            let (mut client, serving) = serve_one(routes(), Duration::from_millis(20));
            client.write_all(head.as_bytes()).await.expect("taken");
            assert!(read_until(&mut client, "broken").await.contains("piece broken"), "{framing}");
            drop(client);
            let _ = serving.await.expect("no panic");
        }
    }

    #[tokio::test]
    async fn an_answer_arrives_as_it_is_made_and_is_never_short_without_a_sign() {
        let go = Arc::new(Notify::new());
        let asked = Arc::clone(&go);
        let pieces = get(async move |request: Request| {
            let breaks = request.uri().query().is_some();
            let second = async move {
                asked.notified().await;
                if breaks { Err(io::Error::other("lost")) } else { Ok("second") }
            };
            let pieces = stream::once(async { Ok("first") }).chain(stream::once(second));
            Body::from_stream(pieces).into_response()
        });
        let routes = Router::new().route("/", pieces);
        for (target, whole) in [("/", true), ("/?breaks", false)] {
            let (mut client, serving) = serve_one(routes.clone(), LONG);
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            client.write_all(head.as_bytes()).await.expect("taken");
            read_until(&mut client, "first").await;
            go.notify_one();
            let served = serving.await.expect("no panic");
            assert_eq!(served.is_ok(), whole, "{target}: {served:?}");
            let mut rest = String::new();
            client.read_to_string(&mut rest).await.expect("text");
            assert_eq!(rest.ends_with("second\r\n0\r\n\r\n"), whole, "{target}: {rest:?}");
        }
    }
}
