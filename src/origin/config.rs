//! The section `origin` of the configuration.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use crate::origin::{s3, web};
use crate::setting::{Problem, Secret};

/// Which origin, where it is, and how long it may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which of the three sections below counts.
    pub kind: Kind,
    /// Longest time to connect, TLS included (`s3`, `http`).
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Longest time until the head of an answer is here, connecting included (`s3`, `http`).
    #[serde(with = "humantime_serde")]
    pub first_byte_timeout: Duration,
    /// Longest time between two pieces of a body, and for one access to a directory.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// How long an unused connection is kept (`s3`, `http`).
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How many unused connections are kept (`s3`, `http`).
    pub idle_connections: usize,
    /// How often a request that got no answer, or a 500, 502 or 503, is sent again; at most
    /// [`Config::MAX_RETRIES`] (`s3`, `http`).
    pub retries: u32,
    /// A directory of this machine.
    pub directory: DirectoryConfig,
    /// A bucket of S3 or of a server that speaks it.
    pub s3: S3Config,
    /// A web server.
    pub http: HttpConfig,
}

/// The three kinds of origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A directory of this machine.
    Directory,
    /// A bucket of S3 or of a server that speaks it.
    S3,
    /// A web server.
    Http,
}

/// A directory as bucket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The directory; empty: `bucket` below `data.dir`, made at the start.
    pub path: String,
    /// How many accesses may be under way at once, so that a hanging network file system cannot
    /// take all threads; 1 to [`DirectoryConfig::MAX_READS`].
    pub reads: usize,
}

impl DirectoryConfig {
    /// The number of threads that there are for blocking work.
    pub const MAX_READS: usize = 512;

    /// Where the directory is.
    pub fn root(&self, data_dir: &Path) -> PathBuf {
        match self.path.as_str() {
            "" => data_dir.join("bucket"),
            path => PathBuf::from(path),
        }
    }

    fn check(&self) -> Option<Problem> {
        let remedy = format!("must lie between 1 and {}", Self::MAX_READS);
        let is_fine = (1..=Self::MAX_READS).contains(&self.reads);
        (!is_fine).then(|| Problem::new("origin.directory.reads", self.reads, remedy))
    }
}

/// A bucket behind the S3 protocol.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// URL of the server without the bucket; empty: that of AWS in the region.
    pub endpoint: Address,
    /// Name of the bucket.
    pub bucket: String,
    /// Region that requests are signed for.
    pub region: String,
    /// Access key id; empty: requests are not signed (a public bucket).
    pub access_key_id: String,
    /// The secret that belongs to the id.
    pub secret_access_key: Secret,
    /// Session token of temporary credentials; empty: none.
    pub session_token: Secret,
    /// `https://host/bucket/key`, not `https://bucket.host/key`.
    pub path_style: bool,
}

/// A web server as bucket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// URL that keys are appended to. It may be private; redirects may not leave its host.
    pub base_url: Address,
    /// Names of the client's headers that are passed on; `*` for all end-to-end headers.
    pub forward_request_headers: Vec<String>,
    /// Names of the server's headers that are passed on; `*` for all end-to-end headers.
    pub forward_response_headers: Vec<String>,
}

impl Config {
    /// More would turn one bad minute of an origin into a flood.
    pub const MAX_RETRIES: u32 = 5;

    /// Everything that is wrong with this section. Sections of the other kinds do not count.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let times = [
            ("origin.connect_timeout", self.connect_timeout),
            ("origin.first_byte_timeout", self.first_byte_timeout),
            ("origin.read_timeout", self.read_timeout),
        ];
        for (key, time) in times {
            if time.is_zero() {
                problems.push(Problem::new(key, "0s", "a time of zero lets nothing through; try \"10s\""));
            }
        }
        if self.retries > Self::MAX_RETRIES {
            let remedy = format!("at most {} retries", Self::MAX_RETRIES);
            problems.push(Problem::new("origin.retries", self.retries, remedy));
        }
        match self.kind {
            Kind::Directory => problems.extend(self.directory.check()),
            Kind::S3 => problems.extend(s3::check(&self.s3)),
            Kind::Http => problems.extend(web::check(&self.http)),
        }
        problems
    }
}

/// An `http` or `https` URL without user name, query and fragment. A password that was written
/// into it all the same is not shown by `Debug` and `Display`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// Wraps the text; [`Config::check`] says whether it is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether no address was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The URL, or what would be right.
    pub(super) fn parse(&self) -> Result<Url, &'static str> {
        let url = Url::parse(&self.0).map_err(|_| "must be a URL such as https://media.example.com")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must begin with http:// or https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a query or a fragment");
        }
        Ok(url)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((user, host)) = self.0.rsplit_once('@') else {
            return f.write_str(&self.0);
        };
        let scheme = user.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
        write!(f, "{scheme}***@{host}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
