//! The sections `[server]`, `[delivery]` and `[purge]`.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::setting::{Cidr, Problem};

/// The public listener and what one client may take of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Public address, `127.0.0.1:8080`; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What stands in front of the paths that links are made of; empty, the default: as the client has reached us.
    pub public_url: String,
    /// HTTPS.
    pub tls: TlsConfig,
    /// Threads that move bytes; 0, the default, is one for each core.
    pub threads: usize,
    /// Open client connections, 10 000.
    pub max_connections: usize,
    /// Request line and headers together, 32 KiB.
    pub max_request_head: ByteSize,
    /// Time for a request's head to arrive, 10 s.
    #[serde(with = "humantime_serde")]
    pub request_head_timeout: Duration,
    /// Longest pause while a request's body arrives, 30 s.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// Longest pause while a client takes our answer, 30 s.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// Bytes a second that a client must take, 1 KiB; 0 lets it take its time.
    pub min_send_rate: ByteSize,
    /// An idle connection is closed after this time, 60 s.
    #[serde(with = "humantime_serde")]
    pub keepalive_timeout: Duration,
    /// A connection is closed after so many requests, 1000; 0 for never.
    pub keepalive_requests: u32,
    /// Requests at the same time on one HTTP/2 connection, 100.
    pub h2_max_streams: u32,
    /// Time for answers in flight to finish after SIGTERM, 30 s.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
}

/// HTTPS with HTTP/2.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Public address, `127.0.0.1:8443`; open only when [`TlsConfig::is_on`].
    pub listen: SocketAddr,
    /// PEM file, leaf first; empty for none.
    pub certificate: PathBuf,
    /// PEM file; empty for none.
    pub private_key: PathBuf,
}

impl TlsConfig {
    /// Whether a certificate is configured.
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        let files =
            [("server.tls.certificate", &self.certificate), ("server.tls.private_key", &self.private_key)];
        let given = files.iter().filter(|(_, path)| !path.as_os_str().is_empty()).count();
        for (key, path) in files {
            problems.extend(match path.as_os_str().is_empty() {
                true if given == 1 => {
                    Some(Problem::new(key, "\"\"", "certificate and private key come together"))
                }
                true => None,
                false => unreadable(key, path),
            });
        }
    }
}

fn unreadable(key: &str, path: &Path) -> Option<Problem> {
    let error = File::open(path).and_then(|file| file.metadata()).err()?;
    Some(Problem::new(key, path.display(), format!("must be a file that can be read: {error}")))
}

impl ServerConfig {
    const LEAST_HEAD: ByteSize = ByteSize::kib(4);

    /// How long a client may take for an answer of so many bytes, by [`ServerConfig::min_send_rate`].
    pub(super) fn longest_answer(&self, bytes: u64) -> Duration {
        match self.min_send_rate.as_u64() {
            0 => Duration::MAX,
            rate => Duration::from_secs(bytes.div_ceil(rate).max(1)),
        }
    }

    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (key, time) in [
            ("server.request_head_timeout", self.request_head_timeout),
            ("server.read_timeout", self.read_timeout),
            ("server.write_timeout", self.write_timeout),
            ("server.keepalive_timeout", self.keepalive_timeout),
        ] {
            if time.is_zero() {
                problems.push(Problem::new(key, "0s", "must be longer than 0s"));
            }
        }
        if !self.public_url.is_empty() && !is_web_origin(&self.public_url) {
            let remedy = "must be empty, or such as https://media.example.org, without a path";
            problems.push(Problem::new("server.public_url", &self.public_url, remedy));
        }
        if self.max_connections == 0 {
            problems.push(Problem::new("server.max_connections", 0, "must be at least 1"));
        }
        if self.h2_max_streams == 0 {
            problems.push(Problem::new("server.h2_max_streams", 0, "must be at least 1"));
        }
        if self.max_request_head < Self::LEAST_HEAD {
            let remedy = format!("must be at least {}: browsers send that much", Self::LEAST_HEAD);
            problems.push(Problem::new("server.max_request_head", self.max_request_head, remedy));
        }
        self.tls.check(&mut problems);
        problems
    }
}

/// Who may have what, and how long others may keep it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Nothing is delivered without a signature, a path token or an API key; off.
    pub require_signature: bool,
    /// Pictures are made by named presets alone, without image options in the URL; off.
    pub presets_only: bool,
    /// Assets that say nothing else need no proof; on.
    pub public_by_default: bool,
    /// How long a browser keeps an answer, 1 h.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// How long a CDN and our own cache keep it, 1 day.
    #[serde(with = "humantime_serde")]
    pub s_maxage: Duration,
    /// RFC 5861, 1 h.
    #[serde(with = "humantime_serde")]
    pub stale_while_revalidate: Duration,
    /// RFC 5861, 1 day.
    #[serde(with = "humantime_serde")]
    pub stale_if_error: Duration,
    /// Websites that may read answers by script; `*`, the default, for all.
    pub cors_origins: Vec<String>,
}

impl DeliveryConfig {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let wrong = |origin: &&String| origin.as_str() != "*" && !is_web_origin(origin);
        let remedy = "must be \"*\" or a website such as \"https://example.org\", without a path";
        self.cors_origins
            .iter()
            .filter(wrong)
            .map(|origin| Problem::new("delivery.cors_origins", origin, remedy))
            .collect()
    }
}

/// RFC 6454 section 6.1: scheme, host and perhaps a port, in lower case as browsers send it.
fn is_web_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
    matches!(scheme, "http" | "https") && !authority.is_empty() && authority.chars().all(plain)
}

/// Who may purge without an API key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeConfig {
    /// Networks whose `PURGE` requests are obeyed; none by default.
    pub allow_cidrs: Vec<String>,
}

impl PurgeConfig {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let wrong = self.allow_cidrs.iter().filter(|text| text.parse::<Cidr>().is_err());
        wrong.map(|text| Problem::new("purge.allow_cidrs", text, Cidr::REMEDY)).collect()
    }

    /// Whether a `PURGE` request from this address is obeyed: the address of the connection, never one
    /// that a header names.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow_cidrs
            .iter()
            .filter_map(|text| text.parse::<Cidr>().ok())
            .any(|cidr| cidr.contains(address))
    }
}
