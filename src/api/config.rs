//! The section `[admin]`.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::setting::Problem;

/// The listener for machines that watch us.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of `/metrics`, `/healthz` and `/readyz`, `127.0.0.1:9090`; port 0 picks a free one.
    pub listen: SocketAddr,
}

impl Config {
    /// What is wrong with these values: nothing that their types would not have refused.
    pub fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}
