//! What an owner says about an asset: what may be written, and how it joins what is there.

use serde_json::{Map, Value};

use crate::metadata::{Asset, AssetStatus, Error};

/// Names of ours, at the top.
const RESERVED: [&str; 2] = ["_filespin", "_kinora"];

const MAX_DEPTH: usize = 32;

/// What is to be written.
#[derive(Debug, Clone, Default)]
pub struct DataUpdate {
    /// Fields, each as a whole.
    pub data: Map<String, Value>,
    /// Whether fields that are not named go; otherwise they stay.
    pub is_whole: bool,
    /// The schema from now on; without one it stays.
    pub schema_id: Option<i64>,
}

impl Asset {
    /// Writes data, which as a whole has at most `max_bytes` as JSON then. Whether it fits its schema is another
    /// question.
    ///
    /// # Errors
    /// [`Error::NotReady`], [`Error::ReadOnly`] or [`Error::InvalidData`].
    pub fn update_data(&mut self, update: DataUpdate, max_bytes: usize) -> Result<(), Error> {
        match self.status {
            AssetStatus::NotReady => return Err(Error::NotReady(self.id)),
            AssetStatus::Archived => return Err(Error::ReadOnly(self.id)),
            AssetStatus::Ok | AssetStatus::Error => {}
        }
        let DataUpdate { data, is_whole, schema_id } = update;
        check_data(&data, max_bytes)?;
        let mut all = if is_whole { Map::new() } else { self.data.clone() };
        all.extend(data);
        check_size(&all, max_bytes)?;
        self.data = all;
        self.data_schema_id = schema_id.unwrap_or(self.data_schema_id);
        Ok(())
    }
}

/// Whether this may be data of an asset: its names, its depth, and that it has at most `max_bytes` as JSON.
///
/// # Errors
/// [`Error::InvalidData`].
pub fn check_data(data: &Map<String, Value>, max_bytes: usize) -> Result<(), Error> {
    if let Some(name) = data.keys().find(|name| RESERVED.iter().any(|ours| name.starts_with(ours))) {
        let shown: String = name.chars().take(100).collect();
        return Err(Error::InvalidData(format!("the name {shown:?} is reserved")));
    }
    if data.values().any(|value| !is_shallow(value, MAX_DEPTH)) {
        return Err(Error::InvalidData(format!("data is at most {MAX_DEPTH} levels deep")));
    }
    check_size(data, max_bytes)
}

fn check_size(data: &Map<String, Value>, max_bytes: usize) -> Result<(), Error> {
    let bytes = serde_json::to_vec(data).map_or(usize::MAX, |json| json.len());
    match bytes <= max_bytes {
        true => Ok(()),
        false => Err(Error::InvalidData(format!("data of {bytes} bytes; at most {max_bytes}"))),
    }
}

fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        _ if levels == 0 => false,
        Value::Array(items) => items.iter().all(|item| is_shallow(item, levels - 1)),
        Value::Object(members) => members.values().all(|member| is_shallow(member, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::request::AssetId;

    fn asset(status: AssetStatus, data: Value) -> Asset {
        let data = data.as_object().expect("an object").clone();
        Asset { status, data, ..Asset::new(AssetId::new([1; 16]), "a", 0) }
    }

    fn update(data: Value, is_whole: bool) -> DataUpdate {
        DataUpdate { data: data.as_object().expect("an object").clone(), is_whole, schema_id: None }
    }

    #[test]
    fn fields_join_or_replace() {
        let before = json!({ "a": { "x": 1 }, "b": 2 });
        for (is_whole, expected) in [
            (false, json!({ "a": { "y": 1 }, "b": 2, "c": null })),
            (true, json!({ "a": { "y": 1 }, "c": null })),
        ] {
            let mut asset = asset(AssetStatus::Ok, before.clone());
            let wish = update(json!({ "a": { "y": 1 }, "c": null }), is_whole);
            asset.update_data(wish, 1000).expect("fine");
            assert_eq!(Value::from(asset.data), expected);
        }
    }

    #[test]
    fn what_breaks_a_rule_changes_nothing() {
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        for (status, data) in [
            (AssetStatus::NotReady, json!({})),
            (AssetStatus::Archived, json!({})),
            (AssetStatus::Ok, json!({ "_filespin": 1 })),
            (AssetStatus::Ok, json!({ "_kinora_x": 1 })),
            (AssetStatus::Ok, json!({ "deep": deep })),
            (AssetStatus::Ok, json!({ "long": "x".repeat(1000) })),
        ] {
            let mut asset = asset(status, json!({ "a": 1 }));
            let before = asset.clone();
            assert!(asset.update_data(update(data.clone(), false), 1000).is_err(), "{status} {data}");
            assert_eq!(asset, before, "{status} {data}");
        }
        let mut asset = asset(AssetStatus::Ok, json!({ "a": "x".repeat(600) }));
        assert!(asset.update_data(update(json!({ "b": "x".repeat(600) }), false), 1000).is_err(), "together");
        assert!(asset.update_data(update(json!({ "b": "x".repeat(600) }), true), 1000).is_ok());
    }

    proptest! {
        #[test]
        fn joining_twice_is_joining_once_and_new_fields_win(
            old in prop::collection::btree_map("[a-d]", 0..9_u8, 0..4),
            new in prop::collection::btree_map("[a-d]", 0..9_u8, 0..4),
        ) {
            let mut asset = asset(AssetStatus::Ok, json!(old));
            asset.update_data(update(json!(new), false), 1000).expect("fine");
            let once = asset.data.clone();
            asset.update_data(update(json!(new), false), 1000).expect("fine");
            prop_assert_eq!(&asset.data, &once);
            for (name, value) in &once {
                let expected = new.get(name).or_else(|| old.get(name));
                prop_assert_eq!(Some(value.clone()), expected.map(|value| json!(value)));
            }
            prop_assert!(old.keys().chain(new.keys()).all(|name| once.contains_key(name)));
        }
    }
}
