//! RFC 8246, immutable answers.

use crate::conformance::{Cache, Object, is_hit};
use crate::support::client::Reply;

async fn versioned(object: &Object<'_>, version: &str) -> Reply {
    object.cache.edge.get(&format!("{}?v={version}", object.target())).await
}

#[tokio::test]
async fn rfc8246_2_what_is_named_by_its_version_never_changes() {
    let cache = Cache::start();
    let object = cache.object(&[]);
    let control = versioned(&object, "1").await.header("cache-control");
    for directive in ["public", "max-age=31536000", "immutable"] {
        assert!(control.split(", ").any(|own| own == directive), "{directive} in {control}");
    }
    assert!(!object.get().await.header("cache-control").contains("immutable"));
    assert!(is_hit(&versioned(&object, "1").await));
    assert!(!is_hit(&versioned(&object, "2").await), "another version is another object");
    assert_eq!(object.fetched(), 3);
}

#[tokio::test]
async fn rfc8246_2_an_origins_own_word_stands() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600, immutable")]);
    assert_eq!(object.get().await.header("cache-control"), "max-age=600, immutable");
    let object = cache.object(&[("cache-control", "no-store")]);
    assert_eq!(versioned(&object, "1").await.header("cache-control"), "no-store");
    let object = cache.object(&[("cache-control", "max-age=0, immutable")]);
    object.get().await;
    object.get().await;
    assert_eq!(object.fetched(), 2, "stale is stale");
}

#[tokio::test]
async fn rfc8246_2_a_reload_asks_nobody() {
    let cache = Cache::start();
    let object = cache.object(&[("cache-control", "max-age=600, immutable")]);
    let tag = object.get().await.header("etag");
    let reload = object.ask(&[("Cache-Control", "max-age=0"), ("If-None-Match", &tag)]).await;
    assert_eq!((reply_status(&reload), object.fetched()), ((304, true), 1));
}

fn reply_status(reply: &Reply) -> (u16, bool) {
    (reply.status, is_hit(reply))
}
