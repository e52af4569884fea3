//! The connection before Pingora's parser sees it: how many there are, and how long and how large the
//! head of a request may be. Pingora itself limits neither the time nor, below 1 MB, the size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use http::Uri;
use httparse::Status;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{Code, Failure, PROBLEM_TYPE};
use crate::proxy::Edge;
use crate::telemetry::{Metrics, Outcome};

/// RFC 9113 section 3.4.
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More headers than this are no browser's.
const MAX_HEADERS: usize = 100;

/// More than this is no URI for the `http` crate.
const MAX_TARGET_BYTES: usize = 65_534;

/// After a refusal, for what the client is still sending.
const LINGER: Duration = Duration::from_secs(1);

/// The first piece of a head; most fit into it.
const FIRST_READ_BYTES: usize = 2048;

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
        match self.opening(&mut stream).await {
            Opening::Http1 => {}
            Opening::Http2 => {
                self.edge.process_new(stream, shutdown).await;
                return;
            }
            Opening::Late => return self.refuse(stream, &late()).await,
            Opening::Gone => return,
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
                    let reuses = self.limits.requests_per_connection.map(|all| all.saturating_sub(1));
                    session.set_keepalive_reuses_remaining(reuses);
                }
            }
            if *shutdown.borrow() {
                session.set_keepalive(None);
            }
            session.set_pipelined_prefix(head);
            let Some(reused) = self.edge.process_new_http(session, shutdown).await else { return };
            (stream, settings) = reused.consume();
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

fn late() -> Failure {
    Failure::new(Code::HeadTimeout, "the request's head took too long")
}

/// Whether a head is whole, malformed, or needs more bytes.
fn completeness(head: &[u8]) -> Result<bool, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Partial) => Ok(false),
        Ok(Status::Complete(_)) => check(&request).map(|()| true),
        Err(httparse::Error::TooManyHeaders) => {
            Err(Failure::new(Code::HeadTooLarge, format!("more than {MAX_HEADERS} headers")))
        }
        Err(error) => {
            Err(Failure::new(Code::BadRequest, format!("the request's head is malformed: {error}")))
        }
    }
}

/// RFC 9112 section 3.2, and what Pingora would refuse without the words of our own failures.
fn check(request: &httparse::Request<'_, '_>) -> Result<(), Failure> {
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET_BYTES {
        let detail = format!("the request's target is longer than {MAX_TARGET_BYTES} bytes");
        return Err(Failure::new(Code::QueryTooLong, detail));
    }
    let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let (host, second) = (hosts.next(), hosts.next());
    let is_host = |value: &[u8]| value.is_empty() || http::uri::Authority::try_from(value).is_ok();
    if second.is_some()
        || (host.is_none() && request.version == Some(1))
        || host.is_some_and(|host| !is_host(host.value))
    {
        return Err(Failure::new(Code::BadRequest, "one Host header is needed"));
    }
    if target.starts_with('/') || target == "*" {
        return Ok(());
    }
    let uri = target.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let authority =
        uri.as_ref().and_then(Uri::authority).filter(|authority| !authority.as_str().contains('@'));
    match (authority, host) {
        (Some(authority), Some(host)) if authority.as_str().as_bytes().eq_ignore_ascii_case(host.value) => {
            Ok(())
        }
        (Some(_), None) => Ok(()),
        _ => Err(Failure::new(Code::BadRequest, "the request's target cannot be read")),
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
