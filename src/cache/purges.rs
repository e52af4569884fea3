//! Purges in a running server: recorded in the catalogue first, then known to every look-up.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::cache::generation::Generations;
use crate::metadata::{Catalog, Error, PurgeMode, PurgeScope, Stamp};
use crate::origin::ObjectKey;

/// Purges in this process.
#[derive(Clone)]
pub struct Purger {
    /// Where purges are recorded.
    pub catalog: Catalog,
    /// The purges that look-ups know.
    pub generations: Arc<ArcSwap<Generations>>,
}

impl Purger {
    /// Returns once the purge is on the disk and every look-up knows it. Should only the latter fail,
    /// another try does no harm.
    ///
    /// # Errors
    /// A scope that could cover nothing, and what the catalogue has to say.
    pub async fn purge(&self, scopes: &[PurgeScope], mode: PurgeMode) -> Result<Stamp, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let stamp = self.catalog.purge(scopes, mode, now).await?;
        follow_purges(&self.catalog, &self.generations).await?;
        tracing::info!(purged = scopes.len(), %mode, generation = stamp.0, "purged");
        Ok(stamp)
    }

    /// What a replaced original asks for: all that was made of the old one is stale, whichever of its
    /// variants was the first to notice. `None` if that cannot be recorded: then they expire in their own time.
    pub async fn replaced(&self, key: &ObjectKey) -> Option<Stamp> {
        let purged = self.purge(&[PurgeScope::Key(key.as_str().to_owned())], PurgeMode::Stale).await;
        purged.inspect_err(|error| tracing::warn!(%error, "variants of a replaced original stay")).ok()
    }
}

/// Learns the purges that the catalogue has and `generations` have not, whoever recorded them. Once it
/// has returned, every look-up that begins knows all purges that were recorded before it was called.
///
/// Several may do so at the same time: none loses what another has learnt.
///
/// # Errors
/// That of the catalogue; nothing is forgotten then.
pub async fn follow_purges(catalog: &Catalog, generations: &ArcSwap<Generations>) -> Result<(), Error> {
    let known = generations.load().newest();
    let purges = catalog.purges_since(known).await?;
    if purges.is_empty() {
        return Ok(());
    }
    // All of them in one step, so that `newest` never claims a purge that a look-up does not know.
    generations.rcu(|known| {
        let mut raised = Generations::clone(known);
        raised.raise(&purges);
        raised
    });
    tracing::debug!(count = purges.len(), "purges read");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::generation::{Subject, Verdict};
    use crate::metadata::Config;
    use crate::setting::Secret;

    #[tokio::test]
    async fn purges_that_come_at_the_same_time_all_count() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = Config { url: Secret::new("sqlite:kinora.sqlite") };
        let catalog = Catalog::open(&config, directory.path()).await.expect("open");
        let generations = ArcSwap::from_pointee(Generations::default());
        follow_purges(&catalog, &generations).await.expect("read");
        let before = generations.load().newest();
        let purge = async |number: u8| {
            let scope = PurgeScope::Key(number.to_string());
            let stamp = catalog.purge(&[scope], PurgeMode::Gone, 0).await.expect("purged");
            follow_purges(&catalog, &generations).await.expect("read");
            let known = generations.load_full();
            assert!(known.newest() >= stamp, "before it is acknowledged");
            for older in 0..=number {
                let key = older.to_string();
                let verdict = known.verdict(&Subject { key: &key, asset: None, tags: &[] }, before);
                assert_eq!(verdict, Verdict::Gone, "{older} was purged before {number}");
            }
        };
        for number in 0..20 {
            tokio::join!(purge(2 * number), async {
                follow_purges(&catalog, &generations).await.expect("read");
            });
            purge(2 * number + 1).await;
        }
    }
}
