//! The queue of deliveries: taken under a lease by whichever process comes first, and given back with
//! what came of the attempt. Both happen in one transaction, so a turn costs one sync of the disk.

use std::sync::Arc;

use crate::metadata::db::{Either, Tx, on};
use crate::metadata::hook;
use crate::metadata::{Catalog, Disabled, Error, Hook};

/// A delivery that this process may attempt until its lease ends.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Its id.
    pub id: u64,
    /// Proves the lease when the attempt is settled.
    pub fence: u64,
    /// Attempts since it was recorded or last replayed, this one included.
    pub attempts: u64,
    /// The event.
    pub event: String,
    /// What is posted.
    pub body: Vec<u8>,
    /// Where to, as the hook was when the lease began.
    pub hook: Arc<Hook>,
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The delivery.
    pub id: u64,
    /// That of its lease.
    pub fence: u64,
    /// The hook.
    pub hook: String,
    /// When it ended, Unix seconds.
    pub at: u64,
    /// How long it took.
    pub milliseconds: u64,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<&'static str>,
    /// What is not for strangers.
    pub detail: Option<String>,
    /// The beginning of the answer's body.
    pub response: Vec<u8>,
    /// What becomes of the delivery.
    pub next: Next,
    /// What becomes of the hook.
    pub effect: HookEffect,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The receiver has it.
    Done,
    /// It is attempted again.
    Retry {
        /// Unix seconds.
        due_at: u64,
    },
    /// It is not attempted again by itself.
    Dead,
}

impl Next {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry { .. } => "retry",
            Self::Dead => "dead",
        }
    }
}

/// What becomes of a hook after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEffect {
    /// It works.
    Works,
    /// It does not.
    Fails,
    /// It does not, and wants to be left alone.
    Pauses {
        /// Unix seconds.
        until: u64,
    },
    /// Its receiver has said that it is gone: disabled.
    Gone,
    /// It has not worked for too long: disabled.
    Lost,
}

/// How much may be taken.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Attempts to one hook at the same time, over all processes.
    pub per_hook: u32,
    /// How long an attempt can take at most, in seconds, with time to spare.
    pub seconds: u64,
}

/// The text as it is, and with the locks for PostgreSQL, where processes pass by what another holds.
macro_rules! passing_by {
    ($text:literal, $locks:literal) => {
        [$text, concat!($text, " ", $locks, " SKIP LOCKED")]
    };
}

/// Hooks that have something to send now.
const READY: [&str; 2] = passing_by!(
    "SELECT h.* FROM hooks h WHERE h.enabled AND h.paused_until <= $1 AND EXISTS
         (SELECT 1 FROM deliveries d WHERE d.hook_id = h.id AND d.state = 'pending' AND d.due_at <= $1)
     ORDER BY h.id",
    "FOR NO KEY UPDATE OF h"
);

/// Leases whose holder has died or hangs.
const OVERDUE: [&str; 2] =
    passing_by!("SELECT id FROM deliveries WHERE state = 'leased' AND lease_until <= $1", "FOR UPDATE");

impl Catalog {
    /// Whether a turn would find anything to take at `now` (Unix seconds).
    ///
    /// # Errors
    /// That of the database.
    pub async fn has_due_deliveries(&self, lease: Lease, now: u64) -> Result<bool, Error> {
        let query = "SELECT EXISTS (SELECT 1 FROM hooks h WHERE h.enabled AND h.paused_until <= $1
                AND (SELECT count(*) FROM deliveries d WHERE d.hook_id = h.id AND d.state = 'leased') < $2
                AND EXISTS (SELECT 1 FROM deliveries d
                            WHERE d.hook_id = h.id AND d.state = 'pending' AND d.due_at <= $1))
            OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'leased' AND lease_until <= $1)";
        Ok(on!(self.db.reader(), pool => sqlx::query_scalar(query)
            .bind(now.cast_signed())
            .bind(i64::from(lease.per_hook))
            .fetch_one(pool)
            .await)?)
    }

    /// Records what came of attempts, and takes what is due at `now` (Unix seconds), oldest first.
    ///
    /// Nothing that one hook does holds another up: each has its own places.
    ///
    /// # Errors
    /// That of the database; nothing is recorded or taken then.
    pub async fn turn_deliveries(
        &self,
        settled: &[Settled],
        lease: Lease,
        now: u64,
    ) -> Result<Vec<Leased>, Error> {
        let mut tx = self.db.begin().await?;
        for attempt in settled {
            settle(&mut tx, attempt).await?;
        }
        // In one order everywhere, so that two processes never wait for each other.
        let mut by_hook: Vec<&Settled> = settled.iter().collect();
        by_hook.sort_by_key(|attempt| &attempt.hook);
        for attempt in by_hook {
            affect(&mut tx, attempt).await?;
        }
        give_up_overdue(&mut tx, now).await?;
        let mut leased = Vec::new();
        for hook in ready(&mut tx, now).await? {
            leased.extend(take(&mut tx, hook, lease, now).await?);
        }
        tx.commit().await?;
        Ok(leased)
    }
}

async fn settle(tx: &mut Tx, attempt: &Settled) -> Result<(), Error> {
    let (id, fence) = (attempt.id.cast_signed(), attempt.fence.cast_signed());
    let (state, due_at) = match attempt.next {
        Next::Done => ("done", None),
        Next::Retry { due_at } => ("pending", Some(due_at.cast_signed())),
        Next::Dead => ("dead", None),
    };
    let status = attempt.status.map(i64::from);
    // Whoever has lost the lease only tells what it saw.
    let update = "UPDATE deliveries SET state = $3, due_at = coalesce($4, due_at), lease_until = NULL,
                  last_status = $5, last_error = $6 WHERE id = $1 AND fence = $2 AND state = 'leased'";
    on!(tx.connection(), connection => sqlx::query(update)
        .bind(id)
        .bind(fence)
        .bind(state)
        .bind(due_at)
        .bind(status)
        .bind(attempt.error)
        .execute(connection)
        .await
        .map(drop))?;
    // The hook may have been deleted meanwhile, and its deliveries with it.
    let log = "INSERT INTO delivery_attempts (delivery_id, fence, attempted_at, ms, status, error, detail, response)
               SELECT id, $2, $3, $4, $5, $6, $7, $8 FROM deliveries WHERE id = $1
               ON CONFLICT (delivery_id, fence) DO NOTHING";
    on!(tx.connection(), connection => sqlx::query(log)
        .bind(id)
        .bind(fence)
        .bind(attempt.at.cast_signed())
        .bind(attempt.milliseconds.cast_signed())
        .bind(status)
        .bind(attempt.error)
        .bind(attempt.detail.as_deref())
        .bind(attempt.response.as_slice())
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}

async fn affect(tx: &mut Tx, attempt: &Settled) -> Result<(), Error> {
    let (until, disabled) = match attempt.effect {
        HookEffect::Works | HookEffect::Fails => (0, None),
        HookEffect::Pauses { until } => (until, None),
        HookEffect::Gone => (0, Some(Disabled::Gone)),
        HookEffect::Lost => (0, Some(Disabled::Failing)),
    };
    // One that works is mostly not known otherwise; one is not lost if something has worked meanwhile.
    let update = "UPDATE hooks SET
            failing_since = CASE WHEN $3 THEN NULL ELSE coalesce(failing_since, $2) END,
            paused_until = CASE WHEN paused_until < $4 THEN $4 ELSE paused_until END,
            enabled = enabled AND $5 IS NULL,
            disabled_because = coalesce($5, disabled_because)
        WHERE id = $1 AND (failing_since IS NOT NULL OR NOT $3 AND ($5 IS NULL OR $5 <> 'failing'))";
    on!(tx.connection(), connection => sqlx::query(update)
        .bind(&attempt.hook)
        .bind(attempt.at.cast_signed())
        .bind(attempt.effect == HookEffect::Works)
        .bind(until.cast_signed())
        .bind(disabled.map(Disabled::as_str))
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}

async fn give_up_overdue(tx: &mut Tx, now: u64) -> Result<(), Error> {
    let query = spelt(tx, OVERDUE);
    let overdue: Vec<i64> = on!(tx.connection(), connection => sqlx::query_scalar(query)
        .bind(now.cast_signed())
        .fetch_all(connection)
        .await)?;
    for id in overdue {
        let update = "UPDATE deliveries SET state = 'pending', lease_until = NULL WHERE id = $1";
        on!(tx.connection(), connection => sqlx::query(update).bind(id).execute(connection).await.map(drop))?;
    }
    Ok(())
}

async fn ready(tx: &mut Tx, now: u64) -> Result<Vec<Hook>, Error> {
    let query = spelt(tx, READY);
    let rows: Vec<hook::Row> = on!(tx.connection(), connection => sqlx::query_as(query)
        .bind(now.cast_signed())
        .fetch_all(connection)
        .await)?;
    rows.into_iter().map(hook::Row::hook).collect()
}

async fn take(tx: &mut Tx, hook: Hook, lease: Lease, now: u64) -> Result<Vec<Leased>, Error> {
    // Whoever holds the hook's row is alone with its deliveries, and counts them now.
    let update =
        "UPDATE deliveries SET state = 'leased', attempts = attempts + 1, fence = fence + 1, lease_until = $3
        WHERE id IN (SELECT id FROM deliveries WHERE hook_id = $1 AND state = 'pending' AND due_at <= $2
            ORDER BY due_at, id LIMIT (SELECT CASE WHEN count(*) < $4 THEN $4 - count(*) ELSE 0 END
                                       FROM deliveries WHERE hook_id = $1 AND state = 'leased'))
        RETURNING id, fence, attempts,
            (SELECT e.id FROM events e WHERE e.seq = deliveries.event_seq) AS event_id,
            (SELECT e.body FROM events e WHERE e.seq = deliveries.event_seq) AS body";
    let mut rows: Vec<Row> = on!(tx.connection(), connection => sqlx::query_as(update)
        .bind(&hook.id)
        .bind(now.cast_signed())
        .bind((now + lease.seconds).cast_signed())
        .bind(i64::from(lease.per_hook))
        .fetch_all(connection)
        .await)?;
    rows.sort_by_key(|row| row.id);
    let hook = Arc::new(hook);
    let leased = |row: Row| Leased {
        id: row.id.cast_unsigned(),
        fence: row.fence.cast_unsigned(),
        attempts: row.attempts.cast_unsigned(),
        event: row.event_id,
        body: row.body,
        hook: Arc::clone(&hook),
    };
    Ok(rows.into_iter().map(leased).collect())
}

fn spelt(tx: &mut Tx, [plain, locking]: [&'static str; 2]) -> &'static str {
    match tx.connection() {
        Either::Sqlite(_) => plain,
        Either::Postgres(_) => locking,
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    fence: i64,
    attempts: i64,
    event_id: String,
    body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::metadata::on_both::{Place, execute, on_both_databases};
    use crate::metadata::{DeliveryState, EventKind, HookChange, NewHook, outbox};
    use crate::request::AssetId;
    use crate::setting::Secret;
    use DeliveryState::{Dead, Done, Leased as Under, Pending};

    const LEASE: Lease = Lease { per_hook: 3, seconds: 30 };

    on_both_databases!(
        an_event_is_delivered_to_the_hooks_that_want_it_and_only_if_its_change_is_committed,
        each_hook_has_its_own_places_whatever_the_others_do,
        what_came_of_an_attempt_decides_what_is_next,
        a_lease_that_has_ended_is_given_to_another_and_its_holder_can_only_tell_what_it_saw,
        many_takers_at_once_take_each_delivery_once,
        a_hook_rests_and_ends_as_its_attempts_say,
        what_has_ended_is_replayed_one_by_one_by_state_and_by_time,
        what_is_old_is_forgotten_with_its_deliveries,
        secrets_are_rotated_with_an_overlap,
        the_settings_form_replaces_its_own_hooks_alone,
    );

    fn wish(url: &str, events: &[EventKind]) -> NewHook {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        NewHook { url: url.to_owned(), name: String::new(), events: events.to_vec(), secret }
    }

    async fn hook(catalog: &Catalog) -> String {
        let wish = wish("https://example.com/", &EventKind::ALL);
        catalog.create_hook(&wish, 1).await.expect("made").id
    }

    /// Records an event as a change of an asset does.
    async fn happen(catalog: &Catalog, kind: EventKind, version: u64, now: u64) {
        let mut tx = catalog.db.begin().await.expect("begun");
        let body = format!("{{\"version\":{version}}}");
        let id = AssetId::new([7; 16]);
        outbox::record(&mut tx, kind, &id, version, body.as_bytes(), now).await.expect("recorded");
        tx.commit().await.expect("committed");
    }

    async fn turn(catalog: &Catalog, settled: &[Settled], now: u64) -> Vec<Leased> {
        catalog.turn_deliveries(settled, LEASE, now).await.expect("a turn")
    }

    fn settled(leased: &Leased, at: u64, next: Next, effect: HookEffect) -> Settled {
        Settled {
            id: leased.id,
            fence: leased.fence,
            hook: leased.hook.id.clone(),
            at,
            milliseconds: 5,
            status: Some(500),
            error: None,
            detail: None,
            response: b"no".to_vec(),
            next,
            effect,
        }
    }

    /// States of all deliveries to a hook, oldest first.
    async fn states(catalog: &Catalog, hook: &str) -> Vec<DeliveryState> {
        let mut all = catalog.deliveries(None, Some(hook), u64::MAX, 1000).await.expect("listed");
        all.reverse();
        all.into_iter().map(|delivery| delivery.state).collect()
    }

    async fn an_event_is_delivered_to_the_hooks_that_want_it_and_only_if_its_change_is_committed(
        place: Place,
    ) {
        let catalog = place.open().await;
        let all = hook(&catalog).await;
        let some = wish("https://example.com/b", &[EventKind::FileDeleted]);
        let some = catalog.create_hook(&some, 1).await.expect("made").id;
        let off = hook(&catalog).await;
        let change = HookChange { enabled: Some(false), ..HookChange::default() };
        catalog.change_hook(&off, &change).await.expect("changed");
        happen(&catalog, EventKind::FileSaved, 1, 10).await;
        happen(&catalog, EventKind::FileDeleted, 2, 11).await;
        let mut tx = catalog.db.begin().await.expect("begun");
        outbox::record(&mut tx, EventKind::FileSaved, &AssetId::new([7; 16]), 3, b"", 12)
            .await
            .expect("recorded");
        drop(tx);
        let events = catalog.events(None, None, u64::MAX, 10).await.expect("listed");
        let seen: Vec<_> = events.iter().map(|event| (event.kind, event.asset_version)).collect();
        assert_eq!(seen, [(EventKind::FileDeleted, 2), (EventKind::FileSaved, 1)]);
        assert_eq!(catalog.event(&events[0].id).await.expect("there"), events[0]);
        assert_eq!(events[0].body, b"{\"version\":2}");
        assert_eq!(
            catalog.events(Some(EventKind::FileSaved), None, u64::MAX, 10).await.expect("listed").len(),
            1
        );
        let of_asset = catalog.events(None, Some(&AssetId::new([7; 16])), events[0].seq, 10).await;
        assert_eq!(of_asset.expect("listed"), events[1..]);
        assert!(
            catalog
                .events(None, Some(&AssetId::new([8; 16])), u64::MAX, 10)
                .await
                .expect("listed")
                .is_empty()
        );
        let leased = turn(&catalog, &[], 12).await;
        let mut told: Vec<_> =
            leased.iter().map(|leased| (leased.hook.id.clone(), leased.event.clone())).collect();
        told.sort();
        let (saved, deleted) = (events[1].id.clone(), events[0].id.clone());
        let mut expected = vec![(all.clone(), saved), (all, deleted.clone()), (some, deleted)];
        expected.sort();
        assert_eq!(told, expected);
        assert!(states(&catalog, &off).await.is_empty(), "a hook that is off hears nothing");
    }

    async fn each_hook_has_its_own_places_whatever_the_others_do(place: Place) {
        let catalog = place.open().await;
        let hooks = [hook(&catalog).await, hook(&catalog).await];
        for version in 1..=5 {
            happen(&catalog, EventKind::FileSaved, version, 10).await;
        }
        assert!(!catalog.has_due_deliveries(LEASE, 9).await.expect("asked"), "not yet");
        assert!(turn(&catalog, &[], 9).await.is_empty());
        assert!(catalog.has_due_deliveries(LEASE, 10).await.expect("asked"));
        let leased = turn(&catalog, &[], 10).await;
        for hook in &hooks {
            let of_hook: Vec<_> = leased.iter().filter(|leased| leased.hook.id == *hook).collect();
            assert_eq!(of_hook.len(), 3, "as many as there are places");
            assert!(of_hook.is_sorted_by_key(|leased| leased.id), "oldest first");
        }
        assert!(!catalog.has_due_deliveries(LEASE, 10).await.expect("asked"), "no place is free");
        assert!(turn(&catalog, &[], 10).await.is_empty());
        // The first hook hangs. The second is as fast as ever.
        let done: Vec<_> = leased
            .iter()
            .filter(|leased| leased.hook.id == hooks[1])
            .map(|leased| settled(leased, 10, Next::Done, HookEffect::Works))
            .collect();
        let more = turn(&catalog, &done, 10).await;
        assert!(more.len() == 2 && more.iter().all(|leased| leased.hook.id == hooks[1]), "{more:?}");
        assert_eq!(states(&catalog, &hooks[0]).await, [Under, Under, Under, Pending, Pending]);
        assert_eq!(states(&catalog, &hooks[1]).await, [Done, Done, Done, Under, Under]);
        let none = catalog.turn_deliveries(&[], Lease { per_hook: 0, ..LEASE }, 10).await.expect("a turn");
        assert!(none.is_empty(), "a server that stops takes nothing");
    }

    async fn what_came_of_an_attempt_decides_what_is_next(place: Place) {
        let catalog = place.open().await;
        let hook = hook(&catalog).await;
        for version in 1..=3 {
            happen(&catalog, EventKind::FileSaved, version, 10).await;
        }
        let leased = turn(&catalog, &[], 10).await;
        let results = [
            settled(&leased[0], 11, Next::Done, HookEffect::Works),
            settled(&leased[1], 12, Next::Retry { due_at: 20 }, HookEffect::Fails),
            Settled {
                status: None,
                error: Some("timed_out"),
                ..settled(&leased[2], 13, Next::Dead, HookEffect::Fails)
            },
        ];
        assert!(turn(&catalog, &results, 19).await.is_empty(), "a retry has its time");
        assert_eq!(states(&catalog, &hook).await, [Done, Pending, Dead]);
        let again = turn(&catalog, &[], 20).await;
        assert_eq!((again.len(), again[0].id, again[0].attempts), (1, leased[1].id, 2));
        assert_eq!(
            (&again[0].event, &again[0].body),
            (&leased[1].event, &leased[1].body),
            "the same message"
        );
        assert!(again[0].fence > leased[1].fence);
        turn(&catalog, &[settled(&again[0], 21, Next::Done, HookEffect::Works)], 21).await;
        let (delivery, attempts) = catalog.delivery(leased[1].id).await.expect("there");
        assert_eq!((delivery.state, delivery.attempts, delivery.last_status), (Done, 2, Some(500)));
        let seen: Vec<_> = attempts.iter().map(|attempt| (attempt.at, attempt.status)).collect();
        assert_eq!(seen, [(12, Some(500)), (21, Some(500))]);
        let (dead, attempts) = catalog.delivery(leased[2].id).await.expect("there");
        assert_eq!((dead.last_status, dead.last_error.as_deref()), (None, Some("timed_out")));
        assert_eq!(
            (attempts[0].error.as_deref(), &attempts[0].response[..]),
            (Some("timed_out"), &b"no"[..])
        );
        let dead = catalog.deliveries(Some(Dead), None, u64::MAX, 10).await.expect("listed");
        assert_eq!(dead.iter().map(|dead| dead.id).collect::<Vec<_>>(), [leased[2].id]);
        let page = catalog.deliveries(None, None, leased[2].id, 1).await.expect("listed");
        assert_eq!(page.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [leased[1].id]);
        let missing = catalog.delivery(u64::MAX).await;
        assert!(matches!(missing, Err(Error::NoSuch(_))), "{missing:?}");
    }

    async fn a_lease_that_has_ended_is_given_to_another_and_its_holder_can_only_tell_what_it_saw(
        place: Place,
    ) {
        let [catalog, other] = [place.open().await, place.open().await];
        let hook = hook(&catalog).await;
        happen(&catalog, EventKind::FileSaved, 1, 10).await;
        let lost = turn(&catalog, &[], 10).await.remove(0);
        assert!(turn(&other, &[], 39).await.is_empty(), "the lease holds");
        assert!(other.has_due_deliveries(LEASE, 40).await.expect("asked"));
        let held = turn(&other, &[], 40).await.remove(0);
        assert_eq!((&held.event, held.id, held.attempts), (&lost.event, lost.id, 2));
        turn(&catalog, &[settled(&lost, 41, Next::Dead, HookEffect::Fails)], 41).await;
        assert_eq!(states(&catalog, &hook).await, [Under], "who has lost the lease decides nothing");
        turn(&other, &[settled(&held, 42, Next::Done, HookEffect::Works)], 42).await;
        let (delivery, attempts) = catalog.delivery(held.id).await.expect("there");
        assert_eq!((delivery.state, attempts.len()), (Done, 2));
        // Replaying does not bring an old lease back to life.
        catalog.replay_delivery(held.id, 50).await.expect("replayed");
        let third = turn(&catalog, &[], 50).await.remove(0);
        assert_eq!(third.attempts, 1);
        turn(&catalog, &[settled(&lost, 51, Next::Dead, HookEffect::Fails)], 51).await;
        assert_eq!(states(&catalog, &hook).await, [Under]);
        catalog.delete_hook(&hook).await.expect("deleted");
        turn(&catalog, &[settled(&third, 52, Next::Done, HookEffect::Works)], 52).await;
    }

    async fn many_takers_at_once_take_each_delivery_once(place: Place) {
        let catalog = place.open().await;
        for _ in 0..3 {
            hook(&catalog).await;
        }
        for version in 1..=20 {
            happen(&catalog, EventKind::FileSaved, version, 10).await;
        }
        let takers = [place.open().await, place.open().await, place.open().await, place.open().await];
        let taking = takers.iter().map(async |taker| {
            let (mut taken, mut done) = (Vec::new(), Vec::new());
            for _ in 0..40 {
                let leased = turn(taker, &done, 10).await;
                done =
                    leased.iter().map(|leased| settled(leased, 10, Next::Done, HookEffect::Fails)).collect();
                taken.extend(leased.into_iter().map(|leased| leased.id));
            }
            turn(taker, &done, 10).await;
            taken
        });
        let taken = futures::future::join_all(taking).await.concat();
        let once: HashSet<_> = taken.iter().collect();
        assert_eq!(taken.len(), once.len(), "none is taken twice");
        let left = catalog.deliveries(Some(Pending), None, u64::MAX, 100).await.expect("listed").len();
        assert_eq!(taken.len() + left, 60, "none is lost");
        assert!(left == 0, "{left} are left");
    }

    async fn a_hook_rests_and_ends_as_its_attempts_say(place: Place) {
        let catalog = place.open().await;
        let id = hook(&catalog).await;
        for version in 1..=9 {
            happen(&catalog, EventKind::FileSaved, version, 10).await;
        }
        let state = async || {
            let hook = catalog.hook(&id).await.expect("there");
            (hook.enabled, hook.disabled_because, hook.failing_since, hook.paused_until)
        };
        let leased = turn(&catalog, &[], 10).await;
        let after = |leased: &Leased, at, effect| settled(leased, at, Next::Dead, effect);
        let pauses = HookEffect::Pauses { until: 30 };
        let shorter = HookEffect::Pauses { until: 20 };
        let results = [
            after(&leased[0], 11, HookEffect::Fails),
            after(&leased[1], 12, pauses),
            after(&leased[2], 13, shorter),
        ];
        assert!(turn(&catalog, &results, 29).await.is_empty(), "it rests");
        assert_eq!(state().await, (true, None, Some(11), 30));
        let leased = turn(&catalog, &[], 30).await;
        turn(&catalog, &[after(&leased[0], 31, HookEffect::Works)], 31).await;
        assert_eq!(state().await, (true, None, None, 30));
        turn(&catalog, &[after(&leased[1], 32, HookEffect::Lost)], 32).await;
        assert_eq!(state().await, (true, None, None, 30), "something has worked meanwhile");
        turn(&catalog, &[after(&leased[2], 33, HookEffect::Gone)], 33).await;
        assert_eq!(state().await, (false, Some(Disabled::Gone), Some(33), 30));
        let waiting = states(&catalog, &id).await.iter().filter(|state| **state == Pending).count();
        assert!(waiting > 0 && turn(&catalog, &[], 99).await.is_empty(), "what waits goes on waiting");
        let change = HookChange { enabled: Some(true), ..HookChange::default() };
        catalog.change_hook(&id, &change).await.expect("changed");
        assert_eq!(state().await, (true, None, None, 0));
        let leased = turn(&catalog, &[], 99).await;
        assert!(!leased.is_empty(), "and goes on when it is on again");
        let results = [after(&leased[0], 99, HookEffect::Fails), after(&leased[0], 100, HookEffect::Lost)];
        turn(&catalog, &results, 100).await;
        assert_eq!(state().await, (false, Some(Disabled::Failing), Some(99), 0));
    }

    async fn what_has_ended_is_replayed_one_by_one_by_state_and_by_time(place: Place) {
        let catalog = place.open().await;
        let id = hook(&catalog).await;
        for version in 1..=3 {
            happen(&catalog, EventKind::FileSaved, version, 10 + version).await;
        }
        let leased = turn(&catalog, &[], 20).await;
        let under_way = catalog.replay_delivery(leased[0].id, 20).await;
        assert!(matches!(under_way, Err(Error::NoSuch(_))), "{under_way:?}");
        let ends = [Next::Done, Next::Dead, Next::Dead];
        let results: Vec<_> = leased
            .iter()
            .zip(ends)
            .map(|(leased, end)| settled(leased, 20, end, HookEffect::Fails))
            .collect();
        turn(&catalog, &results, 20).await;
        assert_eq!(catalog.replay_dead(Some("hook_of_nobody"), 30).await.expect("replayed"), 0);
        assert_eq!(catalog.replay_dead(Some(&id), 30).await.expect("replayed"), 2);
        assert_eq!(states(&catalog, &id).await, [Done, Pending, Pending]);
        catalog.replay_delivery(leased[0].id, 30).await.expect("replayed");
        let again = turn(&catalog, &[], 30).await;
        let same: Vec<_> = again.iter().map(|again| (again.id, &again.event, again.attempts)).collect();
        let expected: Vec<_> = leased.iter().map(|leased| (leased.id, &leased.event, 1)).collect();
        assert_eq!(same, expected, "the same ids");
        // A hook that came later hears of a span of time, its end left out.
        let late = hook(&catalog).await;
        assert_eq!(catalog.replay_span(&late, 11..13, 40).await.expect("replayed"), 2);
        assert_eq!(catalog.replay_span(&late, 11..13, 40).await.expect("replayed"), 2, "again");
        assert_eq!(catalog.replay_span(&id, 0..99, 40).await.expect("replayed"), 0, "all are under way");
        assert_eq!(states(&catalog, &late).await, [Pending, Pending]);
        let nobody = catalog.replay_span("hook_of_nobody", 0..99, 40).await;
        assert!(matches!(nobody, Err(Error::NoSuch("hook"))), "{nobody:?}");
        let (event, delivery) = catalog.test_hook(&late, b"{}", 41).await.expect("recorded");
        let (seen, _) = catalog.delivery(delivery).await.expect("there");
        assert_eq!((seen.event, seen.kind, seen.asset), (event, EventKind::HookTest, None));
        assert_eq!(states(&catalog, &id).await.len(), 3, "a test is for one hook alone");
    }

    async fn what_is_old_is_forgotten_with_its_deliveries(place: Place) {
        let catalog = place.open().await;
        let id = hook(&catalog).await;
        for version in 1..=3 {
            happen(&catalog, EventKind::FileSaved, version, 10 * version).await;
        }
        let leased = turn(&catalog, &[], 30).await;
        turn(&catalog, &[settled(&leased[0], 30, Next::Dead, HookEffect::Fails)], 30).await;
        assert_eq!(catalog.forget_events(30, 1).await.expect("forgotten"), 1);
        assert_eq!(catalog.forget_events(30, 9).await.expect("forgotten"), 1);
        assert_eq!(catalog.forget_events(30, 9).await.expect("forgotten"), 0);
        assert_eq!(states(&catalog, &id).await, [Under]);
        execute(&catalog, "DELETE FROM events").await;
        assert!(catalog.deliveries(None, None, u64::MAX, 9).await.expect("listed").is_empty());
    }

    async fn secrets_are_rotated_with_an_overlap(place: Place) {
        let catalog = place.open().await;
        let id = hook(&catalog).await;
        let first = catalog.hook(&id).await.expect("there").secrets_at(1);
        let secret = |text: &str| Secret::new(text);
        let texts =
            |hook: &Hook, now| hook.secrets_at(now).iter().map(|s| s.expose().to_owned()).collect::<Vec<_>>();
        catalog.rotate_hook_secret(&id, &secret("second"), 100, 10).await.expect("rotated");
        let hook = catalog.hook(&id).await.expect("there");
        assert_eq!(texts(&hook, 99), ["second", first[0].expose()]);
        assert_eq!(texts(&hook, 100), ["second"]);
        let hook = catalog.rotate_hook_secret(&id, &secret("third"), 20, 11).await.expect("rotated");
        assert_eq!(texts(&hook, 19).len(), 3);
        assert_eq!(texts(&hook, 20), ["third"], "no old one lives longer by it");
        for turn in 0..9 {
            catalog.rotate_hook_secret(&id, &secret(&format!("n{turn}")), 900, 11).await.expect("rotated");
        }
        assert_eq!(texts(&catalog.hook(&id).await.expect("there"), 11), ["n8", "n7", "n6"]);
        let leaked = catalog.rotate_hook_secret(&id, &secret("last"), 0, 12).await.expect("rotated");
        assert_eq!(texts(&leaked, 12), ["last"], "a secret that has leaked ends at once");
    }

    async fn the_settings_form_replaces_its_own_hooks_alone(place: Place) {
        let catalog = place.open().await;
        let own = hook(&catalog).await;
        let [a, b, c] = ["https://a.example/", "https://b.example/", "https://c.example/"];
        let saved = [EventKind::FileSaved];
        let before =
            catalog.set_hooks_of_settings(&[wish(a, &saved), wish(b, &saved)], 5).await.expect("set");
        let deleted = [EventKind::FileDeleted];
        let after =
            catalog.set_hooks_of_settings(&[wish(b, &deleted), wish(c, &deleted)], 6).await.expect("set");
        assert_eq!(
            (&after[0].id, &after[0].secrets),
            (&before[1].id, &before[1].secrets),
            "{b} stays itself"
        );
        assert_eq!(after[0].events, deleted);
        let urls: Vec<_> = catalog.hooks().await.expect("listed").into_iter().map(|hook| hook.url).collect();
        assert_eq!(urls.len(), 3);
        assert!(urls.contains(&b.to_owned()) && urls.contains(&c.to_owned()));
        assert!(catalog.set_hooks_of_settings(&[], 7).await.expect("set").is_empty());
        assert_eq!(
            catalog.hooks().await.expect("listed").into_iter().map(|hook| hook.id).collect::<Vec<_>>(),
            [own]
        );
        for _ in 1..crate::metadata::MAX_HOOKS {
            hook(&catalog).await;
        }
        let one_more = catalog.create_hook(&wish(a, &saved), 8).await;
        assert!(matches!(one_more, Err(Error::TooManyHooks)), "{one_more:?}");
    }
}
