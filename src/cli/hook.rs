//! `kinora hook`: tries a webhook from this machine, with the settings, guard and signature of the server.

use clap::Subcommand;
use serde_json::json;

use crate::cli::{Error, existing_catalog, now, say, wait_for};
use crate::config::Config;
use crate::metadata;
use crate::metadata::EventKind;
use crate::setting::Secret;
use crate::webhook::{Attempt, Caller, Message, SigningSecret};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Send a test message at once, and say what came of it; exit 1 unless it was received
    Test {
        /// The id of a hook, or a URL
        hook: String,
        /// Of a URL: sign with this secret, whsec_...; one is drawn and shown if left out
        #[arg(long)]
        secret: Option<String>,
    },
}

pub(super) fn run(config: &Config, command: Command) -> Result<(), Error> {
    let Command::Test { hook, secret } = command;
    let (url, secrets) = match hook.contains("://") {
        true => (hook, vec![of_url(secret)?]),
        false => of_hook(config, &hook)?,
    };
    let failed = |error: String| Error::Arguments(error);
    let caller = Caller::new(&config.webhooks).map_err(|error| failed(error.to_string()))?;
    caller.check(&url).map_err(|why| failed(format!("{url}: {why}")))?;
    let now = now();
    let body = json!({ "event": EventKind::HookTest.as_str(), "time": now }).to_string().into_bytes();
    let message = Message { url, id: format!("evt_test_{now}"), body, secrets };
    let Attempt { outcome, response, took } = wait_for(async { Ok(caller.post(message, now).await) })?;
    let answer = outcome.map_err(|fault| {
        failed(fault.detail().map_or(fault.to_string(), |detail| format!("{fault}: {detail}")))
    })?;
    say(&format!("{} after {} ms", answer.status, took.as_millis()))?;
    if !response.is_empty() {
        say(&String::from_utf8_lossy(&response))?;
    }
    match answer.is_received() {
        true => Ok(()),
        false => Err(failed("not received: only 2xx counts".to_owned())),
    }
}

fn of_hook(config: &Config, id: &str) -> Result<(String, Vec<Secret>), Error> {
    wait_for(async {
        let catalog = existing_catalog(config).await?;
        let hook = catalog.ok_or(metadata::Error::NoSuch("hook"))?.hook(id).await?;
        Ok((hook.url.clone(), hook.secrets_at(now())))
    })
}

fn of_url(secret: Option<String>) -> Result<Secret, Error> {
    let secret = match secret {
        Some(text) => {
            SigningSecret::parse(&text).map_err(|error| Error::Arguments(format!("--secret {error}")))?
        }
        None => {
            let drawn = SigningSecret::draw().map_err(metadata::Error::NoRandomness)?;
            say(&format!("signed with {}", drawn.secret().expose()))?;
            drawn
        }
    };
    Ok(secret.secret().clone())
}
