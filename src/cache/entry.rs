//! What is remembered of an answer besides its body.

use std::time::SystemTime;

use pingora::cache::CacheMeta;
use pingora::http::ResponseHeader;

/// When an answer was made, how long it is fresh, and how long it may be used after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freshness {
    pub(super) fresh_until: SystemTime,
    pub(super) created: SystemTime,
    pub(super) stale_while_revalidate_seconds: u32,
    pub(super) stale_if_error_seconds: u32,
}

impl Freshness {
    pub(super) fn of(meta: &CacheMeta) -> Self {
        Self {
            fresh_until: meta.fresh_until(),
            // After a revalidation the age counts from there.
            created: meta.updated(),
            stale_while_revalidate_seconds: meta.stale_while_revalidate_sec(),
            stale_if_error_seconds: meta.stale_if_error_sec(),
        }
    }

    /// Pingora's form of it. `CacheMeta` cannot be cloned and must not be parsed on a hit, so it is
    /// built anew from its parts.
    pub(super) fn meta(&self, header: &ResponseHeader) -> CacheMeta {
        CacheMeta::new(
            self.fresh_until,
            self.created,
            self.stale_while_revalidate_seconds,
            self.stale_if_error_seconds,
            header.clone(),
        )
    }

    /// Never fresh.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            fresh_until: SystemTime::UNIX_EPOCH,
            created: SystemTime::UNIX_EPOCH,
            stale_while_revalidate_seconds: 0,
            stale_if_error_seconds: 0,
        }
    }
}

/// A header that costs one allocation less to clone: without the spelling of its names, which the
/// writers of HTTP/1.1 title-case anyway.
pub(super) fn lean(header: &ResponseHeader) -> ResponseHeader {
    let Ok(mut lean) = ResponseHeader::build_no_case(header.status, Some(header.headers.len())) else {
        return header.clone();
    };
    for (name, value) in &header.headers {
        // Appending fails only beyond http's limit on header count, which the source obeys.
        let _ = lean.append_header(name, value);
    }
    lean
}
