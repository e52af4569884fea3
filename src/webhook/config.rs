//! The section `[webhooks]`.

use std::time::Duration;

use humantime_serde::re::humantime::parse_duration;
use serde::Deserialize;

use crate::net::Guard;
use crate::setting::{Cidr, Problem};
use crate::webhook::Rules;

/// Whom webhooks may reach, and how patiently.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Networks that may be called although they are not public; none by default.
    pub allow_cidrs: Vec<String>,
    /// Hooks with a plain `http` URL are refused; off.
    pub require_https: bool,
    /// Longest time of an attempt, connecting included, 20 s.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// The waits after each failed attempt; after the last, a delivery is dead.
    pub schedule: Vec<String>,
    /// Attempts to one hook at the same time, over all processes, 10. Hooks do not share places, so
    /// that one which hangs delays no other.
    pub concurrency: u32,
    /// A hook with nothing but failures for so long is disabled, 5 days.
    #[serde(with = "humantime_serde")]
    pub disable_after: Duration,
    /// How long events and their deliveries are kept, 30 days.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

impl Config {
    /// Longer, and a lease would outlive every patience.
    const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let networks = self.allow_cidrs.iter().filter(|text| text.parse::<Cidr>().is_err());
        problems.extend(networks.map(|text| Problem::new("webhooks.allow_cidrs", text, Cidr::REMEDY)));
        let waits = self.schedule.iter().filter(|text| parse_duration(text).is_err());
        let remedy = "must be times such as \"5s\", \"30m\" or \"2h\"";
        problems.extend(waits.map(|text| Problem::new("webhooks.schedule", text, remedy)));
        if self.timeout.is_zero() || self.timeout > Self::LONGEST_TIMEOUT {
            let value = format!("{:?}", self.timeout);
            problems.push(Problem::new("webhooks.timeout", value, "must be longer than 0s and at most 60s"));
        }
        if !(1..=100).contains(&self.concurrency) {
            let remedy = "must lie between 1 and 100";
            problems.push(Problem::new("webhooks.concurrency", self.concurrency, remedy));
        }
        let rules = self.rules();
        let longest = rules.waits.iter().map(|wait| wait.as_secs()).fold(0, u64::saturating_add);
        if self.keep.as_secs() <= longest.saturating_add(longest / 4) {
            let value = format!("{:?}", self.keep);
            let remedy = "must be longer than all waits of webhooks.schedule together, and a quarter more";
            problems.push(Problem::new("webhooks.keep", value, remedy));
        }
        problems
    }

    /// The guard of these networks.
    pub fn guard(&self) -> Guard {
        Guard::new(self.allow_cidrs.iter().filter_map(|text| text.parse().ok()))
    }

    /// What follows from an attempt.
    pub fn rules(&self) -> Rules {
        let waits = self.schedule.iter().filter_map(|text| parse_duration(text).ok());
        Rules { waits: waits.collect(), disable_after: self.disable_after }
    }
}
