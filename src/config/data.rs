//! The section `[data]`: the directory that everything embedded lives below.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::setting::Problem;

/// Where we keep what is ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The directory, `kinora-data` below the working directory.
    pub dir: PathBuf,
}

impl DataConfig {
    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let remedy = if self.dir.as_os_str().is_empty() {
            "must name a directory"
        } else if self.dir.exists() && !self.dir.is_dir() {
            "must be a directory, but is a file"
        } else {
            return Vec::new();
        };
        vec![Problem::new("data.dir", self.dir.display(), remedy)]
    }

    /// Makes the directory, for our own user alone; one that exists keeps its rights.
    ///
    /// # Errors
    /// As the file system has it.
    pub fn prepare(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)
    }
}
