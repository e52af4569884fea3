//! The bytes of a cached answer: a list of segments that can be read from any position.

use bytes::{Bytes, BytesMut};

/// Finished bodies are copied into segments of this size, so that a hit of an ordinary picture is one
/// write, and no read buffer of an upstream connection stays pinned in the cache.
const SEGMENT_BYTES: usize = 1 << 20;

/// Bytes in order, appended piece by piece. Cheap to read from any position.
#[derive(Debug, Default, Clone)]
pub(super) struct Body {
    segments: Vec<Segment>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Segment {
    start: usize,
    bytes: Bytes,
}

impl Body {
    /// Bytes in all.
    pub(super) fn len(&self) -> usize {
        self.len
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
    pub(super) fn piece(&self, position: usize, end: usize) -> Option<Bytes> {
        let end = end.min(self.len);
        if position >= end {
            return None;
        }
        let after = self.segments.partition_point(|segment| segment.start <= position);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let from = position - segment.start;
        let to = (end - segment.start).min(segment.bytes.len());
        Some(segment.bytes.slice(from..to))
    }

    /// The same bytes in memory of their own.
    pub(super) fn compact(&self) -> Self {
        let mut compact = Self::default();
        let mut position = 0;
        while position < self.len {
            let end = self.len.min(position + SEGMENT_BYTES);
            let mut segment = BytesMut::with_capacity(end - position);
            while let Some(piece) = self.piece(position, end) {
                position += piece.len();
                segment.extend_from_slice(&piece);
            }
            compact.push(segment.freeze());
        }
        compact
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(body: &Body, mut position: usize, end: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(piece) = body.piece(position, end) {
            position += piece.len();
            read.extend_from_slice(&piece);
        }
        read
    }

    proptest! {
        #[test]
        fn any_range_of_any_pieces_reads_back(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
            from in 0_usize..90,
            len in 0_usize..90,
        ) {
            let whole: Vec<u8> = pieces.concat();
            let mut body = Body::default();
            for piece in pieces {
                body.push(Bytes::from(piece));
            }
            let expected: Vec<u8> = whole.iter().copied().skip(from).take(len).collect();
            prop_assert_eq!(collect(&body, from, from + len), expected.clone());
            prop_assert_eq!(collect(&body.compact(), from, from + len), expected);
            prop_assert_eq!(body.compact().len(), whole.len());
        }
    }
}
