//! Where settings come from: built in, a file, the environment. Each later one leads.
//!
//! The built-in tree names every key there is, so it also tells an unknown key from a known one and
//! what kind of value a text of the environment stands for.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::config::problems;
use crate::config::problems::Fault;

/// The built-in settings, which are also the manual.
pub const EMBEDDED: &str = include_str!("../../config.toml");

const PREFIX: &str = "KINORA__";

/// Sections whose keys are names that somebody has chosen.
const OPEN: [&[&str]; 1] = [&["image", "presets"]];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The built-in settings.
    Embedded,
    /// The file of `--config`.
    File(PathBuf),
    /// This variable of the environment.
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("built-in default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// One value that somebody has set, at a place that exists in the built-in settings.
pub(super) struct Given {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) source: Source,
}

impl Given {
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }
}

pub(super) fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

pub(super) fn defaults() -> Result<Table, Fault> {
    parse(EMBEDDED).map_err(|remedy| Fault::new("config.toml", "", Source::Embedded, &remedy))
}

pub(super) fn from_file(path: &Path, defaults: &Table, faults: &mut Vec<Fault>) -> Vec<Given> {
    let source = Source::File(path.to_owned());
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
    match text.and_then(|text| parse(&text)) {
        Ok(table) => {
            let mut walk = Walk { source, given: Vec::new(), faults };
            walk.section(&[], table, defaults);
            walk.given
        }
        Err(remedy) => {
            faults.push(Fault::new("--config", &path.display().to_string(), source, &remedy));
            Vec::new()
        }
    }
}

/// The parser's own account quotes the line, which may hold a secret; so only its place is told.
fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("is not valid TOML, line {line}: {}", error.message())
    })
}

pub(super) fn from_environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    defaults: &Table,
    faults: &mut Vec<Fault>,
) -> Vec<Given> {
    let mut given = Vec::new();
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort();
    for (name, value) in ours {
        let path: Vec<String> = name.split("__").skip(1).map(|part| part.to_ascii_lowercase()).collect();
        let source = Source::Environment(name);
        let Ok(text) = value.into_string() else {
            faults.push(Fault::new(&path.join("."), "", source, "must be UTF-8"));
            continue;
        };
        let value = value_like(find(defaults, &path), text);
        let nested = path
            .iter()
            .rev()
            .fold(value, |inner, part| Value::Table(Table::from_iter([(part.clone(), inner)])));
        if let Value::Table(table) = nested {
            let mut walk = Walk { source, given: Vec::new(), faults };
            walk.section(&[], table, defaults);
            given.append(&mut walk.given);
        }
    }
    given
}

/// Reads a text as the kind of value that stands at its place; what cannot be read stays a text,
/// and is refused where it is tried.
fn value_like(default: Option<&Value>, text: String) -> Value {
    match default {
        Some(Value::Integer(_)) => text.trim().parse().map_or(Value::String(text), Value::Integer),
        Some(Value::Float(_)) => text.trim().parse().map_or(Value::String(text), Value::Float),
        Some(Value::Boolean(_)) => text.trim().parse().map_or(Value::String(text), Value::Boolean),
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => {
            let list = format!("list = {text}").parse().ok();
            list.and_then(|mut table: Table| table.remove("list")).unwrap_or(Value::String(text))
        }
        Some(Value::Array(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => Value::String(text),
    }
}

pub(super) fn find<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (last, sections) = path.split_last()?;
    let inner = sections.iter().try_fold(table, |table, name| table.get(name)?.as_table())?;
    inner.get(last)
}

/// Goes down what somebody has set, side by side with the built-in settings.
struct Walk<'a> {
    source: Source,
    given: Vec<Given>,
    faults: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    fn section(&mut self, section: &[String], table: Table, defaults: &Table) {
        for (name, value) in table {
            let mut path = section.to_vec();
            path.push(name.clone());
            match (defaults.get(&name), value) {
                (None, value) if OPEN.iter().any(|open| *open == section) => {
                    self.given.push(Given { path, value, source: self.source.clone() });
                }
                (None, value) => {
                    self.faults.push(problems::unknown(&path, &value, self.source.clone(), defaults));
                }
                (Some(Value::Table(inner)), Value::Table(table)) => self.section(&path, table, inner),
                (Some(Value::Table(inner)), value) => {
                    self.faults.push(problems::not_a_section(&path, &value, self.source.clone(), inner));
                }
                (Some(_), value) => self.given.push(Given { path, value, source: self.source.clone() }),
            }
        }
    }
}
