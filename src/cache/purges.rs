//! Brings the generations of a running server up to the catalogue.

use arc_swap::ArcSwap;

use crate::cache::generation::Generations;
use crate::metadata::{Catalog, Error};

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
    use crate::metadata::{Config, PurgeMode, PurgeScope};

    #[tokio::test]
    async fn purges_that_come_at_the_same_time_all_count() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = Config { url: "sqlite:kinora.sqlite".to_owned() };
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
