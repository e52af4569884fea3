//! Moments as JSON has them: ISO 8601 in UTC, to the second.

use std::time::{Duration, UNIX_EPOCH};

use crate::failure::{Code, Failure};

/// What lies beyond the year 9999 has no such form.
const END: u64 = 253_402_300_799;

/// Unix seconds as a text.
pub(super) fn text(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(END))).to_string()
}

/// A text as Unix seconds.
pub(super) fn parse(name: &str, text: &str) -> Result<u64, Failure> {
    let refused = || {
        let detail = format!("`{name}` must be a time such as 2026-01-31T12:00:00Z");
        Failure::new(Code::BadRequest, detail)
    };
    let time = humantime::parse_rfc3339(text).map_err(|_| refused())?;
    Ok(time.duration_since(UNIX_EPOCH).map_err(|_| refused())?.as_secs())
}
