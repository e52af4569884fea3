//! A file from a URL: a few redirects, each looked at; one body, with a limit on every wait.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, Url};
use tokio::time::timeout;

use crate::job::Fault;
use crate::job::import::{Coming, ImportConfig};
use crate::net::{Guard, Refusal, was_refused};
use crate::origin;
use crate::origin::Body;

const MAX_REDIRECTS: usize = 5;

/// The client of imports.
pub(super) struct Fetcher {
    client: Client,
    guard: Guard,
    wait: Duration,
}

impl Fetcher {
    pub(super) fn new(config: &ImportConfig) -> reqwest::Result<Self> {
        let guard = config.guard();
        let client = guard.client(config.read_timeout)?;
        Ok(Self { client, guard, wait: config.read_timeout })
    }

    /// The bytes that a URL leads to.
    pub(super) async fn fetch(&self, url: &str) -> Result<Coming, Fault> {
        let mut url = self.guard.read(url).map_err(refused)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(url.clone()).await?;
            match response.status().as_u16() {
                200 => return Ok(self.coming(response)),
                301 | 302 | 303 | 307 | 308 => url = self.next(&url, &response)?,
                status => return Err(not_given(status)),
            }
        }
        Err(Fault::lasting("source_failed", format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn ask(&self, url: Url) -> Result<Response, Fault> {
        // The length of what is coded says nothing of what it is.
        let request = self.client.get(url).header(ACCEPT_ENCODING, "identity");
        match timeout(self.wait, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if was_refused(&error) => Err(refused(Refusal::Address)),
            Ok(Err(error)) if !error.is_timeout() => {
                tracing::info!(error = %error.without_url(), "the source of an import cannot be reached");
                Err(Fault::passing("source_failed", "the source cannot be reached"))
            }
            Ok(Err(_)) | Err(_) => Err(Fault::passing("timed_out", "the source does not answer in time")),
        }
    }

    /// Where a redirect leads, if that may be called.
    fn next(&self, from: &Url, response: &Response) -> Result<Url, Fault> {
        let lost = || Fault::lasting("source_failed", "a redirect leads nowhere");
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let mut url = from.join(location.ok_or_else(lost)?).map_err(|_| lost())?;
        url.set_fragment(None);
        self.guard.check(&url).map_err(refused)?;
        Ok(url)
    }

    fn coming(&self, response: Response) -> Coming {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        // Of a server that does not know it, the type says nothing.
        let unknown = ["application/octet-stream", "binary/octet-stream", "application/x-download"];
        let declared_type = text(CONTENT_TYPE).and_then(|value| value.split(';').next());
        let declared_type = declared_type.map(|value| value.trim().to_ascii_lowercase());
        let declared_type = declared_type.filter(|value| !unknown.contains(&value.as_str()));
        Coming { length, declared_type, body: self.body(response) }
    }

    /// The pieces of a body, with an end to every wait for one.
    fn body(&self, response: Response) -> Body {
        let wait = self.wait;
        Box::pin(
            stream::unfold(Some(response), move |response| async move {
                let mut response = response?;
                match timeout(wait, response.chunk()).await {
                    Ok(Ok(Some(piece))) => Some((Ok(piece), Some(response))),
                    Ok(Ok(None)) => None,
                    Ok(Err(_)) => Some((Err(origin::Error::Interrupted), None)),
                    Err(_) => Some((Err(origin::Error::TimedOut("reading the source")), None)),
                }
            })
            .fuse(),
        )
    }
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Address => {
            Fault::lasting("address_refused", "the URL leads to an address that is not called")
        }
        refusal => Fault::lasting("bad_url", format!("the URL {refusal}")),
    }
}

/// What it means that a source does not give a file.
fn not_given(status: u16) -> Fault {
    let detail = format!("the source answered {status}");
    match status {
        404 | 410 => Fault::lasting("source_not_found", detail),
        401 | 403 => Fault::lasting("source_refused", detail),
        408 | 429 | 500..=599 => Fault::passing("source_failed", detail),
        _ => Fault::lasting("source_failed", detail),
    }
}
