//! Sections 4.2.3 and 5.1: how old an answer is.

use crate::conformance::{Cache, Headers, Kept, date, is_hit, seconds, status_parameter};

/// Seconds that a test may take between two requests.
const SLACK: i64 = 30;

#[tokio::test]
async fn rfc9111_4_2_3_age_is_used_up_life() {
    let cache = Cache::start();
    let with = |age| [("cache-control", "max-age=600"), ("age", age)];
    let fresh = ["0", "300", "300, 900", "300,garbage"].map(with);
    cache.all(Kept::Fresh, &fresh.each_ref().map(|headers| &headers[..])).await;
    let stale = ["601", "600", "900, 1", "4294967296", "99999999999999999999999"].map(with);
    cache.all(Kept::Stale, &stale.each_ref().map(|headers| &headers[..])).await;
    let lines: Headers<'_> = &[("cache-control", "max-age=600"), ("age", "900"), ("age", "1")];
    assert_eq!(cache.keeps(lines).await, Kept::Stale, "the first of several lines counts");
}

#[tokio::test]
async fn rfc9111_5_1_an_invalid_age_is_ignored() {
    let cache = Cache::start();
    for age in ["-1", "-900", "old", "900.5", "\"900\"", "900s", ""] {
        let object = cache.object(&[("cache-control", "max-age=600"), ("age", age)]);
        assert_eq!(object.is_kept(&[]).await, Kept::Fresh, "{age}");
        assert!(seconds(&object.get().await, "age") <= SLACK, "{age} is not passed on");
    }
}

#[tokio::test]
async fn rfc9111_5_1_our_age_continues_the_origins() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600"), ("age", "300")]);
    let first = object.get().await;
    let second = object.get().await;
    for (reply, what) in [(&first, "miss"), (&second, "hit")] {
        let age = seconds(reply, "age");
        assert!((300..300 + SLACK).contains(&age), "{what}: {reply:?}");
    }
    let ttl: i64 = status_parameter(&second, "ttl").and_then(|ttl| ttl.parse().ok()).expect("seconds");
    let life = ttl + seconds(&second, "age");
    assert!((599..=600).contains(&life), "what is left is what is not used up, rounded: {second:?}");
}

#[tokio::test]
async fn rfc9111_5_1_a_stored_answer_always_has_an_age() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600")]);
    object.get().await;
    let hit = object.get().await;
    assert!(is_hit(&hit) && (0..SLACK).contains(&seconds(&hit, "age")), "{hit:?}");
    let head = object.send("HEAD", &[]).await;
    let part = object.ask(&[("Range", "bytes=0-1")]).await;
    let known = object.ask(&[("If-None-Match", "\"1\"")]).await;
    for (reply, status) in [(head, 200), (part, 206), (known, 304)] {
        assert_eq!((reply.status, reply.has("age")), (status, true), "{reply:?}");
    }
}

#[tokio::test]
async fn rfc9111_4_2_3_the_apparent_age_counts_where_it_is_greater() {
    let cache = Cache::start();
    let with = |dated: i64, age: &'static str| (date(dated), age);
    for ((dated, age), least, kept) in [
        (with(-300, "0"), 300, Kept::Fresh),
        (with(-300, "400"), 400, Kept::Fresh),
        (with(-900, "0"), 900, Kept::Stale),
        (with(-900, "10"), 900, Kept::Stale),
        (with(900, "0"), 0, Kept::Fresh),
    ] {
        let object = cache.object(&[("cache-control", "max-age=600"), ("date", &dated), ("age", age)]);
        assert_eq!(object.is_kept(&[]).await, kept, "{dated}, {age}");
        if kept == Kept::Fresh {
            let age = seconds(&object.get().await, "age");
            assert!((least..least + SLACK).contains(&age), "{age} for {least}");
        }
    }
}

#[tokio::test]
async fn rfc9111_4_2_3_a_date_that_is_none_means_now() {
    let cache = Cache::start();
    for dated in ["yesterday", "0", ""] {
        assert_eq!(
            cache.keeps(&[("cache-control", "max-age=600"), ("date", dated)]).await,
            Kept::Fresh,
            "{dated}"
        );
    }
}
