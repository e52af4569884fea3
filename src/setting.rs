//! The words that a section of the configuration is written in.
//!
//! Every module defines its own `Config` next to its use; `config/` only composes them. What they
//! share lives here, at the bottom, so that no module has to look up to `config/`.

use std::fmt;

use serde::Deserialize;

/// One thing that is wrong with a setting: what it is, and what to do about it.
///
/// `check()` of a section returns all of them at once; `config/` adds where the value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Full dotted key, for example `origin.s3.bucket`.
    pub key: String,
    /// The offending value as text; never that of a secret.
    pub value: String,
    /// What is wrong and what would be right, as one sentence.
    pub remedy: String,
}

impl Problem {
    /// A problem of `key`, whose present value is `value`.
    pub fn new(key: &str, value: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: value.to_string(), remedy: remedy.into() }
    }
}

/// A text that must never reach a log: `Debug` prints `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Call it only where the secret is used, and keep the result short-lived.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether no secret was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
