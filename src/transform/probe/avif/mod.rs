//! AVIF's boxes (ISO 14496-12, ISO 23008-12, AV1 Image File Format): the primary item, its alpha,
//! and what is said of them. Everything but the coded bytes stands in `meta`.

mod boxes;
mod fields;
mod properties;

use std::borrow::Cow;
use std::ops::Range;

use crate::transform::error::Error;
use crate::transform::probe::avif::boxes::{Meta, find_meta};
use crate::transform::probe::avif::properties::Properties;
use crate::transform::probe::{Probe, SourceFormat};

pub(in crate::transform) use crate::transform::probe::avif::properties::Nclx;

const FORMAT: SourceFormat = SourceFormat::Avif;

/// An AVIF taken apart.
#[derive(Debug)]
pub(in crate::transform) struct AvifFile<'a> {
    /// The picture.
    pub(in crate::transform) color: Item<'a>,
    /// Its alpha channel.
    pub(in crate::transform) alpha: Option<Item<'a>>,
    /// Whether colour is already multiplied by alpha.
    pub(in crate::transform) is_premultiplied: bool,
}

/// One coded image.
#[derive(Debug)]
pub(in crate::transform) struct Item<'a> {
    /// What is said of it.
    properties: Properties<'a>,
    /// Where its coded bytes are.
    location: Location<'a>,
}

/// Where coded bytes are.
#[derive(Debug)]
enum Location<'a> {
    /// Parts of the file.
    File(Vec<Range<u64>>),
    /// Parts of the box `idat`.
    Data(&'a [u8], Vec<Range<u64>>),
}

/// Reads what the plan needs.
pub(super) fn probe(head: &[u8]) -> Result<Probe, Error> {
    let file = AvifFile::read(head)?;
    let properties = &file.color.properties;
    let (width, height) = properties.size();
    Ok(Probe {
        format: FORMAT,
        width,
        height,
        orientation: properties.orientation,
        has_alpha: file.alpha.is_some(),
        is_progressive: false,
        components: if properties.is_monochrome { 1 } else { 3 } + u8::from(file.alpha.is_some()),
        bits: properties.bits,
    })
}

impl<'a> AvifFile<'a> {
    /// Takes a source apart; the coded bytes need not have been seen.
    pub(in crate::transform) fn read(source: &'a [u8]) -> Result<Self, Error> {
        let content = find_meta(source)?;
        // From here on nothing more can come: what is missing is missing.
        Self::read_meta(content).map_err(|error| match error {
            Error::NeedMore => FORMAT.corrupt("a box that ends early"),
            other => other,
        })
    }

    fn read_meta(content: &'a [u8]) -> Result<Self, Error> {
        let meta = Meta::read(content)?;
        let primary = meta.primary()?;
        match meta.item_kind(primary)? {
            Some(kind) if kind == *b"av01" => {}
            Some(kind) if kind == *b"grid" => return Err(FORMAT.unsupported("a picture made of tiles")),
            _ => return Err(FORMAT.unsupported("a primary item that is not one AV1 picture")),
        }
        let color = Item::read(&meta, primary)?;
        let alpha = match meta.alpha_of(primary)? {
            Some(id) if meta.item_kind(id)? == Some(*b"av01") => Some((id, Item::read(&meta, id)?)),
            Some(_) => return Err(FORMAT.unsupported("an alpha channel that is not one AV1 picture")),
            None => None,
        };
        let is_premultiplied = match &alpha {
            Some((id, _)) => meta.refers(b"prem", primary, *id)?,
            None => false,
        };
        Ok(Self { color, alpha: alpha.map(|(_, item)| item), is_premultiplied })
    }
}

impl<'a> Item<'a> {
    fn read(meta: &Meta<'a>, id: u32) -> Result<Self, Error> {
        let mut properties = Properties::default();
        meta.each_property(id, |kind, content, is_essential| properties.add(kind, content, is_essential))?;
        properties.check()?;
        let location = match meta.location(id)? {
            (0, ranges) => Location::File(ranges),
            (1, ranges) => Location::Data(meta.data(), ranges),
            _ => return Err(FORMAT.unsupported("coded bytes within another item")),
        };
        Ok(Self { properties, location })
    }

    /// Pixels across and down.
    pub(in crate::transform) fn size(&self) -> (u32, u32) {
        self.properties.size()
    }

    /// How to read its numbers as colour.
    pub(in crate::transform) fn nclx(&self) -> Option<Nclx> {
        self.properties.nclx
    }

    /// The ICC profile.
    pub(in crate::transform) fn profile(&self) -> Option<&'a [u8]> {
        self.properties.profile
    }

    /// The coded bytes.
    pub(in crate::transform) fn coded(&self, source: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
        let (space, ranges) = match &self.location {
            Location::File(ranges) => (source, ranges),
            Location::Data(data, ranges) => (*data, ranges),
        };
        let part = |range: &Range<u64>| {
            // To the end, where the length is not given.
            let end = if range.end == range.start { space.len() } else { usize::try_from(range.end).ok()? };
            space.get(usize::try_from(range.start).ok()?..end)
        };
        let short = || FORMAT.corrupt("coded bytes lie behind the end");
        match ranges.as_slice() {
            [range] => part(range).map(Cow::Borrowed).ok_or_else(short),
            ranges => {
                let parts = ranges.iter().map(part).collect::<Option<Vec<_>>>().ok_or_else(short)?;
                // Parts may overlap, so that a small file could ask for a huge copy.
                if parts.iter().map(|part| part.len()).sum::<usize>() > space.len() {
                    return Err(FORMAT.corrupt("coded bytes that overlap"));
                }
                Ok(Cow::Owned(parts.concat()))
            }
        }
    }
}
