//! The section `[log]`.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::setting::Problem;

/// What is logged, and in which shape.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Shape of a line, `text`.
    pub format: LogFormat,
    /// Least level, `info`, or directives such as `info,kinora=debug`.
    pub level: String,
}

/// Shape of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For eyes.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        match self.level.parse::<EnvFilter>() {
            Ok(_) if !self.level.trim().is_empty() => Vec::new(),
            _ => {
                let remedy =
                    "must be error, warn, info, debug or trace, or directives such as \"info,kinora=debug\"";
                vec![Problem::new("log.level", &self.level, remedy)]
            }
        }
    }
}
