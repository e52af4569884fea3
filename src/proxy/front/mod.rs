//! The connection before Pingora's parser sees it: how many there are, and how long and how large the
//! head of a request may be. Pingora itself limits neither the time nor, below 1 MB, the size.
//!
//! A plain request for what is at hand ends here, as a [`Hit`]; every other one goes the full way, with
//! the bytes that have been read.

mod head;
mod hit;
mod written;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Shutdown, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use crate::failure::{Code, Failure, PROBLEM_TYPE};
use crate::proxy::Edge;
use crate::telemetry::{Metrics, Outcome};

use hit::Hit;

pub use head::{Plain, Reading, read_head};

/// RFC 9113 section 3.4.
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// After a refusal, for what the client is still sending.
const LINGER: Duration = Duration::from_secs(1);

/// The first piece of a head; most fit into it.
const FIRST_READ_BYTES: usize = 4096;

thread_local! {
    /// What arrives first is read into this, whatever its connection: so none needs memory of its own
    /// while nothing arrives.
    static FIRST_READ: RefCell<[u8; FIRST_READ_BYTES]> = const { RefCell::new([0; FIRST_READ_BYTES]) };
}

/// What one client and all together may take.
#[derive(Debug, Clone, Copy)]
pub struct FrontLimits {
    /// Connections open at once; more are closed at once.
    pub max_connections: usize,
    /// Bytes of a request's line and headers.
    pub max_head_bytes: usize,
    /// From the first byte of a head to its last, and before the first byte of a connection.
    pub head_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Requests of one connection.
    pub requests_per_connection: Option<u32>,
}

/// The server application that owns each connection and hands whole heads on.
pub struct Front {
    /// What answers whole heads.
    pub edge: Arc<Edge>,
    /// Limits.
    pub limits: FrontLimits,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Connections open right now.
    pub connections: Arc<AtomicUsize>,
}

/// What a connection begins with.
enum Opening {
    Http1,
    Http2,
    /// The beginning of a preface, and no more in time.
    Late,
    /// Nothing.
    Gone,
}

/// What became of waiting for a head.
enum Head {
    /// The head, and the answer to it if that is at hand.
    Whole(BytesMut, Option<Hit>),
    Refused(Failure),
    Gone,
}

#[async_trait]
impl ServerApp for Front {
    /// Serves in a task of its own: the one that Pingora has made for the connection has room for a
    /// handshake of TLS, which is more than all the rest of an idle connection together.
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let open = Open::count(Arc::clone(self))?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move { open.0.serve(stream, &shutdown).await });
        None
    }
}

impl Front {
    async fn serve(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        match self.opening(&mut stream).await {
            Opening::Http1 => {}
            Opening::Http2 => {
                self.edge.process_new(stream, shutdown).await;
                return;
            }
            Opening::Late => return self.refuse(stream, &late()).await,
            Opening::Gone => return,
        }
        let mut watch = shutdown.clone();
        let mut stop = pin!(async move { drop(watch.wait_for(|stop| *stop).await) });
        let mut idle = pin!(sleep(self.limits.idle_timeout));
        let mut reuses = self.limits.requests_per_connection;
        loop {
            let Some(begun) = self.first_bytes(&mut stream, stop.as_mut(), idle.as_mut()).await else {
                return;
            };
            reuses = reuses.map(|reuses| reuses.saturating_sub(1));
            let stays = reuses != Some(0) && !*shutdown.borrow();
            let (head, hit) = match self.read_head(&mut stream, begun, stays).await {
                Head::Whole(head, hit) => (head, hit),
                Head::Refused(failure) => return self.refuse(stream, &failure).await,
                Head::Gone => return,
            };
            if let Some(hit) = hit {
                if hit.send(&self.edge, &mut stream).await && stays {
                    continue;
                }
                return Shutdown::shutdown(&mut *stream).await;
            }
            let mut session = ServerSession::new_http1(stream);
            session.set_keepalive(Some(self.limits.idle_timeout.as_secs().max(1)));
            session.set_keepalive_reuses_remaining(reuses);
            session.set_pipelined_prefix(head);
            let Some(reused) = self.edge.process_new_http(session, shutdown).await else { return };
            (stream, _) = reused.consume();
        }
    }

    /// By ALPN on TLS, by the preface without. A peek waits for every byte that it asks for, and there
    /// are whole requests shorter than the preface: so one more at a time, for as long as they match.
    async fn opening(&self, stream: &mut Stream) -> Opening {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return Opening::Http2;
        }
        if stream.get_ssl_digest().is_some() {
            return Opening::Http1;
        }
        let deadline = Instant::now() + self.limits.head_timeout;
        let mut preface = [0; H2_PREFACE.len()];
        for length in 1..=H2_PREFACE.len() {
            let (seen, expected) = (&mut preface[..length], &H2_PREFACE[..length]);
            match timeout_at(deadline, stream.try_peek(seen)).await {
                Ok(Ok(true)) if seen == expected => {}
                Ok(Ok(true)) => return Opening::Http1,
                // What a peek has read is lost when it is broken off, so nothing may be read after it.
                Err(_) if length > 1 => return Opening::Late,
                Ok(_) | Err(_) => return Opening::Gone,
            }
        }
        Opening::Http2
    }

    /// What begins the next request; `None` when there will be none.
    async fn first_bytes(
        &self,
        stream: &mut Stream,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        mut idle: Pin<&mut Sleep>,
    ) -> Option<BytesMut> {
        let until = Instant::now() + self.limits.idle_timeout;
        loop {
            tokio::select! {
                biased;
                first = first_read(stream) => return first.ok().filter(|first| !first.is_empty()),
                () = stop.as_mut() => return None,
                // It was set for an earlier request: to set it for each costs more than to be woken once.
                () = idle.as_mut() => match Instant::now() < until {
                    true => idle.as_mut().reset(until),
                    false => return None,
                },
            }
        }
    }

    async fn read_head(&self, stream: &mut Stream, mut head: BytesMut, stays: bool) -> Head {
        let make = |asked: &Plain<'_, '_>| Hit::find(&self.edge, asked, stays);
        let rest = async {
            loop {
                match read_head(&head, make) {
                    Ok(Reading::Whole(hit)) => return Head::Whole(head, hit),
                    Ok(Reading::Partial) if head.len() >= self.limits.max_head_bytes => {
                        return Head::Refused(Failure::new(
                            Code::HeadTooLarge,
                            "the request's head is too large",
                        ));
                    }
                    Ok(Reading::Partial) => {}
                    Err(failure) => return Head::Refused(failure),
                }
                head.reserve(FIRST_READ_BYTES);
                match stream.read_buf(&mut head).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Head::Gone,
                }
            }
        };
        timeout(self.limits.head_timeout, rest).await.unwrap_or_else(|_| Head::Refused(late()))
    }

    async fn refuse(&self, mut stream: Stream, failure: &Failure) {
        let body = failure.body();
        let (status, code) = (failure.code.status(), failure.code.as_str());
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {PROBLEM_TYPE}\r\nContent-Length: {}\r\nKinora-Error: {code}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            failure.code.title(),
            body.len(),
        );
        let blame = failure.code.blame().as_str();
        self.metrics.answered(Outcome::None, status, Duration::ZERO, body.len() as u64);
        self.metrics.failed(code, blame);
        tracing::info!(status, code, blame, cause = failure.cause, "request");
        let answer = [head.as_bytes(), &body].concat();
        // Whoever sends such heads may well be gone.
        let _ = timeout(LINGER, async {
            stream.write_all(&answer).await?;
            AsyncWriteExt::shutdown(&mut stream).await?;
            // RFC 9112 section 9.6: closing on unread bytes is a reset, which may destroy the answer.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        })
        .await;
    }
}

/// What has arrived, as soon as something has; nothing at the end.
async fn first_read(stream: &mut Stream) -> io::Result<BytesMut> {
    poll_fn(|context| {
        FIRST_READ.with_borrow_mut(|room| {
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
            Poll::Ready(Ok(BytesMut::from(read.filled())))
        })
    })
    .await
}

fn late() -> Failure {
    Failure::new(Code::HeadTimeout, "the request's head took too long")
}

/// One open connection among those allowed.
struct Open(Arc<Front>);

impl Open {
    fn count(front: Arc<Front>) -> Option<Self> {
        let before = front.connections.fetch_add(1, Ordering::AcqRel);
        front.metrics.connections.inc();
        let is_allowed = before < front.limits.max_connections;
        let open = Self(front);
        is_allowed.then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
        self.0.metrics.connections.dec();
    }
}
