//! One client's way through the slices of an object.

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::{Broken, Entry, Flight, Joined, Landing, ReadError};
use crate::proxy::slices::Object;
use crate::proxy::slices::run;
use crate::proxy::slices::run::Progress;

/// A slice that was lost without a word is asked for anew so often.
const TRIES: usize = 3;

/// Reads an object from the slices that are stored, and has the others fetched.
pub(in crate::proxy) struct Reader {
    object: Object,
    current: Option<(u64, Arc<Entry>)>,
    progress: Progress,
    /// The last slice that a run of ours was to bring.
    covered: Option<u64>,
    has_fetched: bool,
}

impl Reader {
    /// A reader; `progress` is known to the run that has begun for it already.
    pub(in crate::proxy) fn new(object: Object, progress: Option<Progress>) -> Self {
        let covered = progress.as_ref().map(|_| object.last());
        let progress = progress.unwrap_or_default();
        Self { object, current: None, progress, covered, has_fetched: false }
    }

    /// Whether the origin had to be asked for what was read so far.
    pub(in crate::proxy) fn has_fetched(&self) -> bool {
        self.has_fetched
    }

    /// The next bytes from `position` on, not beyond `end`. `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Changed`] when the origin has another version now, others if bytes will not come.
    pub(in crate::proxy) async fn read(
        &mut self,
        position: u64,
        end: u64,
    ) -> Result<Option<Bytes>, ReadError> {
        let end = end.min(self.object.length);
        if position >= end {
            return Ok(None);
        }
        let size = self.object.edge.slices.bytes;
        let index = position / size;
        let slice = self.slice(index, (end - 1) / size).await?;
        let (first, behind) = self.object.span(index);
        slice.body.read(position - first, end.min(behind) - first).await
    }

    /// The slice of this index; `last` is the last one that is wanted.
    async fn slice(&mut self, index: u64, last: u64) -> Result<Arc<Entry>, ReadError> {
        if let Some((_, entry)) = self.current.as_ref().filter(|(current, _)| *current == index) {
            return Ok(Arc::clone(entry));
        }
        self.progress.reach(index);
        let entry = self.bring(index, last).await?;
        self.current = Some((index, Arc::clone(&entry)));
        if index < last && self.covered.is_none_or(|covered| covered <= index) && !self.object.has(index + 1)
        {
            self.begin(index + 1, last);
        }
        Ok(entry)
    }

    async fn bring(&mut self, index: u64, last: u64) -> Result<Arc<Entry>, ReadError> {
        for _ in 0..TRIES {
            if let Some(entry) = self.object.stored(index).await {
                return Ok(entry);
            }
            self.has_fetched = true;
            let Some(flight) = self.begin(index, last) else { continue };
            match flight.landing().await {
                Landing::Shared(entry) => return Ok(entry),
                Landing::Broken(broken) => return Err(self.give_up(broken)),
                Landing::Private | Landing::Lost => {}
            }
        }
        Err(ReadError::FillFailed)
    }

    /// What is known of the object is forgotten where it was wrong, so that the next request learns anew.
    fn give_up(&self, broken: Broken) -> ReadError {
        let Object { edge, base, .. } = &self.object;
        match broken {
            Broken::Changed => {
                edge.store.remove(base);
                ReadError::Changed
            }
            Broken::NoParts => {
                edge.whole_only.insert(*base, ());
                edge.store.remove(base);
                ReadError::Changed
            }
            Broken::Failed(error) => ReadError::Origin(error),
        }
    }

    /// Joins the flight of a slice, or begins a run with it.
    fn begin(&mut self, index: u64, last: u64) -> Option<Arc<Flight>> {
        match self.object.join(index) {
            Joined::Other(flight) => Some(flight),
            Joined::First(pilot) => {
                let flight = pilot.flight();
                let to = run::end(&self.object, index, last);
                self.covered = Some(to);
                tokio::spawn(run::fetch(self.object.clone(), index..=to, pilot, self.progress.watch()));
                Some(flight)
            }
        }
    }
}
