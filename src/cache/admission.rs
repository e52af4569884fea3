//! How an answer becomes an entry, and what a 304 and purges make of one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderName};

use crate::cache::entry::{Body, Entry, Freshness, Head};
use crate::cache::generation::{Generations, Subject, Verdict};
use crate::cache::policy::Policy;
use crate::cache::selection::Selection;
use crate::metadata::Stamp;

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Headers of a 304 that say something of the exchange or of the body, which the stored answer knows
/// better: RFC 9111 section 3.2.
const NOT_UPDATED: [HeaderName; 5] = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, VARY];

impl Entry {
    /// The entry of an answer to a request with these headers. `stamp` is the newest purge when the fetch of
    /// it began.
    pub fn new(head: Head, request: &HeaderMap, freshness: Freshness, stamp: Stamp, body: Body) -> Self {
        let tags = tags(&head.headers);
        let selection = Selection::of(&head.headers, request);
        Self { head, freshness, stamp, tags, selection, held_until: None, body }
    }
}

impl Policy {
    /// RFC 9111 section 4.3.4: a stored answer with the headers of a 304.
    pub fn refresh(&self, stored: &Entry, told: &HeaderMap, stamp: Stamp, now: SystemTime) -> Entry {
        let mut head = stored.head.clone();
        for name in told.keys().filter(|name| !NOT_UPDATED.contains(name)) {
            head.headers.remove(name);
            for value in told.get_all(name) {
                head.headers.append(name, value.clone());
            }
        }
        let freshness = self.renew(&head, told, now);
        let tags = tags(&head.headers);
        Entry { head, freshness, stamp, tags, held_until: None, ..stored.clone() }
    }
}

impl Generations {
    /// What purges have left of a stored answer that came from the object of this key, and from this asset.
    pub fn left_of(&self, entry: Arc<Entry>, key: &str, asset: Option<&str>) -> Option<Arc<Entry>> {
        let subject = Subject { key, asset, tags: &entry.tags };
        match self.verdict(&subject, entry.stamp) {
            Verdict::Valid => Some(entry),
            Verdict::Stale { since } => {
                let since = UNIX_EPOCH + Duration::from_secs(since);
                let fresh_until = entry.freshness.fresh_until.min(since);
                let freshness = Freshness { fresh_until, ..entry.freshness };
                Some(Arc::new(Entry { freshness, ..Entry::clone(&entry) }))
            }
            Verdict::Gone => None,
        }
    }
}

impl Head {
    /// The length of the body, where the origin says so.
    pub fn length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The entity tag.
    pub fn etag(&self) -> Option<&str> {
        self.headers.get(ETAG)?.to_str().ok()
    }

    /// The moment of the last change.
    pub fn last_modified(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.headers.get(LAST_MODIFIED)?.to_str().ok()?).ok()
    }
}

/// What the origin tagged the answer with, for purges.
fn tags(headers: &HeaderMap) -> Box<[Box<str>]> {
    let lines = headers.get_all(CACHE_TAG).iter().filter_map(|line| line.to_str().ok());
    let tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.filter(|tag| !tag.is_empty()).map(Box::from).collect()
}
