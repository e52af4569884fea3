//! Which websites may read answers by script: CORS, as the Fetch standard has it.

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use pingora::Result;
use pingora::http::ResponseHeader;

/// Which websites may read answers by script.
#[derive(Debug, Clone)]
pub enum Cors {
    /// Every one.
    All,
    /// These.
    Only(Vec<String>),
}

impl Cors {
    /// `*` anywhere in the list means all.
    pub fn new(origins: &[String]) -> Self {
        match origins.iter().any(|origin| origin == "*") {
            true => Self::All,
            false => Self::Only(origins.to_vec()),
        }
    }

    /// Says in an answer whether the website that asks may read it.
    pub(super) fn apply(&self, asked: &HeaderMap, answer: &mut ResponseHeader) -> Result<()> {
        match self {
            Self::All => answer.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")?,
            Self::Only(origins) => {
                answer.append_header(VARY, "Origin")?;
                let asking = asked.get(ORIGIN).and_then(|origin| origin.to_str().ok());
                let Some(origin) = asking.filter(|asking| origins.iter().any(|origin| origin == asking))
                else {
                    return Ok(());
                };
                answer.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
            }
        }
        answer.insert_header(ACCESS_CONTROL_EXPOSE_HEADERS, "*")
    }

    /// What a preflight learns besides.
    pub(super) fn preflight(&self, answer: &mut ResponseHeader, methods: &str, seconds: &str) -> Result<()> {
        answer.insert_header(ACCESS_CONTROL_ALLOW_METHODS, methods)?;
        answer.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, "*, Authorization")?;
        answer.insert_header(ACCESS_CONTROL_MAX_AGE, seconds)
    }
}
