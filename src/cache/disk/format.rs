//! The layout of an object's file and the name that it carries: pure, and read whole or refused.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..8 | magic, with the version of this layout |
//! | 8..12 | checksum of bytes 16..64 and of the metadata |
//! | 12..16 | checksum of the table |
//! | 16..32 | key |
//! | 32..40 | length of the body |
//! | 40..44 | length of the metadata |
//! | 44..48 | length of the area that holds it: longer, so that new metadata mostly fits in place |
//! | 48..64 | zero |
//! | 64.. | metadata area; table with one checksum a block of the body; body |
//!
//! Numbers are little-endian, checksums CRC-32. The name is `KEY-LENGTH`, below a directory named by the
//! first byte of the key: an index can be built from names alone.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use crc32fast::Hasher;
use thiserror::Error;

use crate::cache::key::Key;

/// The body is verified in blocks of this size.
pub(super) const BLOCK_BYTES: u64 = 64 * 1024;

/// Length of the fixed header, before the metadata area.
pub(super) const HEADER_BYTES: usize = 64;

/// More metadata than this is no answer's head.
const MAX_META_BYTES: usize = 1 << 20;

/// The metadata area ends at a multiple of this.
const AREA_STEP_BYTES: usize = 512;

const MAGIC: [u8; 8] = *b"kinora\0\x01";

const CHECKSUM_BYTES: usize = 4;

/// What is in front of the body: who it belongs to, its metadata and the checksums of its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    key: Key,
    meta: Bytes,
    area_bytes: u32,
    body_bytes: u64,
    table: Box<[u32]>,
}

/// Why bytes are not the head of an object's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Flaw {
    /// They end too early.
    #[error("the file ends too early")]
    Short,
    /// They begin otherwise.
    #[error("no file of this cache, or of another version")]
    Magic,
    /// The lengths in it contradict each other or the file's.
    #[error("its lengths contradict each other")]
    Lengths,
    /// A checksum does not fit.
    #[error("a checksum does not fit")]
    Checksum,
    /// It is the file of another object.
    #[error("it belongs to another key")]
    Key,
}

impl ObjectHead {
    /// The head of a new object. `None` if there is more metadata than one can have.
    pub fn new(key: Key, meta: Bytes, body: &[Bytes]) -> Option<Self> {
        let body_bytes = body.iter().map(|piece| piece.len() as u64).sum();
        let area_bytes = area_for(meta.len())?;
        Some(Self { key, meta, area_bytes, body_bytes, table: checksums(body) })
    }

    /// Reads what [`Self::encode`] wrote, out of the first bytes of a file of `file_bytes`.
    ///
    /// # Errors
    /// If these are no such bytes, or not all of them. Whether it is the right key is not asked.
    pub fn decode(front: &[u8], file_bytes: u64) -> Result<Self, Flaw> {
        let header = Header::decode(front, file_bytes)?;
        let front = front.get(..header.front_bytes()).ok_or(Flaw::Short)?;
        let (head, table) = front.split_at(HEADER_BYTES + header.area_bytes as usize);
        let meta = &head[HEADER_BYTES..HEADER_BYTES + header.meta_bytes as usize];
        if header.checksum(meta) != header.head_checksum || crc32fast::hash(table) != header.table_checksum {
            return Err(Flaw::Checksum);
        }
        Ok(Self {
            key: header.key,
            meta: Bytes::copy_from_slice(meta),
            area_bytes: header.area_bytes,
            body_bytes: header.body_bytes,
            table: table.chunks_exact(CHECKSUM_BYTES).map(|entry| number(entry) as u32).collect(),
        })
    }

    /// How many bytes [`Self::decode`] needs, out of the first 64 of a file of `file_bytes`.
    ///
    /// # Errors
    /// If these cannot be such bytes.
    pub fn needs(front: &[u8], file_bytes: u64) -> Result<usize, Flaw> {
        Header::decode(front, file_bytes).map(|header| header.front_bytes())
    }

    /// The bytes of the file before its body.
    pub fn encode(&self) -> Vec<u8> {
        let table: Vec<u8> = self.table.iter().flat_map(|checksum| checksum.to_le_bytes()).collect();
        let mut header = Header {
            head_checksum: 0,
            table_checksum: crc32fast::hash(&table),
            key: self.key,
            body_bytes: self.body_bytes,
            meta_bytes: self.meta.len() as u32,
            area_bytes: self.area_bytes,
        };
        header.head_checksum = header.checksum(&self.meta);
        let mut front = Vec::with_capacity(header.front_bytes());
        front.extend_from_slice(&header.encode());
        front.extend_from_slice(&self.meta);
        front.resize(self.table_at(), 0);
        front.extend_from_slice(&table);
        front
    }

    /// The same object with other metadata. `None` if there is more of it than one can have. If it does
    /// not fit into the place of the old, the body begins elsewhere than before.
    pub(super) fn with_meta(&self, meta: Bytes) -> Option<Self> {
        let fits = meta.len() <= self.area_bytes as usize;
        let area_bytes = if fits { self.area_bytes } else { area_for(meta.len())? };
        Some(Self { meta, area_bytes, ..self.clone() })
    }

    /// Whether the bodies are equal as far as lengths and checksums tell.
    pub(super) fn resembles(&self, other: &Self) -> bool {
        self.body_bytes == other.body_bytes && self.table == other.table
    }

    /// Whose body this is.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What was stored beside the body.
    pub fn meta(&self) -> &Bytes {
        &self.meta
    }

    /// Length of the body.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Where the table begins: behind everything that new metadata changes.
    pub(super) fn table_at(&self) -> usize {
        HEADER_BYTES + self.area_bytes as usize
    }

    /// Where the body begins.
    pub(super) fn body_at(&self) -> u64 {
        (self.table_at() + self.table.len() * CHECKSUM_BYTES) as u64
    }

    /// Length of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.body_at() + self.body_bytes
    }

    /// Whether `bytes`, which begin with block `first` and end with a block, are what was stored.
    pub fn verifies(&self, first: usize, bytes: &[u8]) -> bool {
        let blocks = bytes.chunks(BLOCK_BYTES as usize);
        let expected = self.table.get(first..).unwrap_or_default();
        blocks.len() <= expected.len()
            && blocks.zip(expected).all(|(block, expected)| crc32fast::hash(block) == *expected)
    }
}

/// The fixed part.
struct Header {
    head_checksum: u32,
    table_checksum: u32,
    key: Key,
    body_bytes: u64,
    meta_bytes: u32,
    area_bytes: u32,
}

impl Header {
    fn decode(front: &[u8], file_bytes: u64) -> Result<Self, Flaw> {
        let header: &[u8; HEADER_BYTES] = front.first_chunk().ok_or(Flaw::Short)?;
        if header[..8] != MAGIC || header[48..] != [0; 16] {
            return Err(Flaw::Magic);
        }
        let mut key = Key([0; 16]);
        key.0.copy_from_slice(&header[16..32]);
        let header = Self {
            head_checksum: number(&header[8..12]) as u32,
            table_checksum: number(&header[12..16]) as u32,
            key,
            body_bytes: number(&header[32..40]),
            meta_bytes: number(&header[40..44]) as u32,
            area_bytes: number(&header[44..48]) as u32,
        };
        let is_meta_inside =
            header.meta_bytes <= header.area_bytes && Some(header.area_bytes) <= area_for(MAX_META_BYTES);
        // The body first: when it is no longer than the file, nothing that is made of it overflows.
        let is_sum = header.body_bytes <= file_bytes
            && header.body_bytes.checked_add(header.front_bytes() as u64) == Some(file_bytes);
        if is_meta_inside && is_sum { Ok(header) } else { Err(Flaw::Lengths) }
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&self.head_checksum.to_le_bytes());
        header[12..16].copy_from_slice(&self.table_checksum.to_le_bytes());
        header[16..32].copy_from_slice(&self.key.0);
        header[32..40].copy_from_slice(&self.body_bytes.to_le_bytes());
        header[40..44].copy_from_slice(&self.meta_bytes.to_le_bytes());
        header[44..48].copy_from_slice(&self.area_bytes.to_le_bytes());
        header
    }

    /// Of the fields and of the metadata; the table has one of its own, which is a field.
    fn checksum(&self, meta: &[u8]) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&self.encode()[12..]);
        hasher.update(meta);
        hasher.finalize()
    }

    fn front_bytes(&self) -> usize {
        let blocks = self.body_bytes.div_ceil(BLOCK_BYTES) as usize;
        HEADER_BYTES + self.area_bytes as usize + blocks * CHECKSUM_BYTES
    }
}

/// At most eight bytes, little-endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A quarter more than there is now, rounded up.
fn area_for(meta_bytes: usize) -> Option<u32> {
    let with_room = meta_bytes + meta_bytes / 4;
    let area = (HEADER_BYTES + with_room).next_multiple_of(AREA_STEP_BYTES) - HEADER_BYTES;
    (meta_bytes <= MAX_META_BYTES).then_some(area as u32)
}

fn checksums(body: &[Bytes]) -> Box<[u32]> {
    let mut table = Vec::new();
    let mut hasher = Hasher::new();
    let mut room = BLOCK_BYTES as usize;
    for piece in body {
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(room));
            hasher.update(now);
            rest = later;
            room -= now.len();
            if room == 0 {
                table.push(std::mem::take(&mut hasher).finalize());
                room = BLOCK_BYTES as usize;
            }
        }
    }
    if room < BLOCK_BYTES as usize {
        table.push(hasher.finalize());
    }
    table.into_boxed_slice()
}

/// Where the file of an object is.
pub(super) fn path(root: &Path, key: &Key, file_bytes: u64) -> PathBuf {
    let mut path = directory(root, key.0[0]);
    path.push(format!("{:032x}-{file_bytes}", u128::from_be_bytes(key.0)));
    path
}

/// The directory of all keys that begin with this byte.
pub(super) fn directory(root: &Path, first: u8) -> PathBuf {
    root.join(format!("{first:02x}"))
}

/// Key and length of a file; `None` for a name that [`path`] would not have given.
pub(super) fn read_name(name: &str) -> Option<(Key, u64)> {
    let (key, length) = name.split_once('-')?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_plain = length.bytes().all(|byte| byte.is_ascii_digit()) && !length.starts_with('0');
    if key.len() != 32 || !key.bytes().all(is_hex) || !is_plain {
        return None;
    }
    let key = u128::from_str_radix(key, 16).ok()?;
    Some((Key(key.to_be_bytes()), length.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn head(meta: &'static [u8], body: &[u8]) -> ObjectHead {
        let body = Bytes::copy_from_slice(body);
        ObjectHead::new(Key([7; 16]), Bytes::from_static(meta), &[body]).expect("little metadata")
    }

    #[test]
    fn any_changed_bit_of_the_front_is_found() {
        let head = head(b"meta", &[3; 200_000]);
        let front = head.encode();
        assert_eq!(ObjectHead::decode(&front, head.file_bytes()), Ok(head.clone()));
        // Padding holds nothing: it alone may change.
        let padding = HEADER_BYTES + 4..head.table_at();
        for bit in 0..front.len() * 8 {
            let mut changed = front.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let decoded = ObjectHead::decode(&changed, head.file_bytes());
            assert_eq!(decoded.is_ok(), padding.contains(&(bit / 8)), "bit {bit}");
        }
    }

    #[test]
    fn other_lengths_of_file_and_front_are_refused() {
        let head = head(b"meta", &[3; 70_000]);
        let (front, file_bytes) = (head.encode(), head.file_bytes());
        for wrong in [0, file_bytes - 1, file_bytes + 1, u64::MAX] {
            assert_eq!(ObjectHead::decode(&front, wrong), Err(Flaw::Lengths), "a file of {wrong} bytes");
        }
        for cut in 0..front.len() {
            assert_eq!(ObjectHead::decode(&front[..cut], file_bytes), Err(Flaw::Short), "{cut} bytes");
        }
        assert_eq!(ObjectHead::needs(&front[..HEADER_BYTES], file_bytes), Ok(front.len()));
    }

    #[test]
    fn new_metadata_stays_in_place_while_it_fits() {
        let head = head(b"meta", &[3; 10]);
        let longer = head.with_meta(Bytes::from(vec![1; 300])).expect("fits");
        assert_eq!(longer.body_at(), head.body_at());
        let moved = head.with_meta(Bytes::from(vec![1; 5000])).expect("has its own place");
        assert!(moved.body_at() > head.body_at());
        assert_eq!(ObjectHead::decode(&moved.encode(), moved.file_bytes()), Ok(moved));
        assert_eq!(head.with_meta(Bytes::from(vec![0; MAX_META_BYTES + 1])), None);
    }

    #[test]
    fn a_block_is_verified_at_its_own_place_only() {
        let block = BLOCK_BYTES as usize;
        let body = [vec![1; block], vec![2; block], vec![3; 9]].concat();
        let head = head(b"", &body);
        assert!(head.verifies(0, &body) && head.verifies(1, &body[block..]));
        assert!(head.verifies(1, &body[block..2 * block]) && head.verifies(2, &body[2 * block..]));
        assert!(!head.verifies(0, &body[block..2 * block]), "another block");
        assert!(!head.verifies(2, &body[2 * block..][..8]), "a cut block");
        assert!(!head.verifies(3, &[1]), "no such block");
    }

    #[test]
    fn strange_names_are_no_objects() {
        let key = "0123456789abcdef0123456789abcdef";
        assert!(read_name(&format!("{key}-77")).is_some());
        for name in [
            "",
            "-",
            key,
            "lock",
            "kinora-writing",
            &format!("{key}-"),
            &format!("{key}-0"),
            &format!("{key}-077"),
            &format!("{key}-+77"),
            &format!("{key}-77 "),
            &format!("{key}-77.tmp"),
            &format!("{key}-99999999999999999999"),
            &format!("{}-77", key.to_uppercase()),
            &format!("{}-77", &key[1..]),
            &format!("+{}-77", &key[1..]),
            &format!("{key}0-77"),
        ] {
            assert_eq!(read_name(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn heads_read_back(
            key: [u8; 16],
            meta in vec(any::<u8>(), 0..2000),
            pieces in vec(vec(any::<u8>(), 0..100_000), 0..4),
        ) {
            let body = pieces.concat();
            let pieces: Vec<Bytes> = pieces.into_iter().map(Bytes::from).collect();
            let head = ObjectHead::new(Key(key), Bytes::from(meta), &pieces).expect("little metadata");
            let front = head.encode();
            prop_assert_eq!(front.len() as u64, head.body_at());
            prop_assert_eq!(head.file_bytes(), (front.len() + body.len()) as u64);
            prop_assert!(head.verifies(0, &body));
            prop_assert_eq!(ObjectHead::decode(&front, head.file_bytes()), Ok(head));
        }

        #[test]
        fn names_read_back(key: [u8; 16], length in 1_u64..) {
            let path = path(Path::new("root"), &Key(key), length);
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            prop_assert_eq!(read_name(name), Some((Key(key), length)));
            prop_assert!(path.starts_with(directory(Path::new("root"), key[0])));
        }
    }
}
