//! The section `[upload]`.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::origin::ObjectKey;
use crate::setting::Problem;

/// What may be uploaded, and where it goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the objects of assets lie in the bucket, `kinora`; nothing below is delivered by its key.
    pub prefix: String,
    /// The largest file, 5 GiB.
    pub max_bytes: ByteSize,
    /// The most files in one form, 100.
    pub max_files: usize,
    /// What files may be: `*`, `image/*`, `application/pdf`; all of them.
    pub types: Vec<String>,
    /// How long an upload that goes on later may rest, 1 day.
    #[serde(with = "humantime_serde")]
    pub expires_after: Duration,
}

impl Config {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        // It is followed by an id, a number and a name.
        let is_prefix = ObjectKey::new(self.prefix.clone()).is_ok() && self.prefix.len() <= 200;
        if !is_prefix || self.prefix.split('/').any(|segment| segment.starts_with('.')) {
            let remedy = "must be a folder such as \"kinora\", without a slash at its ends";
            problems.push(Problem::new("upload.prefix", &self.prefix, remedy));
        }
        if self.max_bytes.as_u64() == 0 {
            problems.push(Problem::new("upload.max_bytes", "0", "must be larger than 0"));
        }
        if self.max_files == 0 {
            problems.push(Problem::new("upload.max_files", 0, "must be at least 1"));
        }
        if let Some(bad) = self.types.iter().find(|pattern| !is_pattern(pattern)) {
            let remedy = "must be \"*\", or types such as \"image/*\" and \"application/pdf\"";
            problems.push(Problem::new("upload.types", bad, remedy));
        }
        if self.expires_after.as_secs() == 0 {
            problems.push(Problem::new("upload.expires_after", "0s", "must be at least 1s"));
        }
        problems
    }
}

fn is_pattern(pattern: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"*/ABCDEFGHIJKLMNOPQRSTUVWXYZ".contains(&byte))
    };
    pattern == "*"
        || pattern.split_once('/').is_some_and(|(kind, rest)| word(kind) && (rest == "*" || word(rest)))
}
