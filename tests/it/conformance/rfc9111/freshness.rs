//! Sections 4.2.1, 4.2.4, 5.2.2 and 5.3: how long an answer is fresh.

use std::time::SystemTime;

use kinora::headers::cache_control::Directives;

use crate::conformance::{Cache, Headers, Kept, date, none, seconds};
use crate::support::client::Reply;
use crate::support::http_origin::Fault;

#[tokio::test]
async fn rfc9111_4_2_1_s_maxage_over_max_age_over_expires() {
    let cache = Cache::start();
    let (past, future) = (date(-600), date(600));
    let fresh: [Headers<'_>; 4] = [
        &[("cache-control", "s-maxage=600, max-age=0")],
        &[("cache-control", "max-age=600"), ("expires", &past)],
        &[("cache-control", "max-age=600"), ("expires", "0")],
        &[("cache-control", "s-maxage=600"), ("expires", &past)],
    ];
    cache.all(Kept::Fresh, &fresh).await;
    let stale: [Headers<'_>; 3] = [
        &[("cache-control", "s-maxage=0, max-age=600")],
        &[("cache-control", "max-age=0"), ("expires", &future)],
        &[("cache-control", "s-maxage=0"), ("expires", &future)],
    ];
    cache.all(Kept::Stale, &stale).await;
}

#[tokio::test]
async fn rfc9111_5_3_expires_counts_from_date() {
    let cache = Cache::start();
    let at = |seconds: i64| date(seconds);
    let pairs = |pairs: &[(i64, i64)]| -> Vec<[String; 2]> {
        pairs.iter().map(|(date, expires)| [at(*date), at(*expires)]).collect()
    };
    // The origin's clock is right, or an hour ahead of ours: ten minutes either way.
    let fresh = pairs(&[(0, 600), (3600, 4200)]);
    let fresh: Vec<_> =
        fresh.iter().map(|[date, expires]| [("date", date.as_str()), ("expires", expires)]).collect();
    cache.all(Kept::Fresh, &fresh.iter().map(|headers| &headers[..]).collect::<Vec<_>>()).await;
    // Over by its own clock, though not by ours; or used up under way.
    let stale = pairs(&[(3600, 1800), (3600, 3600), (-1200, -600), (-3600, -3000), (0, -600), (0, 0)]);
    let stale: Vec<_> =
        stale.iter().map(|[date, expires]| [("date", date.as_str()), ("expires", expires)]).collect();
    cache.all(Kept::Stale, &stale.iter().map(|headers| &headers[..]).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn rfc9111_5_3_an_invalid_expires_is_in_the_past() {
    let cache = Cache::start();
    let values = ["0", "-1", "never", "", "600", "Thu, 99 Dec 2099 99:99:99 GMT", "2099-12-31T00:00:00Z"];
    let headers: Vec<_> = values.iter().map(|value| [("expires", *value)]).collect();
    cache.all(Kept::Stale, &headers.iter().map(|headers| &headers[..]).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn rfc9111_4_2_1_a_conflict_is_settled_for_the_shorter() {
    let cache = Cache::start();
    let stale: [Headers<'_>; 3] = [
        &[("cache-control", "max-age=0, max-age=600")],
        &[("cache-control", "max-age=0"), ("cache-control", "max-age=600")],
        &[("cache-control", "max-age=600"), ("cache-control", "no-cache")],
    ];
    cache.all(Kept::Stale, &stale).await;
}

#[tokio::test]
async fn rfc9111_4_2_1_a_malformed_lifetime_is_stale() {
    let cache = Cache::start();
    let values = [
        "max-age=soon",
        "max-age=-1",
        "max-age",
        "max-age=",
        "max-age=60.5",
        "max-age='600'",
        "s-maxage=x, max-age=600",
    ];
    cache.controls(Kept::Stale, &values).await;
}

#[tokio::test]
async fn rfc9111_5_2_values_may_be_quoted_and_names_in_any_case() {
    let cache = Cache::start();
    let values = [
        "max-age=\"600\"",
        "MAX-AGE=600",
        "Max-Age=600,Foo",
        "S-MAXAGE=600",
        "max-age=00600",
        "max-age=99999999999999999999",
    ];
    cache.controls(Kept::Fresh, &values).await;
}

#[tokio::test]
async fn rfc9111_4_2_2_only_an_answer_without_a_lifetime_gets_ours() {
    let cache = Cache::with(&[("delivery.s_maxage", "600s")]);
    cache
        .all(Kept::Fresh, &[&[], &[("cache-control", "public")], &[("cache-control", "must-revalidate")]])
        .await;
    cache
        .all(Kept::Stale, &[&[("expires", "0")], &[("cache-control", "max-age=0")], &[("age", "601")]])
        .await;
    let cache = Cache::with(&[("delivery.s_maxage", "0s")]);
    let future = date(600);
    cache.all(Kept::Fresh, &[&[("expires", &future)], &[("cache-control", "max-age=600")]]).await;
    cache.all(Kept::Stale, &[&[]]).await;
}

#[tokio::test]
async fn rfc9111_4_2_4_nothing_stale_unless_it_is_allowed() {
    let cache = Cache::start();
    let bans = ["", ", must-revalidate", ", proxy-revalidate", ", s-maxage=0", ", no-cache"];
    for control in bans.map(|ban| format!("max-age=0{ban}")) {
        for fault in [Fault::Refuse, Fault::Status(500, "broken"), Fault::Status(503, "later")] {
            let object = cache.object(&[("cache-control", &control)]);
            object.get().await;
            object.fails(fault);
            let reply = object.get().await;
            assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"), "{control}");
        }
    }
}

/// Seconds for which a shared cache behind us would use this answer.
fn left(reply: &Reply) -> i64 {
    let at = |name: &str| httpdate::parse_http_date(&reply.header(name)).expect("a date");
    let between = |from: SystemTime, to: SystemTime| {
        i64::try_from(to.duration_since(from).map_or(0, |span| span.as_secs())).expect("seconds")
    };
    let said = Directives::parse([reply.header("cache-control").as_bytes()]);
    let lifetime = said.s_maxage.or(said.max_age).map(i64::from);
    let lifetime = lifetime.unwrap_or_else(|| between(at("date"), at("expires")));
    let age = if reply.has("age") { seconds(reply, "age") } else { 0 };
    lifetime - age.max(between(at("date"), SystemTime::now()))
}

#[tokio::test]
async fn rfc9111_4_2_nobody_behind_us_takes_it_for_fresher_than_it_is() {
    let cache = Cache::start();
    let (dated, expires) = (date(-300), date(300));
    let cases: [Headers<'_>; 3] = [
        &[("date", &dated), ("expires", &expires)],
        &[("date", &dated), ("cache-control", "max-age=600")],
        &[("age", "300"), ("cache-control", "max-age=600")],
    ];
    let mut wrong = Vec::new();
    for headers in cases {
        let object = cache.object(headers);
        for (reply, what) in [(object.get().await, "miss"), (object.get().await, "hit")] {
            if left(&reply) > 300 {
                wrong.push(format!("{what}: {} for {headers:?}: {:?}", left(&reply), reply.headers));
            }
        }
        assert_eq!(object.fetched(), 1, "300 seconds are left");
    }
    none(&wrong, "300 seconds are left for them too");
}
