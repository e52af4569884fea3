//! A client of HTTP/1.1 that sees what came over the wire: nothing is followed, decoded or mended.

#![allow(dead_code, reason = "each subject uses some of it")]

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything that works, so that a test which hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended where the head or the coding said.
    pub(crate) whole: bool,
}

impl Reply {
    /// A header's lines, joined; empty without any.
    pub(crate) fn header(&self, name: &str) -> String {
        let lines = self.headers.get_all(name).iter();
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect();
        lines.join(", ")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// The code of a failure, which the header and the body of a problem must agree on.
    pub(crate) fn code(&self) -> String {
        let code = self.header("kinora-error");
        if !self.body.is_empty() {
            assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
            let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
            assert_eq!(body["code"], code.as_str(), "{body}");
            assert_eq!(body["status"], self.status, "{body}");
        }
        code
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time");
        Self { stream: stream.expect("somebody listens"), read: Vec::new() }
    }

    /// Sends these bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("in time").expect("an open connection");
    }

    /// Sends the head of a request.
    pub(crate) async fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: edge.test\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes()).await;
    }

    /// An answer with all of its body.
    pub(crate) async fn reply(&mut self, method: &str) -> Reply {
        let mut reply = self.head().await;
        let length = reply.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        if method == "HEAD" || matches!(reply.status, 204 | 304) {
            return reply;
        }
        (reply.body, reply.whole) = match length {
            Some(length) => self.exactly(length).await,
            None if reply.header("transfer-encoding") == "chunked" => self.chunks().await,
            None => (self.rest().await, true),
        };
        reply
    }

    /// The next answer to a GET, `None` when the connection ends before it.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        if self.read.is_empty() && !self.more().await {
            return None;
        }
        Some(self.reply("GET").await)
    }

    /// The head of an answer alone.
    pub(crate) async fn head(&mut self) -> Reply {
        let end = self.end_of_head().await;
        let head: Vec<u8> = self.read.drain(..end).collect();
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&head).expect("a head");
        let status = parsed.code.expect("a status");
        let mut map = HeaderMap::new();
        for header in parsed.headers.iter() {
            let name = HeaderName::try_from(header.name).expect("a name");
            map.append(name, HeaderValue::from_bytes(header.value).expect("a value"));
        }
        Reply { status, headers: map, body: Vec::new(), whole: true }
    }

    /// An answer of a known length, byte for byte.
    pub(crate) async fn raw(&mut self) -> Vec<u8> {
        let end = self.end_of_head().await;
        let head = String::from_utf8_lossy(&self.read[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        let (raw, whole) = self.exactly(end + length).await;
        assert!(whole, "cut short");
        raw
    }

    async fn end_of_head(&mut self) -> usize {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                return end + 4;
            }
            let more = self.more().await;
            assert!(more, "closed before an answer: {}", self.read.escape_ascii());
        }
    }

    /// So many bytes of a body, or as many as there are, and whether that is all of them.
    pub(crate) async fn exactly(&mut self, length: usize) -> (Vec<u8>, bool) {
        while self.read.len() < length && self.more().await {}
        let there = self.read.len().min(length);
        (self.read.drain(..there).collect(), there == length)
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    async fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.read.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end,
                    None if self.more().await => {}
                    None => return (body, false),
                }
            };
            let line: Vec<u8> = self.read.drain(..end + 2).collect();
            let size = std::str::from_utf8(&line[..end]).expect("text");
            let size = usize::from_str_radix(size, 16).expect("a size");
            let (chunk, whole) = self.exactly(size + 2).await;
            body.extend_from_slice(&chunk[..chunk.len().min(size)]);
            if !whole || size == 0 {
                return (body, whole);
            }
        }
    }

    /// Reads once; `false` when the connection has ended.
    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("in time");
        // A reset is an end as well: the other side may not have read all that we sent.
        read.is_ok_and(|count| count > 0)
    }
}
