//! Purges in SQL.

use crate::metadata::db::{Tx, on};
use crate::metadata::{Catalog, Error, MAX_PURGES, Purge, PurgeMode, PurgeScope, Stamp};

impl Catalog {
    /// Records a purge of all these at `now` (Unix seconds): all of them or, if it fails, none. It is
    /// on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidPurge`], also if there is nothing to purge, or that of the database.
    pub async fn purge(&self, scopes: &[PurgeScope], mode: PurgeMode, now: u64) -> Result<Stamp, Error> {
        let scopes = self.objects_purged(scopes).await?;
        self.purge_within(MAX_PURGES, &scopes, mode, now).await
    }

    async fn purge_within(
        &self,
        limit: usize,
        scopes: &[PurgeScope],
        mode: PurgeMode,
        now: u64,
    ) -> Result<Stamp, Error> {
        if scopes.is_empty() {
            return Err(Error::InvalidPurge { text: String::new(), rule: "names nothing to purge" });
        }
        scopes.iter().try_for_each(PurgeScope::check)?;
        let mut tx = self.db.begin().await?;
        // Whoever has the row has it until the commit: other purges wait here.
        let next = "UPDATE purge_sequence
                    SET newest = CASE WHEN newest < $1 * 1000000 THEN $1 * 1000000 ELSE newest + 1 END
                    RETURNING newest";
        let now = now.cast_signed();
        let stamp: i64 = on!(tx.connection(), connection => sqlx::query_scalar(next)
            .bind(now)
            .fetch_one(connection)
            .await)?;
        for scope in scopes {
            record(&mut tx, scope, mode, stamp, now).await?;
        }
        let folded = fold_beyond(&mut tx, limit).await?;
        tx.commit().await?;
        if folded {
            tracing::warn!(limit, "too many purges to remember: folded into a purge of everything");
        }
        Ok(Stamp(stamp.cast_unsigned()))
    }

    /// Every purge that is remembered, oldest first.
    ///
    /// # Errors
    /// That of the database.
    pub async fn purges(&self) -> Result<Vec<Purge>, Error> {
        self.purges_since(Stamp::default()).await
    }

    /// The purges after this one, oldest first. Whoever knew all before knows all then.
    ///
    /// # Errors
    /// That of the database.
    pub async fn purges_since(&self, stamp: Stamp) -> Result<Vec<Purge>, Error> {
        let query = "SELECT * FROM purges WHERE stamp > $1 ORDER BY stamp";
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(stamp.0.cast_signed())
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(Row::purge).collect()
    }
}

async fn record(tx: &mut Tx, scope: &PurgeScope, mode: PurgeMode, stamp: i64, now: i64) -> Result<(), Error> {
    if *scope == PurgeScope::Everything {
        // It covers all that was purged before, unless that was to be gone and this is to be stale.
        let covered = "DELETE FROM purges WHERE stamp < $1 AND $2 IN ('gone', mode)";
        on!(tx.connection(), connection => sqlx::query(covered)
            .bind(stamp)
            .bind(mode.as_str())
            .execute(connection)
            .await
            .map(drop))?;
    }
    let insert = "INSERT INTO purges (scope, text, mode, stamp, purged_at) VALUES ($1, $2, $3, $4, $5)
                  ON CONFLICT (scope, text, mode)
                  DO UPDATE SET stamp = excluded.stamp, purged_at = excluded.purged_at";
    on!(tx.connection(), connection => sqlx::query(insert)
        .bind(scope.kind())
        .bind(scope.text())
        .bind(mode.as_str())
        .bind(stamp)
        .bind(now)
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}

/// Replaces all purges by one of everything for each mode when they have become too many.
async fn fold_beyond(tx: &mut Tx, limit: usize) -> Result<bool, Error> {
    let count = "SELECT count(*) FROM purges";
    let count: i64 =
        on!(tx.connection(), connection => sqlx::query_scalar(count).fetch_one(connection).await)?;
    if usize::try_from(count).is_ok_and(|count| count <= limit) {
        return Ok(false);
    }
    let fold = "INSERT INTO purges (scope, text, mode, stamp, purged_at)
                SELECT 'everything', '', mode, max(stamp), max(purged_at) FROM purges WHERE true GROUP BY mode
                ON CONFLICT (scope, text, mode)
                DO UPDATE SET stamp = excluded.stamp, purged_at = excluded.purged_at";
    for statement in [fold, "DELETE FROM purges WHERE scope <> 'everything'"] {
        on!(tx.connection(), connection => sqlx::query(statement).execute(connection).await.map(drop))?;
    }
    Ok(true)
}

#[derive(sqlx::FromRow)]
struct Row {
    scope: String,
    text: String,
    mode: String,
    stamp: i64,
    purged_at: i64,
}

impl Row {
    fn purge(self) -> Result<Purge, Error> {
        Ok(Purge {
            scope: PurgeScope::recorded(&self.scope, self.text)?,
            mode: self.mode.parse()?,
            stamp: Stamp(self.stamp.cast_unsigned()),
            purged_at: self.purged_at.cast_unsigned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::on_both::{Place, execute, on_both_databases};
    use PurgeMode::{Gone, Stale};

    on_both_databases!(
        stamps_rise_whoever_purges_and_whatever_the_clock_says,
        many_purgers_at_once_get_stamps_of_their_own_in_the_order_of_their_commits,
        a_request_is_recorded_as_a_whole_or_not_at_all,
        a_purge_of_everything_replaces_what_it_covers,
        too_many_are_folded_into_one_of_everything_for_each_mode,
    );

    fn key(text: &str) -> PurgeScope {
        PurgeScope::Key(text.to_owned())
    }

    /// Scope, text and mode of all after the birth of the catalogue.
    async fn listed(catalog: &Catalog, birth: Stamp) -> Vec<(PurgeScope, PurgeMode)> {
        let purges = catalog.purges_since(birth).await.expect("listed");
        purges.into_iter().map(|purge| (purge.scope, purge.mode)).collect()
    }

    async fn birth(catalog: &Catalog) -> Stamp {
        let purges = catalog.purges().await.expect("listed");
        assert_eq!(purges.len(), 1, "nobody has purged yet");
        assert_eq!((&purges[0].scope, purges[0].mode), (&PurgeScope::Everything, Gone));
        purges[0].stamp
    }

    async fn stamps_rise_whoever_purges_and_whatever_the_clock_says(place: Place) {
        let both = [place.open().await, place.open().await];
        let mut last = birth(&both[0]).await;
        assert!(last > Stamp(1_500_000_000_000_000), "a catalogue made anew goes on above a lost one");
        for (turn, now) in [5_000_000_000, 1, 0, 5_000_000_001].into_iter().enumerate() {
            let stamp = both[turn % 2].purge(&[key("a")], Gone, now).await.expect("purged");
            assert!(stamp > last, "{stamp:?} after {last:?}");
            last = stamp;
        }
        let seen = both[1].purges_since(Stamp(last.0 - 1)).await.expect("listed");
        let expected = Purge { scope: key("a"), mode: Gone, stamp: last, purged_at: 5_000_000_001 };
        assert_eq!(seen, [expected], "by the other one too");
        let [first, second] = both;
        first.close().await;
        second.close().await;
        let again = place.open().await;
        execute(&again, "DELETE FROM purges").await;
        let stamp = again.purge(&[key("a")], Gone, 1).await.expect("purged");
        assert_eq!(stamp, Stamp(last.0 + 1), "though no row is left");
    }

    async fn many_purgers_at_once_get_stamps_of_their_own_in_the_order_of_their_commits(place: Place) {
        let [one, two] = [place.open().await, place.open().await];
        let by = async |catalog: &Catalog, name: &str| {
            let mut stamps = Vec::new();
            for turn in 0..20 {
                let scopes = [key(&format!("{name}{turn}")), key("both")];
                stamps.push(catalog.purge(&scopes, Gone, 0).await.expect("purged"));
                let newest = catalog.purges().await.expect("listed").pop().expect("one");
                assert!(newest.stamp >= stamps[turn], "committed before it is acknowledged");
            }
            stamps
        };
        let (first, second) = tokio::join!(by(&one, "a"), by(&two, "b"));
        let mut all = [first, second].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 40);
    }

    async fn a_request_is_recorded_as_a_whole_or_not_at_all(place: Place) {
        let catalog = place.open().await;
        let scopes = [key("a"), PurgeScope::Tag("t".to_owned()), key("refused")];
        for bad in [&[][..], &[key("a"), key("/b")]] {
            let refused = catalog.purge(bad, Gone, 1).await;
            assert!(matches!(refused, Err(Error::InvalidPurge { .. })), "{refused:?}");
        }
        birth(&catalog).await;
        // Nothing else can be purged where something of this name was.
        catalog.purge(&[PurgeScope::Tag("refused".to_owned())], Gone, 1).await.expect("purged");
        execute(&catalog, "CREATE UNIQUE INDEX stop ON purges (text)").await;
        let birth = catalog.purges().await.expect("listed")[1].stamp;
        let failed = catalog.purge(&scopes, Gone, 1).await;
        assert!(matches!(failed, Err(Error::Database(_))), "{failed:?}");
        assert!(listed(&catalog, birth).await.is_empty(), "not even the first of them");
        execute(&catalog, "DROP INDEX stop").await;
        execute(&catalog, "DELETE FROM purges WHERE scope <> 'everything'").await;

        // A future that is dropped in the middle is a client that leaves, or a process that dies.
        for polls in 1.. {
            let mut purge = Box::pin(catalog.purge(&scopes, Gone, 1));
            let mut polled = 0;
            let outcome = std::future::poll_fn(|context| {
                polled += 1;
                match purge.as_mut().poll(context) {
                    _ if polled > polls => std::task::Poll::Ready(None),
                    outcome => outcome.map(Some),
                }
            });
            let outcome = outcome.await;
            drop(purge);
            let seen = listed(&catalog, birth).await.len();
            assert!([0, scopes.len()].contains(&seen), "{seen} after {polls} polls");
            if let Some(stamp) = outcome {
                assert_eq!(stamp.expect("purged"), catalog.purges().await.expect("listed")[1].stamp);
                assert_eq!(seen, scopes.len());
                break;
            }
            execute(&catalog, "DELETE FROM purges WHERE scope <> 'everything'").await;
        }
    }

    async fn a_purge_of_everything_replaces_what_it_covers(place: Place) {
        let catalog = place.open().await;
        let birth = birth(&catalog).await;
        let everything = [PurgeScope::Everything];
        for mode in [Gone, Stale] {
            catalog.purge(&[key("a")], mode, 1).await.expect("purged");
        }
        catalog.purge(&everything, Stale, 1).await.expect("purged");
        assert_eq!(listed(&catalog, birth).await, [(key("a"), Gone), (PurgeScope::Everything, Stale)]);
        catalog.purge(&[PurgeScope::Everything, key("b")], Gone, 1).await.expect("purged");
        let left = listed(&catalog, birth).await;
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.contains(&(PurgeScope::Everything, Gone)) && left.contains(&(key("b"), Gone)));
    }

    async fn too_many_are_folded_into_one_of_everything_for_each_mode(place: Place) {
        let catalog = place.open().await;
        let birth = birth(&catalog).await;
        let purge =
            async |text: &str, mode| catalog.purge_within(4, &[key(text)], mode, 1).await.expect("purged");
        let gone = purge("a", Gone).await;
        purge("b", Stale).await;
        purge("b", Stale).await;
        purge("c", Stale).await;
        assert_eq!(listed(&catalog, birth).await.len(), 3, "not too many yet");
        let stale = purge("d", Stale).await;
        let left = catalog.purges_since(birth).await.expect("listed");
        let left: Vec<_> = left.into_iter().map(|purge| (purge.scope, purge.mode, purge.stamp)).collect();
        let everything = || PurgeScope::Everything;
        let expected = [(everything(), Gone, gone), (everything(), Stale, stale)];
        assert_eq!(left, expected, "each as old as the newest that it covers");
        assert!(purge("e", Gone).await > stale);
    }
}
