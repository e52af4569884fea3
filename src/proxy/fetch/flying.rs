//! A flight under way: from the question to the last byte in the cache.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use crate::cache::{Body, Entry, Freshness, Key, Landing, Pilot, Writer};
use crate::metadata::Stamp;
use crate::proxy::Edge;
use crate::proxy::answer::{Found, How, Source};
use crate::proxy::fetch::Slot;
use crate::proxy::slices;
use crate::proxy::slices::Progress;
use crate::proxy::upstream;
use crate::proxy::upstream::{Answer, Content, Question, Validators};

/// Those who wait for a flight.
pub(super) struct Waiting {
    /// All who have joined, and who will until this is dropped.
    pub(super) pilot: Pilot,
    /// The client whose miss began it.
    pub(super) first: Option<oneshot::Sender<Found>>,
}

impl Waiting {
    /// Hands everybody the answer, which is for all of them.
    fn share(&mut self, entry: Arc<Entry>, how: How, answer: Answer) {
        self.pilot.land(Landing::Shared(Arc::clone(&entry)));
        self.tell(Found::told(Source::Stored(entry), how, answer));
    }

    /// Returns when all who waited have left. What is fetched for nobody in particular is never abandoned.
    async fn abandoned(&mut self) {
        let Some(first) = &mut self.first else { return std::future::pending().await };
        first.closed().await;
        self.pilot.left().await;
    }

    /// Hands the first the answer, which is for nobody else.
    fn pass(&mut self, answer: Answer) {
        self.pilot.land(Landing::Private);
        let status = answer.head.status;
        self.tell(Found::passing(answer, How::Passed { status }));
    }

    fn tell(&mut self, found: Found) {
        if let Some(first) = self.first.take() {
            // The client may have left.
            let _ = first.send(found);
        }
    }
}

/// A flight under way.
pub(super) struct Flying {
    pub(super) edge: Arc<Edge>,
    pub(super) slot: Slot,
    pub(super) question: Question,
    /// What is stored and may not be used without a question.
    pub(super) stale: Option<Arc<Entry>>,
}

impl Flying {
    /// Flies to the end.
    pub(super) async fn fly(self, mut waiting: Waiting) {
        let asked = self.stale.as_deref().map(validators).unwrap_or_default();
        let began = Instant::now();
        let answer = tokio::select! {
            biased;
            answer = upstream::ask(&self.edge, &self.question, &asked) => answer,
            // A render that nobody waits for is not begun. A fetch costs us little, and the next one wants it.
            () = waiting.abandoned(), if self.question.is_for_a_picture() => return,
        };
        let now = SystemTime::now();
        let status = answer.head.status;
        if let Some(stale) = &self.stale {
            let standing_in = if status == 304 {
                let told = &answer.head.headers;
                let entry = self.edge.freshness.refresh(stale, told, waiting.pilot.stamp(), now);
                let entry = Arc::new(entry);
                self.renew(&entry);
                Some((entry, How::Revalidated))
            } else if status >= 500 && stale.freshness.stands_in_for_errors(now) {
                let held_until = hold(began.elapsed()).map(|hold| now + hold);
                let entry = Arc::new(Entry { held_until, ..Entry::clone(stale) });
                self.hold(&entry);
                Some((entry, How::StandIn { status }))
            } else {
                None
            };
            if let Some((entry, how)) = standing_in {
                return waiting.share(entry, how, answer);
            }
        }
        if self.is_replacement(&answer)
            && let Some(stamp) = self.edge.purger.replaced(self.question.key()).await
        {
            waiting.pilot.outlive(stamp);
        }
        if let Some(entry) = self.in_slices(&answer, waiting.pilot.stamp(), now) {
            return self.slice(waiting, entry, answer).await;
        }
        match self.admit(&answer, waiting.pilot.stamp(), now) {
            Some((entry, writer)) => self.fill(&mut waiting, entry, writer, answer).await,
            None => waiting.pass(answer),
        }
    }

    /// Whether the origin has another version than the one that is stored.
    fn is_replacement(&self, answer: &Answer) -> bool {
        let stored = self.stale.as_ref().and_then(|stale| stale.head.etag());
        answer.head.status == 200 && stored.is_some() && answer.head.etag() != stored
    }

    /// The entry of an answer that is kept in slices, if this is one.
    fn in_slices(&self, answer: &Answer, stamp: Stamp, now: SystemTime) -> Option<Arc<Entry>> {
        let headers = &answer.head.headers;
        let length = answer.head.length().filter(|_| answer.head.status == 200)?;
        let is_large = length > self.edge.max_object_bytes;
        if !is_large || !slices::can_be_sliced(&self.edge, &self.question, &self.slot.base, headers) {
            return None;
        }
        let freshness = self.edge.freshness.admit(&answer.head, now)?;
        Some(Arc::new(self.entry(answer, freshness, stamp, Body::Sliced { length })))
    }

    /// Lands, and cuts what arrives into slices for as long as the first client follows.
    async fn slice(self, mut waiting: Waiting, entry: Arc<Entry>, answer: Answer) {
        self.keep(&entry);
        let how = self.how_new(&answer);
        let (rest, content) = answer.split();
        let progress = Progress::default();
        let followed = progress.watch();
        waiting.pilot.land(Landing::Shared(Arc::clone(&entry)));
        let found = Found::told(Source::Stored(Arc::clone(&entry)), how, rest);
        waiting.tell(Found { progress: Some(progress), ..found });
        drop(waiting);
        let question = Arc::new(self.question);
        if let Some(object) = slices::Object::of(&self.edge, &question, self.slot.base, &entry) {
            slices::deliver(object, followed, content).await;
        }
    }

    /// Whether the answer may be kept, and the entry that it becomes.
    fn admit(&self, answer: &Answer, stamp: Stamp, now: SystemTime) -> Option<(Entry, Writer)> {
        let freshness = self.edge.freshness.admit(&answer.head, now)?;
        let length = answer.head.length().filter(|&length| length <= self.edge.max_object_bytes)?;
        let writer = self.edge.fills.begin(length)?;
        let entry = self.entry(answer, freshness, stamp, Body::Filling(writer.fill()));
        Some((entry, writer))
    }

    fn entry(&self, answer: &Answer, freshness: Freshness, stamp: Stamp, body: Body) -> Entry {
        Entry::new(answer.head.clone(), &self.question.headers, freshness, stamp, body)
    }

    /// How a new answer came, whether something was stored before or not.
    fn how_new(&self, answer: &Answer) -> How {
        let status = answer.head.status;
        match &self.stale {
            Some(_) => How::Replaced { status },
            None => How::Miss { status },
        }
    }

    /// Lands, fills to the end, and keeps what is whole.
    async fn fill(&self, waiting: &mut Waiting, entry: Entry, writer: Writer, answer: Answer) {
        let how = self.how_new(&answer);
        let (rest, mut content) = answer.split();
        if let Content::Whole(bytes) = content {
            // A picture is whole when its head is: those who wait need not be woken a second time.
            writer.push(bytes);
            let Some(body) = writer.complete() else { return };
            let entry = Arc::new(Entry { body: Body::Memory(body), ..entry });
            waiting.share(Arc::clone(&entry), how, rest);
            return self.keep(&entry);
        }
        waiting.share(Arc::new(entry.clone()), how, rest);
        while let Some(piece) = content.next().await {
            match piece {
                Ok(bytes) => writer.push(bytes),
                Err(error) => {
                    self.edge.metrics.cache.fill_failures.inc();
                    return writer.fail(error);
                }
            }
        }
        match writer.complete() {
            Some(body) => self.keep(&Arc::new(Entry { body: Body::Memory(body), ..entry })),
            None => self.edge.metrics.cache.fill_failures.inc(),
        }
    }

    /// Under its own key and, as the latest of those that vary, under the one that all of them share.
    fn keep(&self, entry: &Arc<Entry>) {
        // What is good for a moment only is not worth a write.
        let is_durable = entry.head.status == 200;
        self.each_key(entry, |key| self.edge.store.keep(key, entry, is_durable));
    }

    /// The same for one whose body is stored already.
    fn renew(&self, entry: &Arc<Entry>) {
        self.each_key(entry, |key| self.edge.store.renew(key, entry));
    }

    /// The same for one that stands in while the origin fails: that is forgotten with the process.
    fn hold(&self, entry: &Arc<Entry>) {
        self.each_key(entry, |key| self.edge.store.memory().insert(key, Arc::clone(entry)));
    }

    fn each_key(&self, entry: &Entry, mut keep: impl FnMut(Key)) {
        if entry.head.status >= 500 {
            return keep(self.slot.of_failure());
        }
        if let Some(key) = entry.selection.key(&self.slot.base) {
            keep(key);
        }
        keep(self.slot.base);
    }
}

/// An origin that took long to fail is left in peace for as long again; asking one that fails at once
/// costs nobody anything.
fn hold(took: Duration) -> Option<Duration> {
    const LONG: Duration = Duration::from_millis(200);
    (took >= LONG).then_some(took)
}

fn validators(stored: &Entry) -> Validators {
    Validators { etag: stored.head.etag().map(str::to_owned), last_modified: stored.head.last_modified() }
}
