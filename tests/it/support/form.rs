//! A multipart form (RFC 7578), byte for byte as a browser sends it.

#![allow(dead_code, reason = "each subject uses some of it")]

const BOUNDARY: &str = "----kinora-test-form-boundary";

/// A form that is being filled in.
#[derive(Default)]
pub(crate) struct Form(Vec<u8>);

impl Form {
    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), None, value.as_bytes())
    }

    pub(crate) fn file(self, field: &str, name: &str, content_type: Option<&str>, bytes: &[u8]) -> Self {
        self.part(&format!("name=\"{field}\"; filename=\"{name}\""), content_type, bytes)
    }

    /// A part with this disposition behind `form-data; `.
    pub(crate) fn part(mut self, disposition: &str, content_type: Option<&str>, bytes: &[u8]) -> Self {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n");
        self.0.extend_from_slice(head.as_bytes());
        if let Some(content_type) = content_type {
            self.0.extend_from_slice(format!("Content-Type: {content_type}\r\n").as_bytes());
        }
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// The body without its end.
    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn body(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }

    /// The value of `Content-Type`.
    pub(crate) fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }
}
