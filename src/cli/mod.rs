//! The command line: one file for each command, all of them thin.
//!
//! What a command has to say goes to standard output, what went wrong to standard error; the exit
//! code is 0, 1 for a failure, 2 for arguments that make no sense.

mod cache;
mod check;
mod explain;
mod hook;
mod import;
mod key;
mod purge;
mod serve;
mod sign;

use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};

use crate::config::{Config, Problems};
use crate::metadata;
use crate::metadata::Catalog;
use crate::origin;
use crate::server;
use crate::signature::SignError;

/// Self-hosted edge image and video proxy: resize, negotiate, sign and cache.
#[derive(Parser)]
#[command(name = "kinora", version)]
struct Arguments {
    /// Settings laid over the built-in ones
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything in one process (what `kinora` alone does)
    Serve {
        /// Take the sockets over from the running server (send it SIGQUIT afterwards)
        #[arg(long)]
        upgrade: bool,
    },
    /// Read the settings and name every problem
    Check,
    /// Sign a URL, or make a path token
    Sign(sign::Arguments),
    /// Say how a URL is read: route, canonical form, cache keys, signature verdict
    Explain(explain::Arguments),
    /// Make, list and revoke keys
    #[command(subcommand)]
    Key(key::Command),
    /// Make assets of existing files: of a directory, or of a bucket
    Import(import::Arguments),
    /// Drop cached answers by asset, object key, prefix or tag
    Purge(purge::Arguments),
    /// Try a webhook
    #[command(subcommand)]
    Hook(hook::Command),
    /// Ask the running server about its cache
    #[command(subcommand)]
    Cache(cache::Command),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0}")]
    Catalog(#[from] metadata::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Sign(#[from] SignError),
    #[error("{0}")]
    Origin(#[from] origin::Error),
    #[error("{0}")]
    OpenOrigin(#[from] origin::OpenError),
    #[error("{0}")]
    Server(#[from] server::Error),
    #[error("{0}")]
    Arguments(String),
}

/// Runs the command that the arguments of the process ask for.
pub fn run() -> ExitCode {
    let Arguments { config, command } = Arguments::parse();
    let file = config.as_deref();
    let outcome = match command.unwrap_or(Command::Serve { upgrade: false }) {
        Command::Check => return check::run(file),
        Command::Serve { upgrade } => load(file).and_then(|config| serve::run(&config, upgrade)),
        Command::Sign(arguments) => load(file).and_then(|config| sign::run(&config, &arguments)),
        Command::Explain(arguments) => load(file).and_then(|config| explain::run(&config, &arguments)),
        Command::Import(arguments) => load(file).and_then(|config| import::run(&config, &arguments)),
        Command::Purge(arguments) => load(file).and_then(|config| purge::run(&config, arguments)),
        Command::Hook(command) => load(file).and_then(|config| hook::run(&config, command)),
        Command::Cache(command) => load(file).and_then(|config| cache::run(&config, command)),
        Command::Key(command) => load(file).and_then(|config| key::run(&config, command)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // `| head` has seen what it wanted. Still a failure: it may have been a secret that is shown once.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            // With standard error gone, there is nobody left to tell.
            drop(writeln!(io::stderr(), "kinora: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn load(file: Option<&Path>) -> Result<Config, Error> {
    Ok(Config::load(file)?)
}

fn say(text: &str) -> Result<(), Error> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Runs what waits, on this thread.
fn wait_for<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The catalogue if there is one: what only reads must not make the data directory.
async fn existing_catalog(config: &Config) -> Result<Option<Catalog>, Error> {
    match Catalog::exists(&config.catalog, &config.data.dir) {
        true => Ok(Some(Catalog::open(&config.catalog, &config.data.dir).await?)),
        false => Ok(None),
    }
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
