//! The section `[catalog]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::setting::Problem;

/// Where keys and facts are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:PATH`; a relative path starts at `data.dir`.
    pub url: String,
}

impl Config {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        match self.sqlite_path(Path::new("")) {
            Some(_) => Vec::new(),
            None => vec![Problem::new("catalog.url", &self.url, "must be sqlite:PATH")],
        }
    }

    /// The SQLite file, if this is the kind of catalogue.
    pub fn sqlite_path(&self, data_dir: &Path) -> Option<PathBuf> {
        let path = self.url.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        // A query or a database in memory would quietly be another thing than the file we protect.
        let is_file =
            !path.is_empty() && !path.ends_with('/') && !path.starts_with(':') && !path.contains('?');
        is_file.then(|| data_dir.join(path))
    }
}
