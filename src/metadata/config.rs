//! The section `[catalog]`.

use std::path::Path;

use serde::Deserialize;

use crate::metadata::db::{Address, address};
use crate::setting::{Problem, Secret};

/// Where keys and facts are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:PATH`, where a relative path starts at `data.dir`, or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: Secret,
}

impl Config {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let remedy = "must be sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE";
        match self.address(Path::new("")) {
            Some(_) => Vec::new(),
            None => vec![Problem::new("catalog.url", "***", remedy)],
        }
    }

    pub(crate) fn address(&self, data_dir: &Path) -> Option<Address> {
        address(self.url.expose(), data_dir)
    }
}
