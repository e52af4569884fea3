//! The structure of `meta`: which items there are, how they relate and where they lie.
//!
//! Lists are searched, not stored: their length is bounded by the bytes that were sent, and only
//! two items are ever of interest.

use std::ops::Range;

use crate::transform::error::Error;
use crate::transform::probe::avif::FORMAT;
use crate::transform::probe::avif::fields::{each_box, next_box, read_id, read_number, version};
use crate::transform::probe::bytes::Bytes;

/// More parts than any writer makes of one item.
const MAX_EXTENTS: u16 = 64;
/// More properties than any item has, and more alpha channels than any picture: what is searched
/// for each of them may be long, so their product must be bounded.
const MAX_PROPERTIES: usize = 64;
const MAX_AUXILIARIES: usize = 16;

/// The boxes in `meta` that matter; an absent one is empty.
pub(super) struct Meta<'a> {
    primary: &'a [u8],
    infos: &'a [u8],
    locations: &'a [u8],
    references: &'a [u8],
    properties: &'a [u8],
    associations: Vec<&'a [u8]>,
    data: &'a [u8],
}

/// Checks the brands and gives the content of `meta`.
pub(super) fn find_meta(source: &[u8]) -> Result<&[u8], Error> {
    let mut bytes = Bytes::new(source);
    let brands = next_box(&mut bytes)?.content(&mut bytes)?;
    let (major, rest) = brands.split_at_checked(4).ok_or_else(|| FORMAT.corrupt("no brand"))?;
    let compatible = rest.get(4..).unwrap_or_default();
    if major != b"avif" && !compatible.chunks_exact(4).any(|brand| brand == b"avif") {
        // HEIC and MP4 begin in the same way.
        return Err(Error::UnsupportedFormat);
    }
    loop {
        let header = next_box(&mut bytes)?;
        if header.kind == *b"meta" {
            let content = header.content(&mut bytes)?;
            return content.get(4..).ok_or_else(|| FORMAT.corrupt("an empty meta box"));
        }
        match header.len {
            Some(len) => bytes.skip(len)?,
            None => return Err(FORMAT.corrupt("no meta box")),
        }
    }
}

impl<'a> Meta<'a> {
    /// Finds the boxes.
    pub(super) fn read(content: &'a [u8]) -> Result<Self, Error> {
        let mut meta = Self {
            primary: &[],
            infos: &[],
            locations: &[],
            references: &[],
            properties: &[],
            associations: Vec::new(),
            data: &[],
        };
        each_box(content, |kind, content| {
            match &kind {
                b"pitm" => meta.primary = content,
                b"iinf" => meta.infos = content,
                b"iloc" => meta.locations = content,
                b"iref" => meta.references = content,
                b"idat" => meta.data = content,
                b"iprp" => each_box(content, |kind, content| {
                    match &kind {
                        b"ipco" => meta.properties = content,
                        b"ipma" => meta.associations.push(content),
                        _ => {}
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(meta)
    }

    /// The item that is the picture.
    pub(super) fn primary(&self) -> Result<u32, Error> {
        if self.primary.is_empty() {
            return Err(FORMAT.corrupt("no primary item"));
        }
        let mut bytes = Bytes::new(self.primary);
        let version = version(&mut bytes)?;
        read_id(&mut bytes, version > 0)
    }

    /// The content of `idat`.
    pub(super) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// An item's type.
    pub(super) fn item_kind(&self, id: u32) -> Result<Option<[u8; 4]>, Error> {
        if self.infos.is_empty() {
            return Ok(None);
        }
        let mut bytes = Bytes::new(self.infos);
        let is_long = version(&mut bytes)? > 0;
        bytes.skip(if is_long { 4 } else { 2 })?;
        let mut found = None;
        each_box(bytes.take(bytes.len())?, |kind, content| {
            let mut bytes = Bytes::new(content);
            if kind == *b"infe" {
                let version = version(&mut bytes)?;
                // Older versions have no item type.
                if version >= 2 && read_id(&mut bytes, version > 2)? == id {
                    bytes.skip(2)?;
                    found = Some(bytes.array()?);
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The item that is the alpha channel of another.
    pub(super) fn alpha_of(&self, id: u32) -> Result<Option<u32>, Error> {
        let mut found = None;
        let mut auxiliaries = 0;
        self.each_reference(b"auxl", |from, to| {
            if to == id && found.is_none() {
                auxiliaries += 1;
                if auxiliaries > MAX_AUXILIARIES {
                    return Err(FORMAT.corrupt("very many auxiliary images"));
                }
                let mut is_alpha = false;
                self.each_property(from, |kind, content, _| {
                    is_alpha |= kind == *b"auxC" && is_alpha_urn(content);
                    Ok(())
                })?;
                found = is_alpha.then_some(from);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Whether one item refers to another.
    pub(super) fn refers(&self, kind: &[u8; 4], from: u32, to: u32) -> Result<bool, Error> {
        let mut found = false;
        self.each_reference(kind, |a, b| {
            found |= (a, b) == (from, to);
            Ok(())
        })?;
        Ok(found)
    }

    fn each_reference(
        &self,
        wanted: &[u8; 4],
        mut visit: impl FnMut(u32, u32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.references.is_empty() {
            return Ok(());
        }
        let mut bytes = Bytes::new(self.references);
        let is_long = version(&mut bytes)? > 0;
        each_box(bytes.take(bytes.len())?, |kind, content| {
            if kind != *wanted {
                return Ok(());
            }
            let mut bytes = Bytes::new(content);
            let from = read_id(&mut bytes, is_long)?;
            for _ in 0..bytes.u16()? {
                visit(from, read_id(&mut bytes, is_long)?)?;
            }
            Ok(())
        })
    }

    /// Visits an item's properties in their order: kind, content, whether it must be understood.
    pub(super) fn each_property(
        &self,
        id: u32,
        mut visit: impl FnMut([u8; 4], &'a [u8], bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut visited = 0;
        for associations in &self.associations {
            let mut bytes = Bytes::new(associations);
            let [version, _, _, flags] = bytes.array()?;
            for _ in 0..bytes.u32()? {
                let item = read_id(&mut bytes, version > 0)?;
                for _ in 0..bytes.u8()? {
                    let (is_essential, index) = if flags & 1 == 1 {
                        let word = bytes.u16()?;
                        (word & 0x8000 != 0, word & 0x7FFF)
                    } else {
                        let byte = bytes.u8()?;
                        (byte & 0x80 != 0, u16::from(byte & 0x7F))
                    };
                    if item == id && index > 0 {
                        visited += 1;
                        if visited > MAX_PROPERTIES {
                            return Err(FORMAT.corrupt("an item with very many properties"));
                        }
                        let (kind, content) = self.property(index)?;
                        visit(kind, content, is_essential)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The property of a number, counted from 1.
    fn property(&self, index: u16) -> Result<([u8; 4], &'a [u8]), Error> {
        let mut found = None;
        let mut count = 0;
        each_box(self.properties, |kind, content| {
            count += 1;
            if count == index {
                found = Some((kind, content));
            }
            Ok(())
        })?;
        found.ok_or_else(|| FORMAT.corrupt("a property that does not exist"))
    }

    /// How an item is stored (`construction_method`) and its parts.
    pub(super) fn location(&self, id: u32) -> Result<(u8, Vec<Range<u64>>), Error> {
        let mut bytes = Bytes::new(self.locations);
        let version = version(&mut bytes)?;
        let [sizes, more_sizes] = bytes.array()?;
        let (offset_size, length_size) = (sizes >> 4, sizes & 15);
        let (base_size, index_size) = (more_sizes >> 4, if version > 0 { more_sizes & 15 } else { 0 });
        let count = read_id(&mut bytes, version > 1)?;
        for _ in 0..count {
            let item = read_id(&mut bytes, version > 1)?;
            let method = if version > 0 { (bytes.u16()? & 15) as u8 } else { 0 };
            bytes.skip(2)?;
            let base = read_number(&mut bytes, base_size)?;
            let extents = bytes.u16()?;
            if item != id {
                let each = u64::from(index_size) + u64::from(offset_size) + u64::from(length_size);
                bytes.skip(u64::from(extents) * each)?;
                continue;
            }
            if extents == 0 || extents > MAX_EXTENTS {
                return Err(FORMAT.corrupt("an item in no part or in very many"));
            }
            let mut ranges = Vec::with_capacity(extents.into());
            for _ in 0..extents {
                read_number(&mut bytes, index_size)?;
                let offset = read_number(&mut bytes, offset_size)?;
                let length = read_number(&mut bytes, length_size)?;
                let start = base.checked_add(offset);
                let range = start.and_then(|start| Some(start..start.checked_add(length)?));
                ranges.push(range.ok_or_else(|| FORMAT.corrupt("a place beyond all bounds"))?);
            }
            return Ok((method, ranges));
        }
        Err(FORMAT.corrupt("an item without a place"))
    }
}

/// Whether the content of `auxC` names an alpha channel.
fn is_alpha_urn(content: &[u8]) -> bool {
    let name = content.get(4..).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
    matches!(name, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha" | b"urn:mpeg:hevc:2015:auxid:1")
}
