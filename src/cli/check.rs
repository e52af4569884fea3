//! `kinora check`: reads the settings and names every problem.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::say;
use crate::config::Config;

pub(super) fn run(file: Option<&Path>) -> ExitCode {
    let (text, code) = match Config::load(file) {
        Ok(_) => ("the configuration is fine".to_owned(), ExitCode::SUCCESS),
        Err(problems) => (problems.to_string(), ExitCode::FAILURE),
    };
    match say(&text) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
