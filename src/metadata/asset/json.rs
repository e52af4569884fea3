//! The one serialiser of assets: answers of the API and bodies of webhooks are the same bytes.

use std::time::{Duration, UNIX_EPOCH};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::metadata::{Asset, AssetStatus, Conversion, EventKind};

/// The keys of the public contract, in its order.
#[derive(Serialize)]
struct View<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    id: String,
    status: AssetStatus,
    name: &'a str,
    size: u64,
    checksum: Option<&'a str>,
    provider: &'a str,
    storage_type: &'a str,
    bucket: &'a str,
    key: Option<&'a str>,
    public: bool,
    content_type: &'a str,
    creator_id: Option<&'a str>,
    upload_time: String,
    update_user_id: Option<&'a str>,
    update_time: String,
    upload_source: Option<&'a str>,
    data_schema_id: i64,
    metadata: &'a Map<String, Value>,
    data: &'a Map<String, Value>,
    #[serde(serialize_with = "by_name")]
    conversions: &'a [Conversion],
    addons_info: Value,
}

#[derive(Serialize)]
struct ConversionView<'a> {
    storage_type: &'a str,
    bucket: &'a str,
    key: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
    duration: Option<f64>,
    size: u64,
    public: bool,
    watermarked: bool,
}

impl Asset {
    /// As the public contract has it.
    pub fn json(&self) -> Value {
        // Of texts, numbers and maps with names: there is nothing to fail.
        serde_json::to_value(self.view(None)).unwrap_or_default()
    }

    /// The bytes of [`Asset::json`], with its keys in the order of the contract.
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.view(None)).unwrap_or_default()
    }

    /// What webhooks tell of it: the same, and what has happened.
    pub(crate) fn event_body(&self, event: EventKind) -> Vec<u8> {
        serde_json::to_vec(&self.view(Some(event.as_str()))).unwrap_or_default()
    }

    /// What webhooks tell when these contents (`original`, or names of conversions) went or came back.
    pub(crate) fn contents_body(&self, event: EventKind, keys: &[String]) -> Vec<u8> {
        let message = match event {
            EventKind::FileUndeleted => "undeleted",
            _ => "deleted",
        };
        let body = json!({
            "event": event.as_str(),
            "id": self.id.to_string(),
            "keys": keys,
            "status": "OK",
            "message": message,
            "errors": {},
        });
        body.to_string().into_bytes()
    }

    /// Whether pictures are made of it on demand: it is there, and in a format that we read.
    pub fn is_picture(&self) -> bool {
        let formats = ["image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"];
        self.status == AssetStatus::Ok && self.key.is_some() && formats.contains(&self.content_type.as_str())
    }

    fn view(&self, event: Option<&'static str>) -> View<'_> {
        View {
            event,
            id: self.id.to_string(),
            status: self.status,
            name: &self.name,
            size: self.size,
            checksum: self.md5.as_deref(),
            provider: &self.provider,
            storage_type: &self.storage_type,
            bucket: &self.bucket,
            key: self.key.as_ref().map(|key| key.as_str()),
            public: self.public,
            content_type: &self.content_type,
            creator_id: self.creator_id.as_deref(),
            upload_time: time(self.upload_time),
            update_user_id: self.update_user_id.as_deref(),
            update_time: time(self.update_time),
            upload_source: self.upload_source.as_deref(),
            data_schema_id: self.data_schema_id,
            metadata: &self.metadata,
            data: &self.data,
            conversions: &self.conversions,
            addons_info: json!({ "ON_DEMAND_IMAGE": { "available": self.is_picture() } }),
        }
    }
}

fn by_name<S: Serializer>(conversions: &[Conversion], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(conversions.len()))?;
    for conversion in conversions {
        let view = ConversionView {
            storage_type: &conversion.storage_type,
            bucket: &conversion.bucket,
            key: conversion.key.as_deref(),
            width: conversion.width,
            height: conversion.height,
            duration: conversion.duration,
            size: conversion.size,
            public: conversion.public,
            watermarked: conversion.watermarked,
        };
        map.serialize_entry(&conversion.name, &view)?;
    }
    map.end()
}

/// Unix seconds as ISO 8601 in UTC; what lies beyond the year 9999 has no such form.
fn time(seconds: u64) -> String {
    const END: u64 = 253_402_300_799;
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(END));
    humantime::format_rfc3339_seconds(time).to_string()
}
