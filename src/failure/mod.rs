//! Every module's error becomes one public [`Failure`] here, and nowhere else.
//!
//! `detail` is written for strangers: no path, host, key or secret ever gets into it. The cause chain
//! goes to the log alone.

mod code;
mod from;

use http::{HeaderMap, HeaderName};
use serde::Serialize;

pub use code::{Blame, Code};

/// What a client is told when a request fails, RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong; status, title and blame follow from it.
    pub code: Code,
    /// This case of it, for strangers.
    pub detail: String,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
    /// Length of the object whose range was not satisfiable, RFC 9110 section 15.5.17.
    pub object_bytes: Option<u64>,
    /// What an origin says of how long its refusal holds, RFC 9111.
    pub freshness: Box<HeaderMap>,
    /// The whole truth, for the log.
    pub cause: String,
}

/// The header that carries [`Code::as_str`].
pub const ERROR: HeaderName = HeaderName::from_static("kinora-error");

/// The media type of [`Failure::body`].
pub const PROBLEM_TYPE: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

impl Failure {
    /// A failure with a detail that is also all there is to log.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            code,
            cause: detail.clone(),
            detail,
            retry_after: None,
            object_bytes: None,
            freshness: Box::default(),
        }
    }

    /// A range lies outside an object of so many bytes.
    pub fn range_outside(length: u64) -> Self {
        let failure = Self::new(Code::RangeNotSatisfiable, format!("the object has {length} bytes"));
        Self { object_bytes: Some(length), ..failure }
    }

    /// A failure whose cause is not for strangers: they are told its title.
    pub fn hidden(code: Code, cause: impl ToString) -> Self {
        let detail = code.title().to_owned();
        Self { cause: cause.to_string(), ..Self::new(code, detail) }
    }

    /// The same, with the advice to come again.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The body, RFC 9457 section 3.
    pub fn body(&self) -> Vec<u8> {
        let problem = Problem {
            r#type: format!("urn:kinora:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
        };
        // Five plain texts and a number always serialise; an empty body would still carry the status.
        serde_json::to_vec(&problem).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_problem_json_with_the_code() {
        let failure = Failure::new(Code::BadOption, "`quality` does not take `0`");
        let body: serde_json::Value = serde_json::from_slice(&failure.body()).expect("JSON");
        assert_eq!(body["status"], 400);
        assert_eq!(body["code"], "bad_option");
        assert_eq!(body["type"], "urn:kinora:problem:bad_option");
        assert_eq!(body["detail"], "`quality` does not take `0`");
    }

    #[test]
    fn a_hidden_cause_stays_out_of_the_body() {
        let failure = Failure::hidden(Code::OriginFailed, "connect to 10.0.0.7:9000 refused");
        let body = String::from_utf8(failure.body()).expect("text");
        assert!(!body.contains("10.0.0.7"), "{body}");
        assert!(failure.cause.contains("10.0.0.7"));
    }
}
