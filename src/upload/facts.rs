//! What a picture tells of itself: size, and a few facts of its camera. All of it goes into an asset's
//! `metadata`, so it is little and harmless, whatever the file holds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use nom_exif::{EntryValue, Exif, ExifTag, MediaParser, MediaSource};
use serde_json::{Map, Value, json};

use crate::transform::Probe;

/// The longest text that is kept.
const MOST_CHARACTERS: usize = 200;

/// The tags that are kept, by the names that they get.
const TAGS: [(&str, ExifTag); 13] = [
    ("make", ExifTag::Make),
    ("model", ExifTag::Model),
    ("lens", ExifTag::LensModel),
    ("software", ExifTag::Software),
    ("description", ExifTag::ImageDescription),
    ("copyright", ExifTag::Copyright),
    ("taken", ExifTag::DateTimeOriginal),
    ("exposure_time", ExifTag::ExposureTime),
    ("f_number", ExifTag::FNumber),
    ("iso", ExifTag::ISOSpeedRatings),
    ("focal_length", ExifTag::FocalLength),
    ("focal_length_35mm", ExifTag::FocalLengthIn35mmFilm),
    ("digitized", ExifTag::CreateDate),
];

/// The facts of a picture.
pub(super) fn of_picture(probe: &Probe, bytes: Bytes) -> Map<String, Value> {
    let (width, height) = match probe.orientation.swaps_sides() {
        true => (probe.height, probe.width),
        false => (probe.width, probe.height),
    };
    let mut facts = Map::new();
    facts.insert("width".to_owned(), width.into());
    facts.insert("height".to_owned(), height.into());
    facts.insert("format".to_owned(), probe.format.name().into());
    facts.insert("has_alpha".to_owned(), probe.has_alpha.into());
    // A reader of so many odd formats may stumble; that is no reason to refuse a good picture.
    let exif = catch_unwind(AssertUnwindSafe(|| exif(bytes))).ok().flatten();
    if let Some(exif) = exif.filter(|exif| !exif.is_empty()) {
        facts.insert("exif".to_owned(), exif.into());
    }
    facts
}

fn exif(bytes: Bytes) -> Option<Map<String, Value>> {
    let source = MediaSource::from_memory(bytes).ok()?;
    let exif: Exif = MediaParser::new().parse_exif(source).ok()?.into();
    let tags = TAGS.iter().filter_map(|(name, tag)| Some(((*name).to_owned(), value(exif.get(*tag)?)?)));
    let mut kept: Map<String, Value> = tags.collect();
    let place = exif.gps_info().and_then(|gps| Some((gps.latitude_decimal()?, gps.longitude_decimal()?)));
    if let Some((latitude, longitude)) = place.filter(|(lat, lon)| lat.is_finite() && lon.is_finite()) {
        kept.insert("gps".to_owned(), json!({ "latitude": latitude, "longitude": longitude }));
    }
    Some(kept)
}

fn value(entry: &EntryValue) -> Option<Value> {
    let ratio = |numerator: f64, denominator: f64| {
        let ratio = numerator / denominator;
        ratio.is_finite().then(|| json!((ratio * 1e6).round() / 1e6))
    };
    Some(match entry {
        EntryValue::Text(text) => {
            let visible = text.trim_matches(['\0', ' ']).chars().filter(|c| !c.is_control());
            let text: String = visible.take(MOST_CHARACTERS).collect();
            return (!text.is_empty()).then(|| text.into());
        }
        EntryValue::URational(of) => return ratio(of.numerator().into(), of.denominator().into()),
        EntryValue::IRational(of) => return ratio(of.numerator().into(), of.denominator().into()),
        EntryValue::U8(number) => json!(number),
        EntryValue::U16(number) => json!(number),
        EntryValue::U32(number) => json!(number),
        EntryValue::U16Array(numbers) => json!(numbers.first()?),
        EntryValue::DateTime(_) | EntryValue::NaiveDateTime(_) => json!(entry.to_string()),
        _ => return None,
    })
}
