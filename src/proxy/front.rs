//! The connection before Pingora's parser sees it: how many there are, and how long and how large the
//! head of a request may be. Pingora itself limits neither the time nor, below 1 MB, the size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::failure::{Code, Failure, PROBLEM_TYPE};
use crate::proxy::Edge;
use crate::telemetry::{Metrics, Outcome};

/// RFC 9113 section 3.4.
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More headers than this are no browser's.
const MAX_HEADERS: usize = 100;

/// The first piece of a head; most fit into it.
const FIRST_READ_BYTES: usize = 2048;

/// What one client and all together may take.
#[derive(Debug, Clone, Copy)]
pub struct FrontLimits {
    /// Connections open at once; more are closed at once.
    pub max_connections: usize,
    /// Bytes of a request's line and headers.
    pub max_head_bytes: usize,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// Before the first byte.
    pub idle_timeout: Duration,
    /// Requests of one connection.
    pub requests_per_connection: Option<u32>,
}

/// The server application that owns each connection and hands whole heads to Pingora.
pub struct Front {
    /// Pingora's proxy.
    pub proxy: Arc<HttpProxy<Edge>>,
    /// Limits.
    pub limits: FrontLimits,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Connections open right now.
    pub connections: Arc<AtomicUsize>,
}

/// What became of waiting for a head.
enum Head {
    Whole(BytesMut),
    Refused(Failure),
    Gone,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _open = Open::count(self)?;
        self.serve(stream, shutdown).await;
        None
    }
}

impl Front {
    async fn serve(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        if self.is_http2(&mut stream).await {
            self.proxy.process_new(stream, shutdown).await;
            return;
        }
        let mut settings: Option<HttpPersistentSettings> = None;
        loop {
            let head = match self.read_head(&mut stream, shutdown).await {
                Head::Whole(head) => head,
                Head::Refused(failure) => return self.refuse(stream, &failure).await,
                Head::Gone => return,
            };
            let mut session = ServerSession::new_http1(stream);
            match settings.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                None => {
                    session.set_keepalive(Some(self.limits.idle_timeout.as_secs().max(1)));
                    session.set_keepalive_reuses_remaining(self.limits.requests_per_connection);
                }
            }
            if *shutdown.borrow() {
                session.set_keepalive(None);
            }
            session.set_pipelined_prefix(head);
            let Some(reused) = self.proxy.process_new_http(session, shutdown).await else { return };
            (stream, settings) = reused.consume();
        }
    }

    /// By ALPN on TLS, by the preface without.
    async fn is_http2(&self, stream: &mut Stream) -> bool {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return true;
        }
        if stream.get_ssl_digest().is_some() {
            return false;
        }
        let mut preface = [0; H2_PREFACE.len()];
        let peek = timeout(self.limits.head_timeout, stream.try_peek(&mut preface));
        matches!(peek.await, Ok(Ok(true))) && preface == *H2_PREFACE
    }

    async fn read_head(&self, stream: &mut Stream, shutdown: &ShutdownWatch) -> Head {
        let mut head = BytesMut::with_capacity(FIRST_READ_BYTES);
        let mut shutdown = shutdown.clone();
        let first = tokio::select! {
            biased;
            first = timeout(self.limits.idle_timeout, stream.read_buf(&mut head)) => first,
            _ = shutdown.wait_for(|stop| *stop) => return Head::Gone,
        };
        if !matches!(first, Ok(Ok(1..))) {
            return Head::Gone;
        }
        let rest = async {
            loop {
                match completeness(&head) {
                    Ok(true) => return Head::Whole(head),
                    Ok(false) if head.len() >= self.limits.max_head_bytes => {
                        return Head::Refused(Failure::new(
                            Code::HeadTooLarge,
                            "the request's head is too large",
                        ));
                    }
                    Ok(false) => {}
                    Err(failure) => return Head::Refused(failure),
                }
                match stream.read_buf(&mut head).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Head::Gone,
                }
            }
        };
        let late = || Head::Refused(Failure::new(Code::HeadTimeout, "the request's head took too long"));
        timeout(self.limits.head_timeout, rest).await.unwrap_or_else(|_| late())
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
        let _ = timeout(self.limits.head_timeout, async {
            stream.write_all(&answer).await?;
            stream.shutdown().await
        })
        .await;
    }
}

/// Whether a head is whole, malformed, or needs more bytes.
fn completeness(head: &[u8]) -> Result<bool, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(status) => Ok(status.is_complete()),
        Err(httparse::Error::TooManyHeaders) => {
            Err(Failure::new(Code::HeadTooLarge, format!("more than {MAX_HEADERS} headers")))
        }
        Err(error) => {
            Err(Failure::new(Code::BadRequest, format!("the request's head is malformed: {error}")))
        }
    }
}

/// One open connection among those allowed.
struct Open<'a>(&'a Front);

impl<'a> Open<'a> {
    fn count(front: &'a Front) -> Option<Self> {
        let before = front.connections.fetch_add(1, Ordering::AcqRel);
        let open = Self(front);
        front.metrics.connections.inc();
        (before < front.limits.max_connections).then_some(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
        self.0.metrics.connections.dec();
    }
}
