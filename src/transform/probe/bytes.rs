//! A reader of numbers that says [`Error::NeedMore`] at its end.

use crate::transform::error::Error;

/// What is left of a source.
#[derive(Debug, Clone, Copy)]
pub(in crate::transform) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// Reads from the first byte on.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Error::NeedMore)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Goes on `len` bytes later.
    pub(super) fn skip(&mut self, len: u64) -> Result<(), Error> {
        self.take(usize::try_from(len).map_err(|_| Error::NeedMore)?).map(drop)
    }

    /// The next `N` bytes as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Error::NeedMore)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    /// Two bytes, the higher first.
    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, the highest first.
    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, the highest first.
    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// Two bytes, the lower first.
    pub(super) fn u16_le(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    /// Three bytes, the lowest first.
    pub(super) fn u24_le(&mut self) -> Result<u32, Error> {
        self.array().map(|[low, middle, high]| u32::from_le_bytes([low, middle, high, 0]))
    }

    /// Four bytes, the lowest first.
    pub(super) fn u32_le(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }
}
