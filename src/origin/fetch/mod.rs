//! Requests to an upstream: the one HTTP client that S3 and web origins share.
//!
//! Every wait has its limit. A request that got no answer, or one that says "try again", is sent
//! again a bounded number of times; no byte of a body has been handed out then. Redirects are
//! answers like any other, proxies of the environment are not used, and no error holds a URL, since
//! those of S3 carry a signature.

mod answer;

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, Response, Url};

use crate::origin::{Answer, Ask, Config, Error, ObjectInfo, OpenError};

/// Longer bodies of errors are not read; their connection is given up instead.
const ERROR_BODY: usize = 16 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A body that leaves us slower than this is given up.
const LEAST_BYTES_A_SECOND: u64 = 64 * 1024;

/// The client of one origin.
pub(super) struct Fetcher {
    client: Client,
    first_byte_timeout: Duration,
    read_timeout: Duration,
    retries: u32,
}

impl Fetcher {
    /// A client for the host of `base`. Root certificates are loaded for `https` only, so a plain
    /// origin works where there are none.
    pub(super) fn new(config: &Config, base: &Url) -> Result<Self, OpenError> {
        // An error means that a provider was installed before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("kinora/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.idle_connections);
        if base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| OpenError::Client(describe(error)))?;
        Ok(Self {
            client,
            first_byte_timeout: config.first_byte_timeout,
            read_timeout: config.read_timeout,
            retries: config.retries.min(Config::MAX_RETRIES),
        })
    }

    /// Sends a request without a body and returns the head of the answer, whatever its status.
    pub(super) async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        self.send_body(method, url, headers, Bytes::new()).await
    }

    /// Sends a request and returns the head of the answer, whatever its status. It must be one that does
    /// no harm when it is sent twice.
    pub(super) async fn send_body(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, Error> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..self.retries {
            let outcome = self.send_once(method, url, headers, body.clone()).await;
            if !is_worth_a_retry(&outcome) {
                return outcome;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.send_once(method, url, headers, body).await
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, Error> {
        let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
        let timeout = self.first_byte_timeout + Duration::from_secs(body.len() as u64 / LEAST_BYTES_A_SECOND);
        if matches!(*method, Method::PUT | Method::POST) {
            // Of an empty body the client would not tell the length, and S3 wants it told.
            request = request.header(header::CONTENT_LENGTH, body.len()).body(body);
        }
        match tokio::time::timeout(timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_timeout() => Err(Error::TimedOut("connecting")),
            Ok(Err(error)) => Err(Error::Unreachable(describe(error))),
            Err(_) => Err(Error::TimedOut("waiting for the first byte")),
        }
    }

    /// The object, or that it has not been modified; checked against what was asked.
    pub(super) fn answer(&self, response: Response, ask: &Ask) -> Result<Answer, Error> {
        answer::answer(response, ask, self.read_timeout)
    }

    /// A whole body, of at most so many bytes.
    pub(super) async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        loop {
            let piece = tokio::time::timeout(self.read_timeout, response.chunk());
            match piece.await.map_err(|_| Error::TimedOut("waiting for a body"))? {
                Ok(Some(piece)) if body.len() + piece.len() <= limit => body.extend_from_slice(&piece),
                Ok(Some(_)) => return Err(Error::BadAnswer(format!("a body of more than {limit} bytes"))),
                Ok(None) => return Ok(body),
                Err(error) => return Err(Error::Unreachable(describe(error))),
            }
        }
    }

    /// The body of an error, as far as it is short; reading it keeps the connection.
    pub(super) async fn error_body(&self, mut response: Response) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Ok(Some(piece))) = tokio::time::timeout(self.read_timeout, response.chunk()).await {
            body.extend_from_slice(&piece);
            if body.len() > ERROR_BODY {
                break;
            }
        }
        body
    }
}

/// The headers that ask for what `ask` says, over those that are passed on.
pub(super) fn request_headers(ask: &Ask, mut headers: HeaderMap) -> HeaderMap {
    let since = ask.if_modified_since.filter(|_| ask.if_none_match.is_none()).and_then(http_date);
    let ours = [
        (header::ACCEPT_ENCODING, Some("identity".to_owned())),
        (header::RANGE, ask.range.map(|range| range.to_string())),
        (header::IF_NONE_MATCH, ask.if_none_match.clone()),
        (header::IF_MATCH, ask.if_match.clone()),
        (header::IF_MODIFIED_SINCE, since),
    ];
    for (name, value) in ours {
        // What cannot be sent is not asked; the answer is compared with `ask` in any case.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

/// The facts of a whole object, from the answer to HEAD.
pub(super) fn head_info(response: &Response) -> Result<ObjectInfo, Error> {
    match response.status() {
        StatusCode::OK => answer::whole_info(response.headers()),
        status => Err(failure(status, "")),
    }
}

/// What an answer means that hands out nothing; `code` is the upstream's own word for it.
pub(super) fn failure(status: StatusCode, code: &str) -> Error {
    let said = format!("{} {code}", status.as_u16()).trim_end().to_owned();
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Error::NotFound(Box::default()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Refused(said),
        StatusCode::PRECONDITION_FAILED => Error::Changed,
        _ => Error::BadAnswer(format!("status {said}")),
    }
}

/// The length that a 416 tells, where it does.
pub(super) fn length_of_unsatisfied(response: &Response) -> Option<u64> {
    let text = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes */")?.parse().ok()
}

/// Whether the answer is one that a client would follow.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// Timeouts are not tried again: the client has waited long enough.
fn is_worth_a_retry(outcome: &Result<Response, Error>) -> bool {
    match outcome {
        Ok(response) => matches!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
        ),
        Err(error) => matches!(error, Error::Unreachable(_)),
    }
}

/// Formatting panics for times that HTTP cannot say.
fn http_date(time: std::time::SystemTime) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    (since.as_secs() < YEAR_10000).then(|| httpdate::fmt_http_date(time))
}

/// An error and its causes on one line, without the URL.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
