//! Section 4.1: which request a stored answer is for.

use crate::conformance::{Cache, FIRST, Headers, Kept, SECOND, is_hit};
use crate::support::http_origin::Answer;

const ENGLISH: Headers<'static> = &[("Accept-Language", "en")];
const GERMAN: Headers<'static> = &[("Accept-Language", "de")];

fn varying(vary: &str, body: &[u8]) -> Answer {
    Answer::new(
        200,
        &[("cache-control", "max-age=600"), ("vary", vary), ("etag", &format!("\"{}\"", body.len()))],
        body,
    )
}

#[tokio::test]
async fn rfc9111_4_1_two_languages_are_two_variants() {
    let cache = Cache::start();
    for vary in ["Accept-Language", "accept-language", "X-Other, ACCEPT-LANGUAGE"] {
        let object = cache.written(varying(vary, FIRST));
        object.then(varying(vary, SECOND));
        assert_eq!(object.ask(ENGLISH).await.body, FIRST);
        assert_eq!(object.ask(GERMAN).await.body, SECOND, "never the other's: {vary}");
        for (language, body) in [(ENGLISH, FIRST), (GERMAN, SECOND), (ENGLISH, FIRST)] {
            let reply = object.ask(language).await;
            assert_eq!((is_hit(&reply), reply.body.as_slice()), (true, body), "both are kept: {vary}");
            assert!(reply.header("vary").to_ascii_lowercase().contains("accept-language"), "{reply:?}");
        }
        assert_eq!(object.fetched(), 2, "{vary}");
    }
}

#[tokio::test]
async fn rfc9111_4_1_the_absence_of_a_header_is_a_value_of_its_own() {
    let cache = Cache::start();
    let object = cache.written(varying("Accept-Language", FIRST));
    object.then(varying("Accept-Language", SECOND));
    assert_eq!(object.get().await.body, FIRST);
    assert_eq!(object.ask(ENGLISH).await.body, SECOND);
    assert!(is_hit(&object.get().await) && is_hit(&object.ask(ENGLISH).await));
    assert_eq!(object.fetched(), 2);
}

#[tokio::test]
async fn rfc9111_4_1_every_header_named_has_to_match() {
    let cache = Cache::start();
    let object = cache.written(varying("Accept-Language, X-Kind", FIRST));
    object.then(varying("Accept-Language, X-Kind", SECOND));
    object.ask(&[("Accept-Language", "en"), ("X-Kind", "1")]).await;
    assert_eq!(object.ask(&[("Accept-Language", "en"), ("X-Kind", "2")]).await.body, SECOND);
    assert!(is_hit(&object.ask(&[("X-Kind", "1"), ("Accept-Language", "en")]).await), "in any order");
    assert_eq!(object.fetched(), 2);
}

#[tokio::test]
async fn rfc9111_4_1_an_asterisk_matches_nothing() {
    let cache = Cache::start();
    for vary in ["*", "Accept-Language, *", "*, *"] {
        let object = cache.written(varying(vary, FIRST));
        for _ in 0..2 {
            let reply = object.ask(ENGLISH).await;
            assert!(reply.status == 200 && !is_hit(&reply), "{vary}");
        }
        assert_eq!(object.fetched(), 2, "{vary}");
    }
    let lines = [("cache-control", "max-age=600"), ("vary", "Accept-Language"), ("vary", "*")];
    assert_ne!(cache.keeps(&lines).await, Kept::Fresh);
}

#[tokio::test]
async fn rfc9111_4_1_what_the_origin_never_sees_makes_no_variants() {
    let cache = Cache::with(&[("origin.http.forward_request_headers", "X-Kind")]);
    for vary in ["Accept-Language", "Accept-Encoding", "Origin, User-Agent"] {
        let object = cache.written(varying(vary, FIRST));
        object.ask(ENGLISH).await;
        assert!(is_hit(&object.ask(GERMAN).await), "{vary}");
        assert_eq!(object.fetched(), 1, "{vary}");
    }
}

#[tokio::test]
async fn rfc9111_4_1_each_variant_is_revalidated_by_its_own_tag() {
    let cache = Cache::start();
    let stale = |tag: &str, body| {
        Answer::new(200, &[("cache-control", "max-age=0"), ("vary", "Accept-Language"), ("etag", tag)], body)
    };
    let object = cache.written(stale("\"en\"", FIRST));
    object.then(stale("\"de\"", SECOND)).then(stale("\"en\"", FIRST)).then(stale("\"de\"", SECOND));
    for (language, body) in [(ENGLISH, FIRST), (GERMAN, SECOND), (ENGLISH, FIRST), (GERMAN, SECOND)] {
        assert_eq!(object.ask(language).await.body, body);
    }
    let requests = object.requests();
    let tags: Vec<_> = requests.iter().map(|seen| seen.headers.get("if-none-match")).collect();
    assert_eq!(tags[2].expect("a tag"), "\"en\"");
    assert_eq!(tags[3].expect("a tag"), "\"de\"");
}
