//! The head of a stored answer as bytes, for the disk tier.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::cache::entry::{Body, Entry, Freshness, Head};
use crate::cache::selection::Selection;
use crate::metadata::Stamp;

/// Another one for each change of [`Record`]: what an older program wrote is a miss.
const VERSION: u8 = 1;

/// Everything of an entry but its body.
#[derive(Serialize, Deserialize)]
struct Record {
    version: u8,
    status: u16,
    /// Microseconds since 1970.
    created: u64,
    /// Microseconds since 1970.
    fresh_until: u64,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
    stamp: u64,
    tags: Box<[Box<str>]>,
    /// The length of an object whose bytes are in slices.
    sliced: Option<u64>,
    selection: Vec<Line>,
    headers: Vec<Line>,
}

/// Name and value of a header.
type Line = (String, Vec<u8>);

/// What is written of an entry. `None` for one that cannot be, which no header can cause.
pub(super) fn write(entry: &Entry) -> Option<Bytes> {
    let Freshness { created, fresh_until, stale_while_revalidate, stale_if_error } = entry.freshness;
    let lines = |name: &HeaderName, value: &[u8]| (name.as_str().to_owned(), value.to_vec());
    let record = Record {
        version: VERSION,
        status: entry.head.status,
        created: micros(created),
        fresh_until: micros(fresh_until),
        stale_while_revalidate,
        stale_if_error,
        stamp: entry.stamp.0,
        tags: entry.tags.clone(),
        sliced: match entry.body {
            Body::Sliced { length } => Some(length),
            Body::Memory(_) | Body::Filling(_) | Body::Disk(_) => None,
        },
        selection: entry.selection.pairs().map(|(name, value)| lines(name, value)).collect(),
        headers: entry.head.headers.iter().map(|(name, value)| lines(name, value.as_bytes())).collect(),
    };
    postcard::to_allocvec(&record).ok().map(Bytes::from)
}

/// The entry that was written, with its body. `None` for bytes that no program of this version wrote.
pub(super) fn read(bytes: &[u8], body: Body) -> Option<Entry> {
    let record: Record =
        postcard::from_bytes(bytes).ok().filter(|record: &Record| record.version == VERSION)?;
    let mut headers = HeaderMap::with_capacity(record.headers.len());
    for (name, value) in &record.headers {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    let pairs =
        record.selection.into_iter().map(|(name, value)| Some((HeaderName::try_from(name).ok()?, value)));
    let freshness = Freshness {
        created: time(record.created)?,
        fresh_until: time(record.fresh_until)?,
        stale_while_revalidate: record.stale_while_revalidate,
        stale_if_error: record.stale_if_error,
    };
    Some(Entry {
        head: Head { status: record.status, headers },
        freshness,
        stamp: Stamp(record.stamp),
        tags: record.tags,
        selection: Selection::from_pairs(pairs.collect::<Option<_>>()?),
        held_until: None,
        body: record.sliced.map_or(body, |length| Body::Sliced { length }),
    })
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::segments::Segments;

    fn entry() -> Entry {
        let mut headers = HeaderMap::new();
        headers.append("x-name", HeaderValue::from_bytes(b"caf\xe9").expect("opaque bytes may stand there"));
        headers.append("x-name", HeaderValue::from_static("second"));
        let request = [(HeaderName::from_static("accept-language"), HeaderValue::from_static("de"))];
        let vary = [(http::header::VARY, HeaderValue::from_static("accept-language"))];
        Entry {
            head: Head { status: 200, headers },
            freshness: Freshness {
                created: UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001),
                fresh_until: UNIX_EPOCH + Duration::from_secs(1_700_000_600),
                stale_while_revalidate: Duration::from_secs(5),
                stale_if_error: Duration::from_secs(6),
            },
            stamp: Stamp(7),
            tags: ["red".into(), "blue".into()].into(),
            selection: Selection::of(&vary.into_iter().collect(), &request.into_iter().collect()),
            held_until: None,
            body: Body::Memory(Segments::default()),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let entry = entry();
        let bytes = write(&entry).expect("written");
        let read = read(&bytes, Body::Memory(Segments::default())).expect("read");
        assert_eq!((&read.head, read.freshness, read.stamp), (&entry.head, entry.freshness, entry.stamp));
        assert_eq!((&read.tags, &read.selection), (&entry.tags, &entry.selection));
    }

    proptest! {
        #[test]
        fn other_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
            let _ = read(&bytes, Body::Memory(Segments::default()));
            let written = write(&entry()).expect("written");
            let _ = read(&written[..cut.min(written.len())], Body::Memory(Segments::default()));
        }
    }
}
