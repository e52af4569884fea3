//! Reads a multipart form (RFC 7578) piece by piece: it may be larger than memory, its heads may not.
//!
//! A part's bytes are handed on as they came, without a copy. What is kept back is never more than the
//! length of a delimiter, and a head of more than [`MOST_HEAD_BYTES`] is refused.

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;

use crate::failure::{Code, Failure};

/// The longest head of one part.
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// More headers than that no part has.
const MOST_HEADERS: usize = 16;

/// A form that is arriving.
pub(super) struct Form {
    body: BodyDataStream,
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    /// What has arrived and was not handed on.
    ready: Bytes,
    at: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first delimiter.
    Preamble,
    /// Among the bytes of a part.
    Part,
    /// Right behind a delimiter.
    Delimiter,
    /// Behind the last delimiter.
    End,
}

/// What a part says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The field's name.
    pub(super) name: String,
    /// A file has a name, however odd.
    pub(super) file_name: Option<String>,
    /// What it is said to be.
    pub(super) content_type: Option<String>,
}

impl Form {
    /// The form that these headers announce.
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Failure> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = content_type.and_then(boundary).ok_or_else(|| {
            Failure::new(Code::BadRequest, "send the files as `multipart/form-data` with a boundary")
        })?;
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter may be the very beginning of the body.
        let ready = Bytes::from_static(b"\r\n");
        Ok(Self { body: body.into_data_stream(), delimiter, ready, at: Place::Preamble })
    }

    /// The next part. What is left of the one before is passed over.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, Failure> {
        while matches!(self.at, Place::Preamble | Place::Part) {
            self.chunk().await?;
        }
        if self.at == Place::End {
            return Ok(None);
        }
        let end = self.find(b"\r\n", 2).await?;
        let rest = self.ready.split_to(end + 2);
        if rest.starts_with(b"--") {
            self.at = Place::End;
            return Ok(None);
        }
        if !rest.trim_ascii().is_empty() {
            return Err(broken("something stands behind a boundary"));
        }
        // Without any header the empty line follows at once.
        let end = match self.find(b"\r\n", 2).await? {
            0 => 0,
            _ => self.find(b"\r\n\r\n", 4).await? + 2,
        };
        let head = self.ready.split_to(end + 2);
        self.at = Place::Part;
        Part::read(&head).map(Some)
    }

    /// More bytes of the part, `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        if !matches!(self.at, Place::Preamble | Place::Part) {
            return Ok(None);
        }
        loop {
            if let Some(at) = memmem::find(&self.ready, &self.delimiter) {
                let last = self.ready.split_to(at);
                let _ = self.ready.split_to(self.delimiter.len());
                self.at = Place::Delimiter;
                return Ok(Some(last).filter(|last| !last.is_empty()));
            }
            // A delimiter may have begun in the last bytes.
            let kept = self.beginning_of_delimiter();
            if self.ready.len() > kept {
                let sure = self.ready.split_to(self.ready.len() - kept);
                return Ok(Some(sure));
            }
            self.more().await?;
        }
    }

    /// How many bytes at the end could be the beginning of a delimiter.
    fn beginning_of_delimiter(&self) -> usize {
        let most = self.ready.len().min(self.delimiter.len() - 1);
        let ends_so = |length: &usize| self.ready.ends_with(&self.delimiter[..*length]);
        (1..=most).rev().find(ends_so).unwrap_or(0)
    }

    /// Where this stands in what has arrived, waiting for it.
    async fn find(&mut self, text: &[u8], length: usize) -> Result<usize, Failure> {
        loop {
            if let Some(at) = memmem::find(&self.ready, text).filter(|at| at + length <= MOST_HEAD_BYTES) {
                return Ok(at);
            }
            if self.ready.len() >= MOST_HEAD_BYTES {
                return Err(broken("the head of a part is too long"));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        let piece = match self.body.next().await {
            Some(Ok(piece)) => piece,
            Some(Err(_)) => return Err(Failure::new(Code::BadRequest, "the body did not arrive")),
            None => return Err(broken("it ends in the middle")),
        };
        self.ready = match self.ready.is_empty() {
            true => piece,
            false => [&self.ready[..], &piece].concat().into(),
        };
        Ok(())
    }
}

impl Part {
    /// Reads a head, which ends with its last line.
    fn read(head: &[u8]) -> Result<Self, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let whole = [head, b"\r\n"].concat();
        let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(&whole, &mut headers)
        else {
            return Err(broken("the head of a part cannot be read"));
        };
        let header = |name: &str| {
            let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        let disposition = header("content-disposition").unwrap_or_default();
        let name = parameter(disposition, "name").ok_or_else(|| broken("a part has no name"))?;
        let file_name = parameter(disposition, "filename");
        Ok(Self { name, file_name, content_type: header("content-type").map(str::to_owned) })
    }
}

fn broken(how: &str) -> Failure {
    Failure::new(Code::BadRequest, format!("the form cannot be read: {how}"))
}

/// The boundary of a `multipart/form-data`, RFC 2046 section 5.1.1.
fn boundary(content_type: &str) -> Option<String> {
    let (kind, _) = content_type.split_once(';')?;
    let is_form = kind.trim().eq_ignore_ascii_case("multipart/form-data");
    let boundary = parameter(content_type, "boundary").filter(|_| is_form)?;
    let is_one =
        (1..=70).contains(&boundary.len()) && boundary.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_one.then_some(boundary)
}

/// A parameter of a header, as browsers write it: a quote in it is `%22` or has a backslash before it,
/// a line break is `%0D%0A`. Any other backslash stands for itself.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let (text, behind) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim_end().to_owned(), &value[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"));
        }
        rest = behind.split_once(';')?.1;
    }
}

/// A text up to its closing quote, and what follows.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match (character, characters.peek()) {
            ('"', _) => return Some((text, &quoted[at + 1..])),
            ('\\', Some((_, '"'))) => {
                text.push('"');
                characters.next();
            }
            _ => text.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn form(boundary: &str, body: &[u8], piece: usize) -> Result<Form, Failure> {
        let mut headers = HeaderMap::new();
        let content_type = format!("multipart/form-data; boundary={boundary}");
        headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).unwrap());
        let pieces: Vec<_> =
            body.chunks(piece).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
        Form::new(&headers, Body::from_stream(stream::iter(pieces)))
    }

    async fn read(form: &mut Form) -> Result<Vec<(Part, Vec<u8>)>, Failure> {
        let mut parts = Vec::new();
        while let Some(part) = form.next().await? {
            let mut bytes = Vec::new();
            while let Some(chunk) = form.chunk().await? {
                assert!(!chunk.is_empty(), "a piece has bytes");
                bytes.extend_from_slice(&chunk);
            }
            parts.push((part, bytes));
        }
        Ok(parts)
    }

    fn read_now(boundary: &str, body: &[u8], piece: usize) -> Result<Vec<(Part, Vec<u8>)>, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { read(&mut form(boundary, body, piece)?).await })
    }

    const SAMPLE: &[u8] = b"preamble\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b  \r\n\
        content-type: image/png\r\nCONTENT-DISPOSITION:form-data;name=f; filename=\"x \\\"y\\\".png\"\r\n\r\n\
        \r\n--\r\n--bx\r\n--\r\n--b\r\nContent-Disposition: form-data; name=\"\"; filename=\"\"\r\n\r\n\r\n--b--\r\nend";

    #[test]
    fn however_it_is_cut_the_parts_are_the_same() {
        let part = |name: &str, file_name: Option<&str>, content_type: Option<&str>| Part {
            name: name.to_owned(),
            file_name: file_name.map(str::to_owned),
            content_type: content_type.map(str::to_owned),
        };
        let body = SAMPLE.to_vec();
        let at = memmem::find(&body, b"--bx").unwrap();
        let expected = |kept: &[u8]| {
            vec![
                (part("a", None, None), b"1".to_vec()),
                (part("f", Some("x \"y\".png"), Some("image/png")), kept.to_vec()),
                (part("", Some(""), None), Vec::new()),
            ]
        };
        // "\r\n--bx" is a delimiter with something behind it, so another boundary is needed to keep it.
        let other: Vec<u8> = [&body[..at], b"--c", &body[at + 3..]].concat();
        for piece in 1..=other.len() {
            assert_eq!(read_now("b", &other, piece), Ok(expected(b"\r\n--\r\n--cx\r\n--")), "{piece}");
        }
        assert!(read_now("b", &body, 7).is_err(), "a boundary with something behind it");
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let head = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
        let long = format!("--b\r\nX: {}\r\n\r\n", "x".repeat(MOST_HEAD_BYTES));
        let many = format!("--b\r\n{}\r\n", "X: y\r\n".repeat(MOST_HEADERS + 1));
        for body in [
            "",
            "--",
            "--b",
            "--b\r\n",
            head,
            &format!("{head}x"),
            &format!("{head}x\r\n--b"),
            &format!("{head}x\r\n--b\r\n"),
            "--b\r\n\r\nx\r\n--b--\r\n",
            "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b--\r\n",
            "--b\r\nno header\r\n\r\nx\r\n--b--\r\n",
            &long,
            &many,
        ] {
            for piece in [1, 5, 64, 1 << 20] {
                let refused = read_now("b", body.as_bytes(), piece).map_err(|failure| failure.code);
                assert_eq!(refused, Err(Code::BadRequest), "{body:.80?} by {piece}");
            }
        }
        for boundary in ["", "\"\"", &"x".repeat(71)] {
            assert!(form(boundary, b"", 1).is_err(), "{boundary:?}");
        }
        assert!(Form::new(&HeaderMap::new(), Body::empty()).is_err(), "no type");
    }

    #[test]
    fn names_are_read_as_browsers_write_them() {
        for (header, expected) in [
            (r#"form-data; name="a""#, Some("a")),
            (r#"form-data; filename="name=b"; name="a""#, Some("a")),
            (r#"form-data; NAME = a ; x=y"#, Some("a")),
            (r#"form-data; name="C:\dir\a.jpg""#, Some(r"C:\dir\a.jpg")),
            (r#"form-data; name="a%22b%0D%0Ac""#, Some("a\"b\r\nc")),
            (r#"form-data; name="ünï 日本""#, Some("ünï 日本")),
            (r#"form-data; name="a;b""#, Some("a;b")),
            ("form-data; filename*=UTF-8''a", None),
            ("form-data", None),
            (r#"form-data; name="a"#, None),
        ] {
            assert_eq!(parameter(header, "name").as_deref(), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_pass_through(bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..300), piece in 1..70usize) {
            let mut body = b"--boundary\r\nContent-Disposition: form-data; name=a\r\n\r\n".to_vec();
            body.extend_from_slice(&bytes);
            body.extend_from_slice(b"\r\n--boundary--\r\n");
            let parts = read_now("boundary", &body, piece).unwrap();
            prop_assert_eq!(&parts[0].1, &bytes);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b'), any::<u8>()], 0..200), piece in 1..70usize) {
            let _ = read_now("b", &bytes, piece);
        }
    }
}
