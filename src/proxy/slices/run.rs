//! Adjacent slices in one request to the origin, split as they arrive.
//!
//! A run keeps a few slices ahead of the client that it began for, however fast the origin is. When that
//! client is gone, it ends with the slice in flight, unless somebody else waits for the next one.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::watch;

use crate::cache::{Body, Entry, Freshness, Head, Joined, Landing, Pilot, Selection, Writer};
use crate::origin;
use crate::origin::ByteRange;
use crate::proxy::slices::Object;
use crate::proxy::upstream;
use crate::proxy::upstream::Content;

/// The most slices that one request asks for.
const LONGEST: u64 = 8;

/// Slices that are fetched beyond the one that the client reads.
const AHEAD: u64 = 2;

/// How far a client has come; its run sees it, and sees when the client is gone.
pub(in crate::proxy) struct Progress(watch::Sender<Option<u64>>);

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Progress {
    /// The client reads this slice now.
    pub(super) fn reach(&self, index: u64) {
        self.0.send_replace(Some(index));
    }

    pub(in crate::proxy) fn watch(&self) -> watch::Receiver<Option<u64>> {
        self.0.subscribe()
    }
}

/// The last slice of a run that begins with `from`: the next one is stored, on its way, or not wanted.
pub(super) fn end(object: &Object, from: u64, last: u64) -> u64 {
    let most = last.min(from + LONGEST - 1);
    (from..most).find(|&index| object.has(index + 1)).unwrap_or(most)
}

/// Fetches the slices of `indices`; `pilot` flies the first of them.
pub(super) async fn fetch(
    object: Object,
    indices: RangeInclusive<u64>,
    pilot: Pilot,
    progress: watch::Receiver<Option<u64>>,
) {
    let (first, _) = object.span(*indices.start());
    let (_, behind) = object.span(*indices.end());
    let range = ByteRange::Between(first, behind - 1);
    match upstream::part(&object.edge, &object.question, range, &object.etag, object.length).await {
        Ok(content) => run(&object, indices, Some(pilot), progress, content).await,
        Err(broken) => pilot.land(Landing::Broken(broken)),
    }
}

/// Cuts the answer to a request for the whole object, for as long as a client follows it.
pub(in crate::proxy) async fn deliver(
    object: Object,
    progress: watch::Receiver<Option<u64>>,
    content: Content,
) {
    let last = object.last();
    run(&object, 0..=last, None, progress, content).await;
}

async fn run(
    object: &Object,
    indices: RangeInclusive<u64>,
    mut pilot: Option<Pilot>,
    mut progress: watch::Receiver<Option<u64>>,
    content: Content,
) {
    let mut incoming = Incoming { content, left: Bytes::new() };
    let metrics = &object.edge.metrics.cache;
    for index in indices {
        let pilot = match pilot.take() {
            Some(pilot) => pilot,
            None if object.edge.store.contains(&object.key(index)) => return,
            None => match object.join(index) {
                Joined::First(pilot) => pilot,
                // Somebody else brings it, and what follows.
                Joined::Other(_) => return,
            },
        };
        if !is_wanted(index, &pilot, &mut progress).await {
            return;
        }
        if !slice(object, index, &pilot, &mut incoming).await {
            return metrics.fill_failures.inc();
        }
        metrics.slices_fetched.inc();
    }
}

/// Waits until the client is near enough to this slice. `false` if nobody wants it.
async fn is_wanted(index: u64, pilot: &Pilot, progress: &mut watch::Receiver<Option<u64>>) -> bool {
    loop {
        if pilot.is_awaited() {
            return true;
        }
        match *progress.borrow_and_update() {
            Some(reached) if reached > index => return false,
            Some(reached) if index <= reached + AHEAD => return true,
            Some(_) | None => {}
        }
        tokio::select! {
            () = pilot.joined() => {}
            changed = progress.changed() => if changed.is_err() {
                return pilot.is_awaited();
            },
        }
    }
}

/// Fills one slice and keeps it; whether it is whole.
async fn slice(object: &Object, index: u64, pilot: &Pilot, incoming: &mut Incoming) -> bool {
    let (first, behind) = object.span(index);
    let writer = Writer::begin(behind - first);
    let entry = Entry {
        head: Head { status: 206, headers: HeaderMap::new() },
        // Its key holds the entity tag: it is right for as long as that is.
        freshness: Freshness::none(SystemTime::now()),
        stamp: pilot.stamp(),
        tags: object.tags.clone(),
        selection: Selection::default(),
        held_until: None,
        body: Body::Filling(writer.fill()),
    };
    pilot.land(Landing::Shared(Arc::new(entry.clone())));
    let mut missing = behind - first;
    while missing > 0 {
        let piece = match incoming.next(missing).await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                writer.fail(error);
                return false;
            }
            None => return false,
        };
        missing -= piece.len() as u64;
        writer.push(piece);
    }
    let Some(body) = writer.complete() else { return false };
    let slice = Arc::new(Entry { body: Body::Memory(body), ..entry });
    object.edge.store.keep(object.key(index), &slice, true);
    true
}

/// The origin's bytes, cut where slices end.
struct Incoming {
    content: Content,
    left: Bytes,
}

impl Incoming {
    /// The next bytes, at most so many. `None` if there are no more.
    async fn next(&mut self, most: u64) -> Option<Result<Bytes, origin::Error>> {
        if self.left.is_empty() {
            match self.content.next().await? {
                Ok(piece) => self.left = piece,
                Err(error) => return Some(Err(error)),
            }
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.left.len());
        Some(Ok(self.left.split_to(most)))
    }
}
