//! The section `[metadata]`.

use bytesize::ByteSize;
use serde::Deserialize;

use crate::setting::Problem;

/// How much may be said about an asset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The `data` of one asset as JSON, 16 KiB.
    pub max_data_bytes: ByteSize,
}

impl Limits {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let most = ByteSize::kib(512);
        match self.max_data_bytes <= most {
            true => Vec::new(),
            false => vec![Problem::new(
                "metadata.max_data_bytes",
                self.max_data_bytes,
                format!("must be at most {most}"),
            )],
        }
    }
}
