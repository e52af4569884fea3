//! Which bytes of an answer go out: all, one part, or two with the lines between them.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderValue;

use crate::cache::ReadError;
use crate::headers::range::Part;
use crate::proxy::answer::Source;

/// What is cut out of a body.
pub(super) struct Cut {
    pieces: VecDeque<Piece>,
    boundary: String,
}

/// One stretch of what goes out.
enum Piece {
    /// Lines of ours.
    Text(Bytes),
    /// Bytes of the source from here to there, all of which must come.
    Span(u64, u64),
    /// Bytes of the source to its end, wherever that is.
    Rest(u64),
}

impl Cut {
    /// All of a body of so many bytes.
    pub(super) fn whole(length: u64) -> Self {
        Self::of([Piece::Span(0, length)])
    }

    /// All of a body whose length nobody knows yet.
    pub(super) fn to_the_end() -> Self {
        Self::of([Piece::Rest(0)])
    }

    /// One part.
    pub(super) fn one(part: Part) -> Self {
        Self::of([Piece::Span(part.first, part.last + 1)])
    }

    /// Two parts as `multipart/byteranges`, RFC 9110 section 14.6.
    pub(super) fn two(parts: [Part; 2], content_type: Option<&HeaderValue>, length: u64) -> Self {
        let boundary = boundary();
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or("application/octet-stream");
        let mut pieces = VecDeque::with_capacity(5);
        for (n, part) in parts.into_iter().enumerate() {
            let line_end = if n == 0 { "" } else { "\r\n" };
            let content_range = part.content_range(length);
            let text = format!(
                "{line_end}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n"
            );
            pieces.push_back(Piece::Text(text.into()));
            pieces.push_back(Piece::Span(part.first, part.last + 1));
        }
        pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
        Self { pieces, boundary }
    }

    fn of<const N: usize>(pieces: [Piece; N]) -> Self {
        Self { pieces: pieces.into(), boundary: String::new() }
    }

    /// `Content-Type` of two parts.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Bytes in all; those of a body without a known length do not count.
    pub(super) fn length(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::Span(from, to) => to - from,
            Piece::Rest(_) => 0,
        };
        self.pieces.iter().map(length).sum()
    }

    /// The bytes, to be taken one piece after the other.
    pub(super) fn body(self) -> Outgoing {
        Outgoing(self.pieces)
    }
}

/// What is still to be sent.
pub(super) struct Outgoing(VecDeque<Piece>);

impl Outgoing {
    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`] if the source does not have all that was promised.
    pub(super) async fn next(&mut self, source: &mut Source) -> Result<Option<Bytes>, ReadError> {
        while let Some(piece) = self.0.front_mut() {
            let (from, to) = match piece {
                Piece::Text(text) => {
                    let text = std::mem::take(text);
                    self.0.pop_front();
                    return Ok(Some(text));
                }
                Piece::Span(from, to) => (from, *to),
                Piece::Rest(from) => (from, u64::MAX),
            };
            if *from < to {
                match source.read(*from, to).await? {
                    Some(bytes) => {
                        *from += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                    None if to < u64::MAX => return Err(ReadError::FillFailed),
                    None => {}
                }
            }
            self.0.pop_front();
        }
        Ok(None)
    }
}

/// A line that no file has by chance.
fn boundary() -> String {
    let mut random = [0; 12];
    // Without random numbers a fixed line does as well: it only has to be rare.
    let _ = getrandom::fill(&mut random);
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("kinora-{digits}")
}
