//! How long an answer may be kept, and what the caches in front of us are told.
//!
//! A bucket says nothing about freshness, so the configuration decides. An HTTP origin's own
//! `CDN-Cache-Control` and `Cache-Control` lead (RFC 9213, RFC 9111).

use std::time::{Duration, SystemTime};

use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, DATE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName};

use crate::cache::entry::{Freshness, Head};
use crate::headers::cache_control::Directives;
use crate::headers::freshness::{age_on_arrival, lifetime_by_expires};

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// A failure of ours or the origin's is remembered this long: enough that those who wait for one fill
/// share its end, too short to hide that the cause is gone.
const FAILURE_LIFE: Duration = Duration::from_secs(1);

/// A versioned URL never changes its meaning: RFC 8246.
const IMMUTABLE_SECONDS: u32 = 31_536_000;

/// The rules for answers whose origin has none.
#[derive(Debug, Clone)]
pub struct Policy {
    /// For browsers.
    pub max_age: Duration,
    /// For caches in front of us, and for our own.
    pub s_maxage: Duration,
    /// RFC 5861 section 3.
    pub stale_while_revalidate: Duration,
    /// RFC 5861 section 4.
    pub stale_if_error: Duration,
    /// For what is missing or cannot be rendered.
    pub negative_ttl: Duration,
}

/// How long one answer is fresh and how long it may be used after that, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    fresh: u32,
    already: u32,
    stale_while_revalidate: u32,
    stale_if_error: u32,
}

impl Policy {
    /// What is to be remembered of this answer, `None` for nothing.
    pub fn admit(&self, answer: &Head, now: SystemTime) -> Option<Freshness> {
        // An unknown length could outgrow the limit in the middle of an answer.
        if !answer.headers.contains_key(CONTENT_LENGTH) || varies_by_everything(&answer.headers) {
            return None;
        }
        let own = directives(&answer.headers, &CACHE_CONTROL).unwrap_or_default();
        if answer.headers.contains_key(SET_COOKIE) || (answer.status >= 400 && own.is_private) {
            return None;
        }
        let life = match answer.status {
            200 => self.life_of(&answer.headers, now)?,
            404 | 410 | 413 | 415 | 422 => {
                let at_most = seconds(self.negative_ttl);
                let own = self.life_of(&answer.headers, now)?;
                Life { fresh: own.fresh.min(at_most), ..Life::plain(Duration::ZERO) }
            }
            status if status >= 500 => Life::plain(FAILURE_LIFE),
            _ => return None,
        };
        let created = now.checked_sub(Duration::from_secs(life.already.into())).unwrap_or(now);
        let fresh_until = created + Duration::from_secs(life.fresh.into());
        Some(Freshness {
            created,
            fresh_until,
            stale_while_revalidate: Duration::from_secs(life.stale_while_revalidate.into()),
            stale_if_error: Duration::from_secs(life.stale_if_error.into()),
        })
    }

    /// RFC 9111 section 4.3.4: how long a stored answer, updated by a 304 with these headers, is good
    /// for now.
    pub fn renew(&self, stored: &Head, told: &HeaderMap, now: SystemTime) -> Freshness {
        let mut fresh = Head { status: stored.status, headers: stored.headers.clone() };
        for name in [AGE, DATE] {
            fresh.headers.remove(&name);
            if let Some(value) = told.get(&name) {
                fresh.headers.insert(name, value.clone());
            }
        }
        self.admit(&fresh, now).unwrap_or_else(|| Freshness::none(now))
    }

    /// `Cache-Control` for this answer as everybody in front of us may see it. An origin's own stands.
    pub fn announce(&self, answer: &Head, is_versioned: bool) -> Directives {
        let own = directives(&answer.headers, &CACHE_CONTROL);
        if answer.status >= 400 {
            let ttl = seconds(self.negative_ttl);
            let is_private = own.as_ref().is_some_and(|own| own.is_private);
            let is_kept = !own.is_some_and(|own| own.is_no_store || own.is_private);
            return match answer.status >= 500 || ttl == 0 || !is_kept {
                true => Directives { is_no_store: true, is_private, ..Directives::default() },
                false => Directives { max_age: Some(ttl), ..Directives::default() },
            };
        }
        if let Some(own) = own {
            return own;
        }
        let life = |time| Some(if is_versioned { IMMUTABLE_SECONDS } else { seconds(time) });
        Directives {
            is_public: true,
            max_age: life(self.max_age),
            s_maxage: life(self.s_maxage),
            stale_while_revalidate: Some(seconds(self.stale_while_revalidate)),
            stale_if_error: Some(seconds(self.stale_if_error)),
            is_immutable: is_versioned,
            ..Directives::default()
        }
    }

    /// `None` if the origin forbids to keep it.
    fn life_of(&self, headers: &HeaderMap, now: SystemTime) -> Option<Life> {
        let targeted = targeted(headers);
        // RFC 9213 section 2.2: beside a targeted field, `Expires` does not count either.
        let expires = if targeted.is_some() { None } else { lifetime_by_expires(headers, now) };
        let already = age_on_arrival(headers, now);
        let Some(own) = targeted.or_else(|| directives(headers, &CACHE_CONTROL)) else {
            return Some(Life {
                fresh: expires.unwrap_or_else(|| seconds(self.s_maxage)),
                already,
                stale_while_revalidate: seconds(self.stale_while_revalidate),
                stale_if_error: seconds(self.stale_if_error),
            });
        };
        // Every status that comes here is understood, RFC 9111 section 5.2.2.3.
        if (own.is_no_store && !own.is_must_understand) || own.is_private {
            return None;
        }
        let may_be_stale = !(own.is_must_revalidate || own.is_proxy_revalidate || own.is_no_cache);
        let fresh = own.s_maxage.or(own.max_age).or(expires).unwrap_or_else(|| seconds(self.s_maxage));
        let stale = |seconds: Option<u32>| if may_be_stale { seconds.unwrap_or(0) } else { 0 };
        Some(Life {
            fresh: if own.is_no_cache { 0 } else { fresh },
            already,
            stale_while_revalidate: stale(own.stale_while_revalidate),
            stale_if_error: stale(own.stale_if_error),
        })
    }
}

impl Life {
    fn plain(fresh: Duration) -> Self {
        Self { fresh: seconds(fresh), already: 0, stale_while_revalidate: 0, stale_if_error: 0 }
    }
}

/// RFC 9111 section 4.1: such an answer is for no other request.
fn varies_by_everything(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|name| name.trim() == "*")
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn directives(headers: &HeaderMap, name: &HeaderName) -> Option<Directives> {
    let mut lines = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).peekable();
    lines.peek()?;
    Some(Directives::parse(lines))
}

fn targeted(headers: &HeaderMap) -> Option<Directives> {
    Directives::parse_targeted(headers.get_all(CDN_CACHE_CONTROL).iter().map(http::HeaderValue::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn policy() -> Policy {
        Policy {
            max_age: Duration::from_secs(60),
            s_maxage: Duration::from_secs(600),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(10),
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> Head {
        let lines = [("content-length", "5")].iter().chain(headers);
        let headers =
            lines.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("fits")));
        Head { status, headers: headers.collect() }
    }

    /// Seconds of freshness, of use while revalidating, and of use on error.
    fn admitted(status: u16, headers: &[(&'static str, &str)]) -> Option<(u64, u64, u64)> {
        let now = NOW + Duration::from_secs(10_000);
        let life = policy().admit(&answer(status, headers), now)?;
        let fresh = u64::try_from(life.ttl(now)).unwrap_or(0);
        Some((fresh, life.stale_while_revalidate.as_secs(), life.stale_if_error.as_secs()))
    }

    #[test]
    fn the_configuration_decides_for_a_bucket() {
        assert_eq!(admitted(200, &[]), Some((600, 30, 300)));
        assert_eq!(admitted(404, &[]), Some((10, 0, 0)), "negative caching is short");
        assert_eq!(admitted(503, &[]), Some((1, 0, 0)), "a failure is hardly remembered");
        assert_eq!(admitted(206, &[]), None, "a part is no whole");
        assert_eq!(admitted(401, &[]), None);
    }

    #[test]
    fn rfc9111_5_2_2_an_origins_directives_lead() {
        let control = |value| admitted(200, &[("cache-control", value)]);
        assert_eq!(control("max-age=5"), Some((5, 0, 0)));
        assert_eq!(control("max-age=5, s-maxage=7, stale-if-error=9"), Some((7, 0, 9)));
        assert_eq!(control("max-age=5, stale-while-revalidate=9, must-revalidate"), Some((5, 0, 0)));
        assert_eq!(control("no-cache, max-age=5"), Some((0, 0, 0)), "stored, never used unasked");
        assert_eq!(control("no-store"), None);
        assert_eq!(control("private"), None);
    }

    #[test]
    fn rfc9213_2_2_the_targeted_field_wins() {
        let headers = [("cdn-cache-control", "max-age=9"), ("cache-control", "no-store")];
        assert_eq!(admitted(200, &headers), Some((9, 0, 0)));
    }

    #[test]
    fn rfc9111_4_2_3_age_of_the_origin_is_used_up_life() {
        assert_eq!(admitted(200, &[("age", "100")]), Some((500, 30, 300)));
        assert_eq!(admitted(200, &[("age", "-1")]), Some((600, 30, 300)), "garbage is zero");
        assert_eq!(admitted(200, &[("age", "7, 9")]), Some((593, 30, 300)));
    }

    #[test]
    fn rfc9111_4_1_what_varies_by_everything_matches_nothing() {
        assert_eq!(admitted(200, &[("vary", "*")]), None);
        assert_eq!(admitted(200, &[("vary", "accept-language, *")]), None);
        assert!(admitted(200, &[("vary", "accept-language")]).is_some());
    }

    #[test]
    fn what_is_for_one_client_is_not_kept() {
        assert_eq!(admitted(404, &[("cache-control", "private")]), None);
        assert_eq!(admitted(200, &[("cache-control", "max-age=5"), ("set-cookie", "id=1")]), None);
        let announced = policy().announce(&answer(404, &[("cache-control", "private")]), false);
        assert!(announced.is_private && announced.is_no_store, "{announced}");
    }

    #[test]
    fn announcements() {
        let announced = |status, headers: &[_], versioned| {
            policy().announce(&answer(status, headers), versioned).to_string()
        };
        let plain = "public, max-age=60, s-maxage=600, stale-while-revalidate=30, stale-if-error=300";
        assert_eq!(announced(200, &[], false), plain);
        assert!(announced(200, &[], true).ends_with("immutable"), "RFC 8246");
        assert_eq!(announced(200, &[("cache-control", "max-age=3")], false), "max-age=3");
        assert_eq!(announced(404, &[], false), "max-age=10");
        assert_eq!(announced(502, &[], false), "no-store");
    }
}
