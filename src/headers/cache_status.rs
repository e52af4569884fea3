//! `Cache-Status`, RFC 9211: how this cache came to its answer.

use std::fmt;

/// Our own entry of the header; `Display` writes it.
///
/// ```
/// use kinora::headers::cache_status::{CacheStatus, Forward};
///
/// assert_eq!(CacheStatus::hit().ttl(30).to_string(), "kinora; hit; ttl=30");
/// let miss = CacheStatus::forwarded(Forward::Miss).status(200).stored();
/// assert_eq!(miss.to_string(), "kinora; fwd=miss; fwd-status=200; stored");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    forward: Option<Forward>,
    status: Option<u16>,
    ttl: Option<i64>,
    is_stored: bool,
    is_collapsed: bool,
    detail: Option<&'static str>,
}

/// Why a request went on to the origin, RFC 9211 section 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache is not used for it.
    Bypass,
    /// The method asks for it.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Something is stored for the URI, but not for these header fields.
    VaryMiss,
    /// Nothing usable is stored.
    Miss,
    /// What is stored is fresh, but the request does not want it.
    Request,
    /// What is stored is stale.
    Stale,
    /// Only a part is stored.
    Partial,
}

impl CacheStatus {
    /// Answered from the cache alone.
    pub fn hit() -> Self {
        Self { forward: None, status: None, ttl: None, is_stored: false, is_collapsed: false, detail: None }
    }

    /// Answered with the help of the origin.
    pub fn forwarded(why: Forward) -> Self {
        Self { forward: Some(why), ..Self::hit() }
    }

    /// The status that the origin answered, where it differs from ours or is of interest.
    pub fn status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Seconds for which the answer is still fresh; negative when it is stale.
    pub fn ttl(self, seconds: i64) -> Self {
        Self { ttl: Some(seconds), ..self }
    }

    /// The answer was stored.
    pub fn stored(self) -> Self {
        Self { is_stored: true, ..self }
    }

    /// One forwarded request answered this one and others.
    pub fn collapsed(self) -> Self {
        Self { is_collapsed: true, ..self }
    }

    /// A word of our own: a token such as `queue-full`.
    pub fn detail(self, word: &'static str) -> Self {
        Self { detail: Some(word), ..self }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kinora")?;
        match self.forward {
            None => f.write_str("; hit")?,
            Some(why) => write!(f, "; fwd={}", why.token())?,
        }
        if let Some(status) = self.status {
            write!(f, "; fwd-status={status}")?;
        }
        if self.is_stored {
            f.write_str("; stored")?;
        }
        if self.is_collapsed {
            f.write_str("; collapsed")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, "; ttl={ttl}")?;
        }
        self.detail.map_or(Ok(()), |word| write!(f, "; detail={word}"))
    }
}

impl Forward {
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9211_2_parameters_have_one_order() {
        let all = CacheStatus::forwarded(Forward::Stale)
            .detail("origin-down")
            .ttl(-5)
            .collapsed()
            .stored()
            .status(304);
        assert_eq!(
            all.to_string(),
            "kinora; fwd=stale; fwd-status=304; stored; collapsed; ttl=-5; detail=origin-down"
        );
        assert_eq!(CacheStatus::hit().to_string(), "kinora; hit");
        assert_eq!(CacheStatus::forwarded(Forward::UriMiss).to_string(), "kinora; fwd=uri-miss");
    }
}
