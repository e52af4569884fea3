//! `Age`, `Date` and `Expires`: how old an answer is when it arrives and how long it was made to last,
//! RFC 9111 sections 4.2, 5.1 and 5.3. In seconds, at most [`MAX_SECONDS`].

use std::time::SystemTime;

use http::header::{AGE, DATE, EXPIRES};
use http::{HeaderMap, HeaderName};

use crate::headers::cache_control::MAX_SECONDS;

/// The age of an answer that arrives now: what its `Age` says, or the time since its `Date`, whichever is
/// more (RFC 9111 section 4.2.3). Of several values of `Age` the first counts, and one that is no number
/// does not.
pub fn age_on_arrival(answer: &HeaderMap, now: SystemTime) -> u32 {
    let apparent = date(answer, DATE).map_or(0, |made| seconds_between(made, now));
    let first = answer.get(AGE).and_then(|value| value.as_bytes().split(|byte| *byte == b',').next());
    apparent.max(first.and_then(|text| number(text.trim_ascii())).unwrap_or(0))
}

/// How long an answer lasts by its `Expires`, counted from its own `Date` where it has one; `None`
/// without the header. What is no date is in the past (RFC 9111 section 5.3).
pub fn lifetime_by_expires(answer: &HeaderMap, now: SystemTime) -> Option<u32> {
    answer.get(EXPIRES)?;
    let made = date(answer, DATE).unwrap_or(now);
    Some(date(answer, EXPIRES).map_or(0, |end| seconds_between(made, end)))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// None if the other way round: clocks differ.
fn seconds_between(from: SystemTime, to: SystemTime) -> u32 {
    let span = to.duration_since(from).unwrap_or_default().as_secs();
    u32::try_from(span).map_or(MAX_SECONDS, |seconds| seconds.min(MAX_SECONDS))
}

fn number(text: &[u8]) -> Option<u32> {
    let digit =
        |sum: u32, b: &u8| sum.saturating_mul(10).saturating_add(u32::from(b - b'0')).min(MAX_SECONDS);
    (!text.is_empty() && text.iter().all(u8::is_ascii_digit)).then(|| text.iter().fold(0, digit))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";
    const HALF_PAST: &str = "Sun, 06 Nov 1994 12:30:00 GMT";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("a value");
        lines.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    fn at(text: &str) -> SystemTime {
        httpdate::parse_http_date(text).expect("a date")
    }

    #[test]
    fn rfc9111_5_1_the_first_age_that_is_one() {
        for (ages, seconds) in [
            (&[][..], 0),
            (&["7"], 7),
            (&["7, 9"], 7),
            (&["7", "9"], 7),
            (&[" 7 ,x"], 7),
            (&["-1"], 0),
            (&["7.5"], 0),
            (&["\"7\""], 0),
            (&[""], 0),
            (&["x, 7"], 0),
            (&["4294967296"], MAX_SECONDS),
            (&["99999999999999999999999"], MAX_SECONDS),
        ] {
            let lines: Vec<_> = ages.iter().map(|age| (AGE, *age)).collect();
            assert_eq!(age_on_arrival(&headers(&lines), at(NOON)), seconds, "{ages:?}");
        }
    }

    #[test]
    fn rfc9111_4_2_3_the_greater_of_age_and_time_under_way() {
        let age = |date: &str, age: &str, now| age_on_arrival(&headers(&[(DATE, date), (AGE, age)]), at(now));
        assert_eq!(age(NOON, "0", HALF_PAST), 1800);
        assert_eq!(age(NOON, "2000", HALF_PAST), 2000);
        assert_eq!(age(HALF_PAST, "0", NOON), 0, "the origin's clock is ahead");
        assert_eq!(age("yesterday", "5", NOON), 5);
        let late = at(NOON) + Duration::from_secs(u64::from(u32::MAX) + 5);
        assert_eq!(age_on_arrival(&headers(&[(DATE, NOON)]), late), MAX_SECONDS);
    }

    #[test]
    fn rfc9111_5_3_expires_counts_from_date() {
        let life = |lines: &[(HeaderName, &str)], now| lifetime_by_expires(&headers(lines), at(now));
        assert_eq!(life(&[(DATE, NOON)], NOON), None);
        assert_eq!(
            life(&[(DATE, NOON), (EXPIRES, HALF_PAST)], HALF_PAST),
            Some(1800),
            "whatever our clock says"
        );
        assert_eq!(life(&[(EXPIRES, HALF_PAST)], NOON), Some(1800), "without a date, from now");
        assert_eq!(life(&[(DATE, HALF_PAST), (EXPIRES, NOON)], NOON), Some(0));
        for invalid in ["0", "", "never", "1800"] {
            assert_eq!(
                life(&[(DATE, NOON), (EXPIRES, invalid)], NOON),
                Some(0),
                "{invalid:?} is in the past"
            );
        }
    }
}
