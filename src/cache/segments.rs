//! Bytes in memory: a list of segments that can be read from any position.

use bytes::{Bytes, BytesMut};

/// Finished bodies are copied into segments of this size, so that a hit of an ordinary picture is one
/// write, and no read buffer of an upstream connection stays pinned in the cache.
const SEGMENT_BYTES: usize = 1 << 20;

/// Bytes in order, appended piece by piece. Cheap to read from any position.
#[derive(Debug, Default, Clone)]
pub struct Segments {
    segments: Vec<Segment>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Segment {
    start: usize,
    bytes: Bytes,
}

impl Segments {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a piece; an empty one changes nothing.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            let start = self.len;
            self.len += bytes.len();
            self.segments.push(Segment { start, bytes });
        }
    }

    /// The bytes from `position` to the end of the segment that holds it, but not beyond `end`.
    /// `None` if there are none.
    pub(super) fn piece(&self, position: u64, end: u64) -> Option<Bytes> {
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.len);
        let position = usize::try_from(position).ok().filter(|&position| position < end)?;
        let after = self.segments.partition_point(|segment| segment.start <= position);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let from = position - segment.start;
        let to = (end - segment.start).min(segment.bytes.len());
        Some(segment.bytes.slice(from..to))
    }

    /// All segments from `position` on, in order, the first one without what is before.
    pub fn slices(&self, position: usize) -> impl Iterator<Item = &[u8]> {
        let first = self.segments.partition_point(|segment| segment.start + segment.bytes.len() <= position);
        let rest = self.segments.get(first..).unwrap_or_default();
        rest.iter().map(move |segment| &segment.bytes[position.saturating_sub(segment.start)..])
    }

    /// All segments in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.segments.iter().map(|segment| &segment.bytes)
    }

    /// The same bytes in memory of their own.
    pub(super) fn compact(&self) -> Self {
        let mut compact = Self::default();
        let mut segment = BytesMut::with_capacity(self.len.min(SEGMENT_BYTES));
        for mut piece in self.pieces().cloned() {
            while !piece.is_empty() {
                let taken = piece.split_to(piece.len().min(SEGMENT_BYTES - segment.len()));
                segment.extend_from_slice(&taken);
                if segment.len() == SEGMENT_BYTES {
                    let room = (self.len - compact.len - SEGMENT_BYTES).min(SEGMENT_BYTES);
                    compact.push(std::mem::replace(&mut segment, BytesMut::with_capacity(room)).freeze());
                }
            }
        }
        compact.push(segment.freeze());
        compact
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(body: &Segments, mut position: u64, end: u64) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(piece) = body.piece(position, end) {
            position += piece.len() as u64;
            read.extend_from_slice(&piece);
        }
        read
    }

    proptest! {
        #[test]
        fn any_range_of_any_pieces_reads_back(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
            from in 0_u64..90,
            len in 0_u64..90,
        ) {
            let whole: Vec<u8> = pieces.concat();
            let mut body = Segments::default();
            for piece in pieces {
                body.push(Bytes::from(piece));
            }
            let expected: Vec<u8> = whole.iter().copied().skip(from as usize).take(len as usize).collect();
            prop_assert_eq!(collect(&body, from, from + len), expected.clone());
            prop_assert_eq!(collect(&body.compact(), from, from + len), expected);
            let rest: Vec<u8> = body.slices(from as usize).flatten().copied().collect();
            prop_assert_eq!(rest, &whole[whole.len().min(from as usize)..]);
            prop_assert_eq!(body.compact().len(), whole.len());
        }
    }
}
