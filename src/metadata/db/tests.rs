//! What holds for either database before anything is known of its tables.

use crate::metadata::db::on;
use crate::metadata::on_both::{Place, execute, on_both_databases};
use crate::metadata::{Error, KeyKind, NewKey, PurgeMode, PurgeScope};

on_both_databases!(
    many_may_open_a_new_catalogue_at_once,
    a_newer_schema_is_refused,
    a_change_by_another_is_noticed,
    what_is_not_committed_has_not_happened,
);

async fn many_may_open_a_new_catalogue_at_once(place: Place) {
    let opened = futures::future::join_all((0..6).map(|_| place.open())).await;
    let purges = opened[5].purges().await.expect("listed");
    assert_eq!(purges.len(), 1, "made once");
}

async fn a_newer_schema_is_refused(place: Place) {
    let catalog = place.open().await;
    execute(
        &catalog,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    catalog.close().await;
    let refused = place.try_open().await;
    assert!(matches!(refused, Err(Error::NewerSchema { found: 9999, .. })), "{refused:?}");
}

async fn a_change_by_another_is_noticed(place: Place) {
    let [running, other] = [place.open().await, place.open().await];
    let mut seen = running.change().await.expect("told");
    let key = other.create_key(&NewKey::of(KeyKind::Signing), 1).await.expect("made");
    let mut noticed = async |what: &str| {
        let now = running.change().await.expect("told");
        assert_ne!(now, seen, "{what}");
        seen = now;
    };
    noticed("made elsewhere").await;
    other.revoke_key(&key.id, 2).await.expect("revoked");
    noticed("revoked elsewhere").await;
    other.purge(&[PurgeScope::Everything], PurgeMode::Gone, 3).await.expect("purged");
    noticed("a transaction elsewhere").await;
    running.create_key(&NewKey::of(KeyKind::Api), 4).await.expect("made");
    noticed("by ourselves").await;
}

async fn what_is_not_committed_has_not_happened(place: Place) {
    let catalog = place.open().await;
    let delete = "DELETE FROM purges";
    let mut tx = catalog.db.begin().await.expect("begun");
    on!(tx.connection(), connection => sqlx::query(delete).execute(connection).await.map(drop))
        .expect("deleted");
    assert_eq!(catalog.purges().await.expect("listed").len(), 1, "nobody else sees it");
    drop(tx);
    let mut tx = catalog.db.begin().await.expect("begun");
    let count = "SELECT count(*) FROM purges";
    let count: i64 =
        on!(tx.connection(), connection => sqlx::query_scalar(count).fetch_one(connection).await)
            .expect("counted");
    assert_eq!(count, 1, "nor does whoever writes next");
}
