//! A JSON Schema, draft 2020-12, that cannot be made to work long: nothing is fetched, nothing recurses.
//!
//! References are read within the schema alone, as `#/$defs/NAME`, and may neither form a circle nor multiply: what a
//! schema comes to with all of them written out is bounded. Patterns are matched in linear time.

use std::collections::HashMap;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::metadata::Error;

const MAX_BYTES: usize = 64 * 1024;
const MAX_DEPTH: usize = 32;

/// The most nodes of a schema with its references written out.
const MAX_NODES: usize = 20_000;

/// Of a field that can be searched for; its values are in an index.
const MAX_FIELD_BYTES: usize = 100;

const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The rules for `data`.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSchema(Value);

impl JsonSchema {
    /// Checks a schema.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`] says what is wrong with it.
    pub fn new(value: Value) -> Result<Self, Error> {
        let rule = |holds: bool, rule: &str| match holds {
            true => Ok(()),
            false => Err(Error::InvalidSchema(rule.to_owned())),
        };
        rule(value.is_object(), "a schema is a JSON object")?;
        rule(value.to_string().len() <= MAX_BYTES, "a schema has at most 64 KiB")?;
        let dialect = value.get("$schema").is_none_or(|uri| {
            uri.as_str().is_some_and(|uri| {
                uri.trim_end_matches('#') == "https://json-schema.org/draft/2020-12/schema"
            })
        });
        rule(dialect, "`$schema` must be that of draft 2020-12")?;
        Expansion { schema: &value, known: HashMap::new() }.nodes(&value, 0).map_err(Error::InvalidSchema)?;
        let schema = Self(value);
        let fields = schema.fields_with("searchable").chain(schema.fields_with("keyword_searchable"));
        let is_short = fields.map(|(field, _)| field.len()).all(|bytes| bytes <= MAX_FIELD_BYTES);
        rule(is_short, "the name of a searchable field has at most 100 bytes")?;
        schema.validator()?;
        Ok(schema)
    }

    /// One that [`JsonSchema::new`] has checked before.
    pub(super) fn trusted(value: Value) -> Self {
        Self(value)
    }

    /// The schema itself.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Whether data fits.
    ///
    /// # Errors
    /// [`Error::InvalidData`] says where it does not.
    pub fn validate(&self, data: &Map<String, Value>) -> Result<(), Error> {
        let data = Value::Object(data.clone());
        self.validator()?.validate(&data).map_err(|error| {
            let place = error.instance_path().to_string();
            // The message may hold all of the value.
            let message: String = error.to_string().chars().take(300).collect();
            Error::InvalidData(format!("`data{place}`: {message}"))
        })
    }

    fn validator(&self) -> Result<Validator, Error> {
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
            .offline()
            .build(&self.0)
            .map_err(|error| Error::InvalidSchema(error.to_string().chars().take(300).collect()))
    }

    /// The fields whose `filespin_properties` have this member set to true, and what the schema says of them.
    pub(crate) fn fields_with(&self, member: &str) -> impl Iterator<Item = (&str, &Value)> {
        let fields = self.0.get("properties").and_then(Value::as_object).into_iter().flatten();
        fields
            .filter(move |(_, of)| {
                of.get("filespin_properties").and_then(|own| own.get(member)) == Some(&Value::Bool(true))
            })
            .map(|(field, of)| (field.as_str(), of))
    }
}

/// Counts the nodes of a schema with its references written out.
struct Expansion<'a> {
    schema: &'a Value,
    /// Of references; none while it is being counted.
    known: HashMap<&'a str, Option<usize>>,
}

impl<'a> Expansion<'a> {
    fn nodes(&mut self, value: &'a Value, depth: usize) -> Result<usize, String> {
        if depth > MAX_DEPTH {
            return Err(format!("a schema is at most {MAX_DEPTH} levels deep"));
        }
        let mut count = 1;
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    count += match (name.as_str(), member) {
                        ("$ref", Value::String(target)) => self.target(target)?,
                        (
                            "$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor" | "$id",
                            Value::String(_),
                        ) => {
                            return Err(format!("`{name}` is not supported"));
                        }
                        _ => self.nodes(member, depth + 1)?,
                    };
                }
            }
            Value::Array(items) => {
                for item in items {
                    count += self.nodes(item, depth + 1)?;
                }
            }
            _ => {}
        }
        if count > MAX_NODES {
            Err("the schema is too large with its references written out".to_owned())
        } else {
            Ok(count)
        }
    }

    fn target(&mut self, target: &'a str) -> Result<usize, String> {
        match self.known.get(target) {
            Some(Some(count)) => return Ok(*count),
            Some(None) => return Err(format!("`$ref` {target:?} refers to itself")),
            None => {}
        }
        let pointer = target.strip_prefix('#').filter(|_| target.starts_with("#/$defs/"));
        let node = pointer.and_then(|pointer| self.schema.pointer(pointer));
        let node = node.ok_or_else(|| format!("`$ref` {target:?} is not \"#/$defs/NAME\" of this schema"))?;
        self.known.insert(target, None);
        // Each begins anew: a circle is found, and the count bounds the rest.
        let count = self.nodes(node, 0)?;
        self.known.insert(target, Some(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn data_is_held_to_its_schema() {
        let schema = JsonSchema::new(json!({
            "type": "object",
            "properties": {
                "title": { "$ref": "#/$defs/text", "filespin_properties": { "searchable": true } },
                "year": { "type": "integer", "minimum": 1800, "filespin_properties": { "searchable": false } },
            },
            "required": ["title"],
            "$defs": { "text": { "type": "string", "pattern": "^[A-Z]" } },
        }))
        .expect("a schema");
        assert!(schema.validate(&data(json!({ "title": "Sunset", "year": 1999 }))).is_ok());
        for (bad, place) in [
            (json!({ "year": 1999 }), "`data`"),
            (json!({ "title": "sunset" }), "`data/title`"),
            (json!({ "title": "Sunset", "year": 1799 }), "`data/year`"),
        ] {
            let refused = schema.validate(&data(bad)).expect_err("invalid").to_string();
            assert!(refused.starts_with(place), "{refused}");
        }
        let searchable: Vec<_> = schema.fields_with("searchable").map(|(field, _)| field).collect();
        assert_eq!(searchable, ["title"]);
    }

    #[test]
    fn a_schema_that_reaches_out_or_grows_is_refused() {
        let deep = (0..40).fold(json!({}), |inner, _| json!({ "not": inner }));
        // Each level refers twice to the next: 2^30 nodes.
        let mut levels: Map<String, Value> = (0..30)
            .map(|level| {
                let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
                (level.to_string(), json!({ "allOf": [next, next] }))
            })
            .collect();
        levels.insert("30".to_owned(), json!({}));
        for (case, schema) in [
            ("no object", json!(true)),
            ("not a schema", json!({ "type": "text" })),
            ("another draft", json!({ "$schema": "http://json-schema.org/draft-07/schema#" })),
            ("from the network", json!({ "$ref": "http://169.254.169.254/x" })),
            ("from a file", json!({ "$ref": "file:///etc/passwd" })),
            ("of nothing", json!({ "$ref": "#/$defs/nothing" })),
            ("of itself", json!({ "$ref": "#" })),
            ("a circle", json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } })),
            ("recursion", json!({ "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } })),
            ("another base", json!({ "$id": "http://a.org/", "$ref": "#/$defs/x", "$defs": { "x": {} } })),
            ("a moving reference", json!({ "$dynamicRef": "#x" })),
            ("deep", deep),
            ("growing", json!({ "$ref": "#/$defs/0", "$defs": levels })),
            ("large", json!({ "description": "x".repeat(70_000) })),
            ("a pattern that explodes", json!({ "pattern": "((a{1000}){1000}){1000}" })),
        ] {
            let refused = JsonSchema::new(schema);
            assert!(matches!(refused, Err(Error::InvalidSchema(_))), "{case}: {refused:?}");
        }
    }

    #[test]
    fn a_pattern_takes_linear_time() {
        let schema =
            JsonSchema::new(json!({ "properties": { "a": { "pattern": "^(a+)+$" } } })).expect("a schema");
        let long = format!("{}!", "a".repeat(10_000));
        assert!(schema.validate(&data(json!({ "a": long }))).is_err());
    }
}
