//! The sender: takes what is due, attempts it, and records what came of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::metadata;
use crate::metadata::{Catalog, HookEffect, Lease, Leased, Settled};
use crate::telemetry::Metrics;
use crate::webhook::{Attempt, Caller, Config, Message, Rules, Standing};

/// How often the catalogue is asked for what other processes have recorded, and for what is due again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A lease outlives an attempt by so much: time to record it, even by a slow catalogue.
const LEASE_SPARE: Duration = Duration::from_secs(5);

/// Sends deliveries as long as it runs; any number of processes may.
pub struct Sender {
    catalog: Catalog,
    caller: Caller,
    rules: Arc<Rules>,
    lease: Lease,
    metrics: Arc<Metrics>,
}

impl Sender {
    /// A sender with these settings, woken by what is recorded through `catalog`.
    ///
    /// # Errors
    /// If the system gives no HTTP client.
    pub fn new(config: &Config, catalog: Catalog, metrics: Arc<Metrics>) -> reqwest::Result<Self> {
        let lease = Lease { per_hook: config.concurrency, seconds: (config.timeout + LEASE_SPARE).as_secs() };
        Ok(Self { catalog, caller: Caller::new(config)?, rules: Arc::new(config.rules()), lease, metrics })
    }

    /// Sends until `stop`; then attempts that are under way are finished and recorded, and no more begun.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut commits = self.catalog.commits();
        let mut flying = JoinSet::new();
        let mut settled = Vec::new();
        loop {
            if let Err(error) = self.turn(&mut settled, &mut flying).await {
                // What is settled is kept and recorded later; leases that end meanwhile make duplicates.
                tracing::error!(%error, "deliveries cannot be read or recorded");
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => continue,
                    () = &mut stop => break,
                }
            }
            tokio::select! {
                Some(ended) = flying.join_next() => settled.extend(ended),
                _ = commits.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = &mut stop => break,
            }
            // All that has ended by now is recorded at once.
            while let Some(ended) = flying.try_join_next() {
                settled.extend(ended);
            }
        }
        while let Some(ended) = flying.join_next().await {
            settled.extend(ended);
        }
        let lease = Lease { per_hook: 0, ..self.lease };
        if let Err(error) = self.catalog.turn_deliveries(&settled, lease, now()).await {
            tracing::error!(%error, "the last deliveries cannot be recorded: they are sent again");
        }
    }

    async fn turn(
        &self,
        settled: &mut Vec<Settled>,
        flying: &mut JoinSet<Settled>,
    ) -> Result<(), metadata::Error> {
        let now = now();
        if settled.is_empty() && !self.catalog.has_due_deliveries(self.lease, now).await? {
            return Ok(());
        }
        let leased = self.catalog.turn_deliveries(settled, self.lease, now).await?;
        settled.drain(..).for_each(|attempt| self.metrics.hook_attempt(attempt.next.as_str()));
        for delivery in leased {
            let (caller, rules) = (self.caller.clone(), Arc::clone(&self.rules));
            flying.spawn(async move { attempt(&caller, &rules, delivery).await });
        }
        Ok(())
    }
}

async fn attempt(caller: &Caller, rules: &Rules, leased: Leased) -> Settled {
    let began = now();
    let Leased { id, fence, attempts, event, body, hook } = leased;
    let message = Message { url: hook.url.clone(), id: event, body, secrets: hook.secrets_at(began) };
    let Attempt { outcome, response, took } = caller.post(message, began).await;
    let standing = Standing { attempts, failing_since: hook.failing_since };
    let at = now();
    let answer = outcome.as_ref().ok().copied();
    let (next, effect) = rules.after(answer, standing, at, random());
    let fault = outcome.err();
    tracing::debug!(delivery = id, hook = hook.id, ?answer, ?fault, ?next, "attempted");
    if matches!(effect, HookEffect::Gone | HookEffect::Lost) {
        tracing::warn!(hook = hook.id, ?effect, "a hook is disabled");
    }
    Settled {
        id,
        fence,
        hook: hook.id.clone(),
        at,
        milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        status: answer.map(|answer| answer.status),
        error: fault.as_ref().map(|fault| fault.as_str()),
        detail: fault.and_then(|fault| fault.detail().map(str::to_owned)),
        response,
        next,
        effect,
    }
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// In 0..1; without randomness, retries merely come together.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
}
