//! What an asset is found by, written with it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::metadata::db::{Tx, on};
use crate::metadata::schema::schema_within;
use crate::metadata::search::words::{texts, words};
use crate::metadata::{Asset, Error, JsonSchema};

/// A field of `data` that is found by its words whatever its schema says.
const SEARCH_TEXT: &str = "filespin_search_txt";

/// Values are compared by so many signs.
const MAX_VALUE_CHARS: usize = 300;

/// Replaces what the asset of this `seq` is found by. Values of fields count if all of the data fits its schema.
pub(crate) async fn index(tx: &mut Tx, seq: i64, asset: &Asset) -> Result<(), Error> {
    let schema = schema_within(tx, asset.data_schema_id).await?;
    for statement in
        ["DELETE FROM asset_words WHERE rowid = $1", "DELETE FROM asset_fields WHERE asset_seq = $1"]
    {
        on!(tx.connection(), connection => sqlx::query(statement).bind(seq).execute(connection).await.map(drop))?;
    }
    let insert = tx.dialect(
        "INSERT INTO asset_words (rowid, words) VALUES ($1, $2)",
        "INSERT INTO asset_words (rowid, words) VALUES ($1, array_to_tsvector(string_to_array($2, ' ')))",
    );
    on!(tx.connection(), connection => sqlx::query(insert)
        .bind(seq)
        .bind(found_by(asset, schema.as_ref()))
        .execute(connection)
        .await
        .map(drop))?;
    let Some(schema) = schema.filter(|schema| schema.validate(&asset.data).is_ok()) else { return Ok(()) };
    for (field, value) in fields(asset, &schema) {
        let insert = "INSERT INTO asset_fields (schema_id, field, value, asset_seq) VALUES ($1, $2, $3, $4)";
        on!(tx.connection(), connection => sqlx::query(insert)
            .bind(asset.data_schema_id)
            .bind(field)
            .bind(value)
            .bind(seq)
            .execute(connection)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// The words of the name and of the data: without a schema of all of it, with one of what it names.
fn found_by(asset: &Asset, schema: Option<&JsonSchema>) -> String {
    let mut all = vec![asset.name.as_str()];
    match schema {
        None => asset.data.values().for_each(|value| texts(value, &mut all)),
        Some(schema) => {
            let fields = schema.fields_with("keyword_searchable").map(|(field, _)| field);
            let fields = fields.filter(|field| *field != SEARCH_TEXT).chain([SEARCH_TEXT]);
            fields.filter_map(|field| asset.data.get(field)).for_each(|value| texts(value, &mut all));
        }
    }
    let unique: BTreeSet<String> = all.into_iter().flat_map(words).collect();
    unique.into_iter().collect::<Vec<_>>().join(" ")
}

/// Field and value, each pair once; of a list every item.
fn fields<'a>(asset: &'a Asset, schema: &'a JsonSchema) -> BTreeSet<(&'a str, String)> {
    let mut pairs = BTreeSet::new();
    for (field, _) in schema.fields_with("searchable") {
        let values = match asset.data.get(field) {
            Some(Value::Array(items)) => items.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        pairs.extend(values.iter().filter_map(comparable).map(|value| (field, value)));
    }
    pairs
}

/// How a value is written where it is compared; none for what has parts.
pub(super) fn comparable(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.to_lowercase().replace('\0', " "),
        // 1 and 1.0 are the same number.
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        },
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(text.chars().take(MAX_VALUE_CHARS).collect())
}
