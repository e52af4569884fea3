//! How often one client may ask the control plane: so many requests a second, and far fewer that guess.
//!
//! A client is a key at an address, or an address without a key that we know. Guesses are wrong keys and ids of
//! nothing: whoever makes too many is not answered for a while, so that guessing on leads nowhere. Others who
//! come from the same address with keys of their own are not held up by that.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::Deserialize;

use crate::api::peer::Peer;
use crate::api::public::{Public, refuse};
use crate::failure::{Code, Failure};
use crate::headers::api_key::api_key;
use crate::setting::Problem;
use crate::signature::KeyRing;

/// Whoever has guessed too often is not answered for so long.
const PAUSE: Duration = Duration::from_secs(60);

/// Clients that are on pause at the same time.
const MAX_PAUSED: u64 = 100_000;

/// What is known of clients that have been silent is dropped after so many requests.
const TIDY_EVERY: u64 = 10_000;

/// The section `[limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Requests of one client to the control plane, 1000; 0 for any number.
    pub requests_per_second: u32,
    /// Wrong keys and unknown ids of one client, 120; 0 for any number.
    pub guesses_per_minute: u32,
}

impl LimitsConfig {
    /// What is wrong with these values: nothing that their types would not have refused.
    pub fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

type Limiter = DefaultKeyedRateLimiter<Client>;

/// What is known of how often clients have asked.
pub struct Limits {
    requests: Option<Limiter>,
    guesses: Option<Limiter>,
    /// Those who are on pause.
    paused: moka::sync::Cache<Client, ()>,
    asked: AtomicU64,
}

/// Who is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Client {
    /// The id of the key.
    key: Option<String>,
    address: Option<IpAddr>,
}

impl Limits {
    /// As configured.
    pub fn new(config: &LimitsConfig) -> Self {
        let limiter = |quota: fn(NonZeroU32) -> Quota, count| {
            NonZeroU32::new(count).map(|count| RateLimiter::keyed(quota(count)))
        };
        Self {
            requests: limiter(Quota::per_second, config.requests_per_second),
            guesses: limiter(Quota::per_minute, config.guesses_per_minute),
            paused: moka::sync::Cache::builder().max_capacity(MAX_PAUSED).time_to_live(PAUSE).build(),
            asked: AtomicU64::new(0),
        }
    }

    /// Whether a client may ask now.
    fn admit(&self, client: &Client) -> Result<(), Failure> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            [&self.requests, &self.guesses].into_iter().flatten().for_each(Limiter::retain_recent);
        }
        if self.paused.contains_key(client) {
            return Err(too_many("too many wrong keys or unknown ids", PAUSE));
        }
        let Some(limiter) = &self.requests else { return Ok(()) };
        limiter.check_key(client).map_err(|not_until| {
            too_many("too many requests a second", not_until.wait_time_from(DefaultClock::default().now()))
        })
    }

    fn note_guess(&self, client: &Client) {
        if self.guesses.as_ref().is_some_and(|limiter| limiter.check_key(client).is_err()) {
            self.paused.insert(client.clone(), ());
        }
    }
}

fn too_many(detail: &str, wait: Duration) -> Failure {
    let seconds = u32::try_from(wait.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX);
    Failure::new(Code::TooManyRequests, detail).retry_after(seconds.max(1))
}

impl Client {
    /// `None` if nothing is known of it, as when there is no connection at all.
    fn of(ring: &KeyRing, request: &Request) -> Option<Self> {
        let address = request.extensions().get::<Peer>()?.address.map(|address| match address {
            // One customer has a whole network of these.
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            IpAddr::V4(_) => address,
        });
        let sent = api_key(request.headers());
        let key = sent.and_then(|sent| {
            let page = || ring.upload_key(sent).map(|key| key.id.clone());
            ring.api_key(sent).map(|key| key.id.clone()).or_else(page)
        });
        Some(Self { key, address })
    }
}

/// Answers those who ask too often, and counts guesses by the answers of all others.
pub(super) async fn limit(State(public): State<Arc<Public>>, request: Request, next: Next) -> Response {
    let Some(client) = Client::of(&public.keys.load(), &request) else { return next.run(request).await };
    if let Err(failure) = public.limits.admit(&client) {
        return refuse(failure);
    }
    let answer = next.run(request).await;
    let code = answer.extensions().get::<Failure>().map(|failure| failure.code);
    if matches!(code, Some(Code::ApiKeyNeeded | Code::UploadKeyInvalid | Code::NotFound)) {
        public.limits.note_guess(&client);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests_per_second: u32, guesses_per_minute: u32) -> Limits {
        Limits::new(&LimitsConfig { requests_per_second, guesses_per_minute })
    }

    fn client(key: &str, address: &str) -> Client {
        let key = (!key.is_empty()).then(|| key.to_owned());
        Client { key, address: Some(address.parse().expect("an address")) }
    }

    #[test]
    fn each_client_is_counted_for_itself() {
        let limits = limits(2, 0);
        let one = client("A", "192.0.2.1");
        let outcomes = [&one, &one, &one].map(|client| limits.admit(client).map_err(|failure| failure.code));
        assert_eq!(outcomes, [Ok(()), Ok(()), Err(Code::TooManyRequests)]);
        assert_eq!(limits.admit(&one).expect_err("still").retry_after, Some(1));
        for other in [client("A", "192.0.2.2"), client("B", "192.0.2.1"), client("", "192.0.2.1")] {
            assert_eq!(limits.admit(&other), Ok(()), "{other:?}");
        }
    }

    #[test]
    fn whoever_guesses_too_often_is_not_answered() {
        let limits = limits(0, 3);
        let (guesser, neighbour) = (client("", "192.0.2.1"), client("A", "192.0.2.1"));
        for _ in 0..3 {
            limits.note_guess(&guesser);
            assert_eq!(limits.admit(&guesser), Ok(()));
        }
        limits.note_guess(&guesser);
        let refused = limits.admit(&guesser).expect_err("too many");
        assert_eq!((refused.code, refused.retry_after), (Code::TooManyRequests, Some(60)));
        assert_eq!(limits.admit(&neighbour), Ok(()), "who has a key is not held up");
    }

    #[test]
    fn nothing_is_limited_by_zero() {
        let limits = limits(0, 0);
        let client = client("", "192.0.2.1");
        for _ in 0..100_000 {
            limits.note_guess(&client);
            assert_eq!(limits.admit(&client), Ok(()));
        }
    }
}
