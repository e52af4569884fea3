//! RFC 9213, targeted cache control: `CDN-Cache-Control`.

use crate::conformance::{Cache, Headers, Kept, date};

#[tokio::test]
async fn rfc9213_2_2_the_targeted_field_leads_in_both_directions() {
    let cache = Cache::start();
    let past = date(-600);
    let fresh: [Headers<'_>; 4] = [
        &[("cdn-cache-control", "max-age=600"), ("cache-control", "no-store")],
        &[("cdn-cache-control", "max-age=600"), ("cache-control", "private, max-age=0")],
        &[("cdn-cache-control", "max-age=600"), ("expires", &past)],
        &[("cdn-cache-control", "max-age=600")],
    ];
    cache.all(Kept::Fresh, &fresh).await;
    let never: [Headers<'_>; 2] = [
        &[("cdn-cache-control", "no-store"), ("cache-control", "max-age=600")],
        &[("cdn-cache-control", "private"), ("cache-control", "public, max-age=600")],
    ];
    cache.all(Kept::Never, &never).await;
    let stale: [Headers<'_>; 2] = [
        &[("cdn-cache-control", "max-age=0"), ("cache-control", "max-age=600")],
        &[("cdn-cache-control", "no-cache"), ("cache-control", "max-age=600")],
    ];
    cache.all(Kept::Stale, &stale).await;
}

#[tokio::test]
async fn rfc9213_2_1_it_is_a_structured_field() {
    let cache = Cache::start();
    let mut cases: Vec<Vec<(&str, &str)>> = Vec::new();
    for value in [
        "max-age=600, foo=\"bar\", baz=(1 2);q=0.5, x=:YWJj:, y=?0",
        "max-age=600;unknown=1",
        "max-age=0, max-age=600",
        "  public,\tmax-age=600  ",
    ] {
        cases.push(vec![("cdn-cache-control", value), ("cache-control", "no-store")]);
    }
    cases.push(vec![
        ("cdn-cache-control", "public"),
        ("cdn-cache-control", "max-age=600"),
        ("cache-control", "no-store"),
    ]);
    cache.all(Kept::Fresh, &cases.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let last = [("cdn-cache-control", "max-age=600, max-age=0"), ("cache-control", "max-age=600")];
    assert_eq!(cache.keeps(&last).await, Kept::Stale, "of a key given twice the last counts");
}

#[tokio::test]
async fn rfc9213_2_1_an_invalid_or_empty_field_is_absent() {
    let cache = Cache::start();
    let values = [
        "",
        "max-age=600,",
        "Max-Age=600",
        "max-age=600 no-store",
        "max-age = 600",
        "max-age=\"600\"",
        "max-age=600.5",
        "max-age=-1",
        "max-age=soon",
        "max-age",
        "max-age=9999999999999999",
        "max-age=600, &",
        "no-cache=?0, max-age=600",
    ];
    let headers: Vec<_> =
        values.iter().map(|value| [("cdn-cache-control", *value), ("cache-control", "no-store")]).collect();
    cache.all(Kept::Never, &headers.iter().map(|headers| &headers[..]).collect::<Vec<_>>()).await;
    let headers: Vec<_> = values
        .iter()
        .map(|value| [("cdn-cache-control", *value), ("cache-control", "max-age=600")])
        .collect();
    cache.all(Kept::Fresh, &headers.iter().map(|headers| &headers[..]).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn rfc9213_3_1_both_fields_reach_the_next_cache_as_they_are() {
    let cache = Cache::start();
    let object = cache.object(&[("cdn-cache-control", "max-age=600"), ("cache-control", "no-store")]);
    for reply in [object.get().await, object.get().await] {
        let both = [reply.header("cdn-cache-control"), reply.header("cache-control")];
        assert_eq!(both, ["max-age=600", "no-store"], "{reply:?}");
    }
    assert_eq!(object.fetched(), 1);
}
