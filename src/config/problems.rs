//! What is wrong with the settings, as it is told to people: key, value, source, remedy.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use bytesize::ByteSize;
use humantime_serde::re::humantime;
use toml::{Table, Value};

use crate::config::source;
use crate::config::source::{Given, Source};

/// Everything that is wrong, at once.
#[derive(Debug, Clone)]
pub struct Problems(pub Vec<Fault>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Full dotted key.
    pub key: String,
    /// Its value; `***` for a secret.
    pub value: String,
    /// Where the value comes from.
    pub source: Source,
    /// What would be right.
    pub remedy: String,
}

impl Fault {
    pub(super) fn new(key: &str, value: &str, source: Source, remedy: &str) -> Self {
        let value = if is_secret(key) { "***".to_owned() } else { without_password(value) };
        Self { key: key.to_owned(), value, source, remedy: remedy.to_owned() }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{count} {noun} in the configuration:")?;
        for Fault { key, value, source, remedy } in &self.0 {
            write!(f, "\n  {key} = {value}  ({source})\n      {remedy}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}

pub(super) fn unknown(path: &[String], value: &Value, source: Source, siblings: &Table) -> Fault {
    let names = siblings.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let remedy = match path.split_last() {
        Some((_, [])) => format!("there is no such section; there are {names}"),
        Some((_, section)) if names.is_empty() => format!("[{}] has no keys", section.join(".")),
        Some((_, section)) => format!("there is no such key; [{}] has {names}", section.join(".")),
        None => String::new(),
    };
    Fault::new(&path.join("."), &text_of(value), source, &remedy)
}

pub(super) fn not_a_section(path: &[String], value: &Value, source: Source, inner: &Table) -> Fault {
    let names = inner.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let remedy = format!("is a section; set one of its keys: {names}");
    Fault::new(&path.join("."), &text_of(value), source, &remedy)
}

/// A value that does not fit its key; `message` is serde's account of it.
pub(super) fn misfit(item: &Given, defaults: &Table, message: &str) -> Fault {
    let remedy = match source::find(defaults, &item.path) {
        // An enumeration: only serde knows the words.
        _ if message.starts_with("unknown variant") && !is_secret(&item.key()) => {
            let expected = message.split_once("expected ").map_or(message, |(_, expected)| expected);
            format!("must be {}", expected.replace('`', "\""))
        }
        Some(default) => format!("must be {}", kind_of(default)),
        None => message.to_owned(),
    };
    Fault::new(&item.key(), &text_of(&item.value), item.source.clone(), &remedy)
}

/// What a value has to be, told by the shape of its default.
fn kind_of(default: &Value) -> String {
    let example = text_of(default);
    match default {
        Value::Boolean(_) => "true or false".to_owned(),
        Value::Integer(_) => format!("a whole number, not negative, such as {example}"),
        Value::Float(_) => format!("a number such as {example}"),
        Value::Array(_) => "a list of texts such as [\"*\"]".to_owned(),
        Value::String(text) if text.parse::<SocketAddr>().is_ok() => {
            format!("an IP address with a port such as {example}")
        }
        Value::String(text) if text.is_empty() => "a text in quotes".to_owned(),
        Value::String(text) if humantime::parse_duration(text).is_ok() => format!("a time such as {example}"),
        Value::String(text) if text.parse::<ByteSize>().is_ok() => format!("a size such as {example}"),
        _ => format!("a text in quotes such as {example}"),
    }
}

/// A value on one line; of a section only that it is one.
fn text_of(value: &Value) -> String {
    match value {
        Value::Table(_) => "{...}".to_owned(),
        value => value.to_string(),
    }
}

/// Recognised by name, so that a secret under a misspelled key is none the less kept back.
fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    ["secret", "password", "passwd", "token", "credential"].iter().any(|word| name.contains(word))
}

/// Keeps back what stands between scheme and host.
fn without_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    // Up to the last one: a password that was pasted as it is may hold any sign.
    match rest.rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => value.to_owned(),
    }
}
