//! The settings of the whole program, composed of each module's own section.
//!
//! `config.toml` is built in and is the manual; a file and the environment are laid over it, key by
//! key. Every given key is first tried alone over the built-in settings, so that all that is wrong is
//! told at once and each problem knows the key that it comes from.

mod data;
mod problems;
mod source;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use crate::api;
use crate::cache;
use crate::job;
use crate::metadata;
use crate::origin;
use crate::proxy::{DeliveryConfig, PurgeConfig, ServerConfig};
use crate::render;
use crate::render::ImageConfig;
use crate::request::Rules;
use crate::setting::Problem;
use crate::telemetry;
use crate::upload;
use crate::webhook;

pub use data::DataConfig;
pub use problems::{Fault, Problems};
pub use source::{EMBEDDED, Source};

use source::Given;

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The public listener.
    pub server: ServerConfig,
    /// The listener for machines that watch us.
    pub admin: api::Config,
    /// Where we keep what is ours.
    pub data: DataConfig,
    /// Where originals live.
    pub origin: origin::Config,
    /// Where keys and facts are kept.
    pub catalog: metadata::Config,
    /// How much may be said about an asset.
    pub metadata: metadata::Limits,
    /// What is kept of answers.
    pub cache: cache::Config,
    /// How much work is admitted.
    pub render: render::Config,
    /// What size of picture is let in and out.
    pub image: ImageConfig,
    /// Who may have what, and how long others may keep it.
    pub delivery: DeliveryConfig,
    /// What may be uploaded, and where it goes.
    pub upload: upload::Config,
    /// How often clients may ask the control plane.
    pub limits: api::LimitsConfig,
    /// Who may purge without an API key.
    pub purge: PurgeConfig,
    /// Whom webhooks may reach, and how patiently.
    pub webhooks: webhook::Config,
    /// Whence files are imported, and how patiently.
    pub imports: job::ImportConfig,
    /// Work that outlives a request.
    pub jobs: job::Config,
    /// What is logged.
    pub log: telemetry::Config,
    /// Dangerous switches.
    pub insecure: InsecureConfig,
}

/// Dangerous switches, all of them off; whoever turns one on is warned at each start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InsecureConfig {}

impl Config {
    /// The built-in settings under those of `file` under those of the environment.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(file: Option<&Path>) -> Result<Self, Problems> {
        Self::from_layers(file, source::environment())
    }

    /// As [`Config::load`], with an environment of one's own.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_layers(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Problems> {
        let mut faults = Vec::new();
        let defaults = source::defaults().map_err(|fault| Problems(vec![fault]))?;
        let mut given = file.map(|path| source::from_file(path, &defaults, &mut faults)).unwrap_or_default();
        given.extend(source::from_environment(environment, &defaults, &mut faults));

        let mut merged = defaults.clone();
        let mut sources = BTreeMap::new();
        for item in given {
            match tried_alone(&defaults, &item) {
                Ok(()) => {
                    put(&mut merged, &item.path, item.value.clone());
                    sources.insert(item.key(), item.source);
                }
                Err(message) => faults.push(problems::misfit(&item, &defaults, &message)),
            }
        }
        let config: Self = merged.try_into().map_err(|error: toml::de::Error| {
            Problems(vec![Fault::new("config.toml", "", Source::Embedded, error.message())])
        })?;
        let placed = |problem: Problem| {
            let source = sources.get(&problem.key).cloned().unwrap_or(Source::Embedded);
            Fault::new(&problem.key, &problem.value, source, &problem.remedy)
        };
        faults.extend(config.check().into_iter().map(placed));
        if faults.is_empty() { Ok(config) } else { Err(Problems(faults)) }
    }

    /// What decides the meaning of a URL.
    pub fn rules(&self) -> Rules {
        Rules {
            max_width: self.image.max_width,
            max_height: self.image.max_height,
            presets: self.image.presets(),
            presets_only: self.delivery.presets_only,
            asset_prefix: Some(self.upload.prefix.clone()),
        }
    }

    /// What is wrong with values that have the right types.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = [
            self.server.check(),
            self.admin.check(),
            self.data.check(),
            self.origin.check(),
            self.catalog.check(),
            self.metadata.check(),
            self.cache.check(),
            self.render.check(),
            self.image.check(),
            self.delivery.check(),
            self.upload.check(),
            self.limits.check(),
            self.purge.check(),
            self.webhooks.check(),
            self.imports.check(),
            self.jobs.check(),
            self.log.check(),
        ]
        .concat();
        problems.extend(self.check_listeners());
        problems
    }

    fn check_listeners(&self) -> Vec<Problem> {
        let tls = self.server.tls.is_on().then_some(("server.tls.listen", self.server.tls.listen));
        let public = [("server.listen", self.server.listen)].into_iter().chain(tls);
        let admin = ("admin.listen", self.admin.listen);
        let mut taken: Vec<(&str, std::net::SocketAddr)> = Vec::new();
        let mut problems = Vec::new();
        for (key, address) in public.chain([admin]) {
            // Port 0 is another port each time.
            match taken.iter().find(|(_, other)| address.port() != 0 && *other == address) {
                Some((other, _)) => {
                    problems.push(Problem::new(key, address, format!("must differ from {other}")));
                }
                None => taken.push((key, address)),
            }
        }
        problems
    }
}

/// Whether this value alone fits among the built-in ones.
fn tried_alone(defaults: &Table, item: &Given) -> Result<(), String> {
    let mut table = defaults.clone();
    put(&mut table, &item.path, item.value.clone());
    table.try_into::<Config>().map(drop).map_err(|error| error.message().to_owned())
}

/// Replaces a value; the path is one that `source` has found in the built-in settings.
fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [section, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(section) {
                put(inner, rest, value);
            }
        }
    }
}
