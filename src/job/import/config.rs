//! The section `[imports]`.

use std::time::Duration;

use serde::Deserialize;

use crate::net::Guard;
use crate::setting::{Cidr, Problem};

/// Whence files are imported, and how patiently.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// Networks that may be called although they are not public; none by default.
    pub allow_cidrs: Vec<String>,
    /// Longest time of an import, 30 min.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Longest wait for a connection, for the head of an answer, and between two pieces of its body, 30 s.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
}

impl ImportConfig {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let wrong = self.allow_cidrs.iter().filter(|text| text.parse::<Cidr>().is_err());
        let mut problems: Vec<_> =
            wrong.map(|text| Problem::new("imports.allow_cidrs", text, Cidr::REMEDY)).collect();
        for (key, time) in [("imports.timeout", self.timeout), ("imports.read_timeout", self.read_timeout)] {
            if time.is_zero() {
                problems.push(Problem::new(key, "0s", "must be longer than 0s"));
            }
        }
        problems
    }

    /// The guard of these networks.
    pub fn guard(&self) -> Guard {
        Guard::new(self.allow_cidrs.iter().filter_map(|text| text.parse().ok()))
    }
}
