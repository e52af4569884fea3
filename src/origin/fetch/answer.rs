//! Reads an upstream's answer and believes none of it: status, range, length and coding must fit
//! what was asked, and the body must be as long as announced. Only a body of HTTP/1.0 that ends with
//! its connection announces nothing and is taken as it comes.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, StatusCode, header};
use reqwest::Response;

use crate::origin::fetch::{describe, failure};
use crate::origin::{Answer, Ask, Body, Error, Object, ObjectInfo};

const PIECE: usize = 64 * 1024;

/// The object, or that it has not been modified.
pub(super) fn answer(response: Response, ask: &Ask, read_timeout: Duration) -> Result<Answer, Error> {
    let headers = response.headers();
    let (info, part) = match response.status() {
        StatusCode::OK => (whole_info(headers)?, None),
        StatusCode::PARTIAL_CONTENT => {
            let (info, part) = part_info(headers, ask)?;
            (info, Some(part))
        }
        StatusCode::NOT_MODIFIED if ask.is_conditional() => {
            return Ok(Answer::NotModified(ObjectInfo { length: None, ..info(headers) }));
        }
        status => return Err(failure(status, "")),
    };
    if ask.already_has(&info)? {
        return Ok(Answer::NotModified(info));
    }
    let expected = part.map_or(info.length, |(first, last)| Some(last - first + 1));
    let reading = Reading { response, piece: Bytes::new(), received: 0, expected, read_timeout };
    Ok(Answer::Object(Object { info, part, body: reading.into_body() }))
}

/// The facts of a whole object.
pub(super) fn whole_info(headers: &HeaderMap) -> Result<ObjectInfo, Error> {
    refuse_coding(headers)?;
    Ok(info(headers))
}

/// The facts of an object of which a part is handed out, and which part.
fn part_info(headers: &HeaderMap, ask: &Ask) -> Result<(ObjectInfo, (u64, u64)), Error> {
    refuse_coding(headers)?;
    let range = text(headers, &header::CONTENT_RANGE).unwrap_or_default();
    let (first, last, total) = content_range(range)
        .ok_or_else(|| Error::BadAnswer(format!("a part without its range: {range:?}")))?;
    let asked = ask.range.and_then(|asked| asked.within(total));
    if asked != Some((first, last)) {
        let asked = ask.range.map_or("no part".to_owned(), |range| range.to_string());
        return Err(Error::BadAnswer(format!("{asked} was asked, {range:?} came")));
    }
    let info = info(headers);
    if info.length.is_some_and(|length| length != last - first + 1) {
        return Err(Error::BadAnswer(format!("{range:?} does not fit the length of the body")));
    }
    Ok((ObjectInfo { length: Some(total), ..info }, (first, last)))
}

fn info(headers: &HeaderMap) -> ObjectInfo {
    ObjectInfo {
        length: text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        etag: text(headers, &header::ETAG).filter(|etag| is_entity_tag(etag)).map(str::to_owned),
        last_modified: text(headers, &header::LAST_MODIFIED).and_then(date),
        content_type: text(headers, &header::CONTENT_TYPE).map(str::to_owned),
        headers: HeaderMap::new(),
    }
}

/// A coded body is not the object. `aws-chunked` is what some upload programs leave behind on
/// objects that are not coded at all.
fn refuse_coding(headers: &HeaderMap) -> Result<(), Error> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    for coding in codings.map(|coding| coding.trim_ascii().to_ascii_lowercase()) {
        if !matches!(coding.as_slice(), b"" | b"identity" | b"aws-chunked") {
            let coding = coding.escape_ascii();
            return Err(Error::BadAnswer(format!("coded as {coding}, asked for identity")));
        }
    }
    Ok(())
}

/// First byte, last byte, length of the whole; only what can be true.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
    (first <= last && last < total).then_some((first, last, total))
}

fn is_entity_tag(text: &str) -> bool {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"')
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// How far a body has been read.
struct Reading {
    response: Response,
    piece: Bytes,
    received: u64,
    expected: Option<u64>,
    read_timeout: Duration,
}

impl Reading {
    fn into_body(self) -> Body {
        Box::pin(stream::try_unfold(self, |mut reading| async move {
            Ok(reading.next().await?.map(|piece| (piece, reading)))
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.piece.is_empty() {
            match tokio::time::timeout(self.read_timeout, self.response.chunk()).await {
                Ok(Ok(Some(piece))) => self.piece = piece,
                Ok(Ok(None)) if self.expected.is_none_or(|expected| expected == self.received) => {
                    return Ok(None);
                }
                Ok(Ok(None)) => return Err(self.misfit("ended")),
                Ok(Err(error)) => return Err(self.misfit(&describe(error))),
                Err(_) => return Err(Error::TimedOut("waiting for more of the body")),
            }
            self.received += self.piece.len() as u64;
            if self.expected.is_some_and(|expected| expected < self.received) {
                return Err(self.misfit("went on"));
            }
        }
        Ok(Some(self.piece.split_to(self.piece.len().min(PIECE))))
    }

    fn misfit(&self, what: &str) -> Error {
        let expected = self.expected.map_or("unknown".to_owned(), |length| length.to_string());
        Error::BadAnswer(format!("body of length {expected}, after {} bytes: {what}", self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_must_be_possible() {
        assert_eq!(content_range("bytes 0-0/1"), Some((0, 0, 1)));
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, 10)));
        for bad in
            ["", "bytes */10", "bytes 0-9/*", "bytes 5-4/10", "bytes 0-10/10", "items 0-1/2", "bytes 0/1"]
        {
            assert_eq!(content_range(bad), None, "{bad:?} must be refused");
        }
    }

    #[test]
    fn only_an_entity_tag_is_kept() {
        for good in ["\"\"", "\"a\"", "W/\"a\""] {
            assert!(is_entity_tag(good), "{good}");
        }
        for bad in ["", "\"", "a", "W/a", "\"a", "W/\""] {
            assert!(!is_entity_tag(bad), "{bad}");
        }
    }
}
