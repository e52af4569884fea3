//! One attempt: a message is posted, and what came of it.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response};
use tokio::time::timeout_at;

use crate::headers::retry_after::retry_after;
use crate::net::{Guard, Refusal, was_refused};
use crate::setting::Secret;
use crate::webhook::{Answer, Config, signatures};

/// So much of an answer's body is kept, in bytes.
const KEPT: usize = 1024;

/// So much of it is read, to keep the connection; of a longer one the connection is given up.
const READ: usize = 16 * 1024;

/// What is posted.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where to.
    pub url: String,
    /// The id of the event: the same at each attempt.
    pub id: String,
    /// The bytes that were frozen when the event was recorded.
    pub body: Vec<u8>,
    /// The secrets that count now, newest first.
    pub secrets: Vec<Secret>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What the answer says, or why there was none.
    pub outcome: Result<Answer, Fault>,
    /// The first 1 KiB of the answer's body.
    pub response: Vec<u8>,
    /// From the beginning of the attempt to its end.
    pub took: Duration,
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The URL, or every address of its name, is closed by the guard or the settings.
    #[error("the address is not one that may be called")]
    Refused,
    /// Not in time.
    #[error("there was no answer in time")]
    TimedOut,
    /// No connection, or none that spoke HTTP: the detail is not for strangers.
    #[error("the endpoint cannot be reached")]
    Unreachable(String),
}

/// Posts messages; cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    guard: Guard,
    timeout: Duration,
    require_https: bool,
}

impl Caller {
    /// A caller with these settings.
    ///
    /// # Errors
    /// If the system gives no HTTP client.
    pub fn new(config: &Config) -> reqwest::Result<Self> {
        let guard = config.guard();
        let client = guard.client(config.timeout)?;
        Ok(Self { client, guard, timeout: config.timeout, require_https: config.require_https })
    }

    /// Whether a hook may have this URL.
    ///
    /// # Errors
    /// Why not, for whoever hands it in.
    pub fn check(&self, url: &str) -> Result<(), String> {
        let read = self.guard.read(url).map_err(|refusal: Refusal| refusal.to_string())?;
        match self.require_https && read.scheme() != "https" {
            true => Err("must be an https URL".to_owned()),
            false => Ok(()),
        }
    }

    /// Posts a message at `now` (Unix seconds). It takes no longer than the timeout of the settings.
    pub async fn post(&self, message: Message, now: u64) -> Attempt {
        let began = Instant::now();
        let end = began + self.timeout;
        let mut body = Vec::new();
        let outcome = match timeout_at(end.into(), self.send(message, now)).await {
            Ok(Ok(mut response)) => {
                // The head has said what counts: a body that breaks off or drags on changes nothing.
                let _ = timeout_at(end.into(), read_some(&mut response, &mut body)).await;
                Ok(answer(&response, now))
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(Fault::TimedOut),
        };
        body.truncate(KEPT);
        Attempt { outcome, response: body, took: began.elapsed() }
    }

    async fn send(&self, message: Message, now: u64) -> Result<Response, Fault> {
        // The settings may be others than when the hook was made.
        self.check(&message.url).map_err(|_| Fault::Refused)?;
        let signature = signatures(&message.secrets, &message.id, now, &message.body);
        let request = self
            .client
            .post(&message.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(message.body);
        request.send().await.map_err(fault)
    }
}

fn answer(response: &Response, now: u64) -> Answer {
    let wait = response.headers().get(RETRY_AFTER);
    let retry_after = wait.and_then(|value| retry_after(value.as_bytes(), now));
    Answer { status: response.status().as_u16(), retry_after }
}

async fn read_some(response: &mut Response, body: &mut Vec<u8>) {
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > READ {
            return;
        }
    }
}

fn fault(error: reqwest::Error) -> Fault {
    if was_refused(&error) {
        return Fault::Refused;
    }
    if error.is_timeout() {
        return Fault::TimedOut;
    }
    let mut detail = String::new();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        detail = if detail.is_empty() { error.to_string() } else { format!("{detail}: {error}") };
        cause = error.source();
    }
    Fault::Unreachable(detail)
}

impl Fault {
    /// The word for it, in the log of attempts.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// What is not for strangers.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Unreachable(detail) => Some(detail),
            Self::Refused | Self::TimedOut => None,
        }
    }
}
