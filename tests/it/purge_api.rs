//! `POST /api/v1/purge` by itself: who may, what is understood, what is recorded when it is answered.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::stream;
use futures::stream::{StreamExt, TryStreamExt};
use kinora::api::{Control, Limits, Public, public_routes};
use kinora::cache::Purger;
use kinora::cache::{Assets, Generations, Subject, Verdict};
use kinora::failure::{Code, Failure};
use kinora::metadata::{Catalog, Config, KeyKind, NewKey, Purge, PurgeMode, PurgeScope, Stamp};
use kinora::render::Renderer;
use kinora::request::Rules;
use kinora::setting::Secret;
use kinora::upload::Uploads;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::client::{Connection, Reply};
use crate::support::program::now;

/// The control plane on a port of its own, in this process, so that its state can be looked at.
struct Api {
    data: TempDir,
    address: SocketAddr,
    control: Control,
    catalog: Catalog,
    generations: Arc<ArcSwap<Generations>>,
    /// What was the newest purge before anybody asked for one.
    birth: Stamp,
}

const KEYS: [(&str, &[&str]); 4] = [
    ("key-that-may-do-all", &[]),
    ("key-that-may-purge", &["purge"]),
    ("key-that-may-read-and-write", &["read", "write"]),
    ("key-that-is-revoked", &[]),
];

impl Api {
    async fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let config = Config { url: Secret::new("sqlite:kinora.sqlite") };
        let catalog = Catalog::open(&config, data.path()).await.expect("open");
        for (secret, scopes) in KEYS {
            let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            let pair = Some((secret.to_owned(), Secret::new(secret)));
            let wish = NewKey { scopes, pair, ..NewKey::of(KeyKind::Api) };
            catalog.create_key(&wish, 1).await.expect("made");
        }
        catalog.revoke_key("key-that-is-revoked", 2).await.expect("revoked");
        let ring = catalog.key_ring(now()).await.expect("a ring");
        let generations = Arc::new(ArcSwap::from_pointee(Generations::default()));
        kinora::cache::follow_purges(&catalog, &generations).await.expect("read");
        let birth = generations.load().newest();
        let settings = kinora::config::Config::from_layers(None, []).expect("the built-in settings");
        let reopened = Catalog::reopen(&config, data.path()).expect("an address");
        let public = Public {
            limits: Arc::new(Limits::new(&settings.limits)),
            uploads: uploads(&catalog, data.path()),
            assets: Assets::new(reopened.clone()),
            rules: Rules::within(2048, 1536),
            bucket: None,
            public_url: String::new(),
            keys: Arc::new(ArcSwap::from_pointee(ring)),
            // As in the server: not the one that was opened at the start, and connected when needed.
            imports: settings.imports.guard(),
            catalog: reopened.clone(),
            max_data_bytes: 16 << 10,
            webhooks: kinora::webhook::Caller::new(&settings.webhooks).expect("a client"),
            purger: Purger { catalog: reopened, generations: Arc::clone(&generations) },
        };
        let control = Control::new(public.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, public_routes(public)).await });
        Self { data, address, control, catalog, generations, birth }
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut connection = Connection::open(self.address).await;
        let length = body.len().to_string();
        connection.ask(method, target, &[&[("Content-Length", length.as_str())], headers].concat()).await;
        connection.write(body).await;
        connection.reply(method).await
    }

    async fn post(&self, body: &str) -> Reply {
        let key = ("X-FileSpin-Api-Key", "key-that-may-purge");
        self.send("POST", "/api/v1/purge", &[key], body.as_bytes()).await
    }

    async fn recorded(&self) -> Vec<Purge> {
        self.catalog.purges_since(self.birth).await.expect("listed")
    }

    fn verdict(&self, key: &str, stamp: Stamp) -> Verdict {
        self.generations.load().verdict(&Subject { key, asset: None, tags: &[] }, stamp)
    }
}

/// Uploads that nobody asks for here.
fn uploads(catalog: &Catalog, data: &Path) -> Uploads {
    let environment = [("KINORA__DATA__DIR".into(), data.into())];
    let config = kinora::config::Config::from_layers(None, environment).expect("settings");
    let origin = kinora::origin::open(&config.origin, data).expect("a directory");
    let renderer = Renderer::new(Arc::clone(&origin), &config.render, &config.image).expect("threads");
    Uploads {
        bucket: None,
        origin,
        renderer: Arc::new(renderer),
        catalog: catalog.clone(),
        config: Arc::new(config.upload),
    }
}

fn generation(reply: &Reply) -> Stamp {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    Stamp(body["generation"].as_u64().unwrap_or_else(|| panic!("no generation in {body}")))
}

#[tokio::test]
async fn a_purge_is_recorded_and_known_when_it_is_answered() {
    let api = Api::start().await;
    let id = "0123456789abcdef0123456789abcdef";
    let body = format!(
        r#"{{"assets":["{id}"],"keys":["a.jpg","a.jpg"],"prefixes":["photos/20"],"tags":["t"],"mode":"stale"}}"#
    );
    let reply = api.post(&body).await;
    assert_eq!((reply.status, reply.header("content-type").as_str()), (200, "application/json"), "{reply:?}");
    assert_eq!(reply.header("cache-control"), "no-store");
    let stamp = generation(&reply);
    let answer = format!(r#"{{"purged":4,"generation":{}}}"#, stamp.0);
    assert_eq!(String::from_utf8_lossy(&reply.body), answer);
    let stale = Verdict::Stale { since: stamp.seconds() };
    assert!(now().abs_diff(stamp.seconds()) < 60, "{stamp:?}");
    assert_eq!(api.verdict("a.jpg", api.birth), stale);
    assert_eq!(api.verdict("photos/2024/b.jpg", api.birth), stale);
    assert_eq!(api.verdict("b.jpg", api.birth), Verdict::Valid);
    assert_eq!(api.verdict("a.jpg", stamp), Verdict::Valid, "filled since");
    let recorded = api.recorded().await;
    assert!(recorded.iter().all(|purge| purge.stamp == stamp && purge.mode == PurgeMode::Stale));
    let scopes: Vec<_> = recorded.into_iter().map(|purge| purge.scope).collect();
    for scope in [
        PurgeScope::Asset(id.to_owned()),
        PurgeScope::Key("a.jpg".to_owned()),
        PurgeScope::Prefix("photos/20".to_owned()),
        PurgeScope::Tag("t".to_owned()),
    ] {
        assert!(scopes.contains(&scope), "{scope:?} in {scopes:?}");
    }

    let reply = api.post(r#"{"everything":true}"#).await;
    assert!(reply.status == 200 && generation(&reply) > stamp, "{reply:?}");
    assert_eq!(api.verdict("b.jpg", stamp), Verdict::Gone);
    assert_eq!(api.recorded().await.len(), 1, "it covers those before");
}

#[tokio::test]
async fn only_a_key_that_may_purge_purges() {
    let api = Api::start().await;
    let body = br#"{"keys":["a.jpg"]}"#;
    let own = "X-FileSpin-Api-Key";
    for (headers, expected) in [
        (&[][..], (401, "api_key_needed")),
        (&[(own, "")], (401, "api_key_needed")),
        (&[(own, "key-of-nobody-known")], (401, "api_key_needed")),
        (&[(own, "key-that-is-revoked")], (401, "api_key_needed")),
        (&[("Authorization", "Basic key-that-may-purge")], (401, "api_key_needed")),
        (&[("Authorization", "Bearer key-of-nobody-known")], (401, "api_key_needed")),
        (&[(own, "key-that-may-read-and-write")], (403, "scope_missing")),
        (
            &[(own, "key-that-may-read-and-write"), ("Authorization", "Bearer key-that-may-purge")],
            (403, "scope_missing"),
        ),
    ] {
        let reply = api.send("POST", "/api/v1/purge", headers, body).await;
        assert_eq!((reply.status, reply.code().as_str()), expected, "{headers:?}");
        assert_eq!(reply.header("www-authenticate"), if reply.status == 401 { "Bearer" } else { "" });
        assert!(api.recorded().await.is_empty(), "{headers:?}");
    }
    let refused = api.send("POST", "/api/v1/purge", &[], b"{{{").await;
    assert_eq!(refused.status, 401, "strangers are not told how to write a body");
    for headers in [
        (own, "key-that-may-purge"),
        (own, "key-that-may-do-all"),
        ("Authorization", "bearer key-that-may-do-all"),
    ] {
        let reply = api.send("POST", "/api/v1/purge", &[headers], body).await;
        assert_eq!(reply.status, 200, "{headers:?} {reply:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_purges_nothing() {
    let api = Api::start().await;
    let keys = |count: usize| format!(r#"{{"keys":[{}]}}"#, vec![r#""a.jpg""#; count].join(","));
    let (most, too_many) = (keys(1000), keys(1001));
    for body in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":["a.jpg"],"everything":"yes"}"#,
        r#"{"keys":["a.jpg"],"key":"b.jpg"}"#,
        r#"{"keys":["a.jpg","/b.jpg"]}"#,
        r#"{"keys":["a.jpg",""]}"#,
        r#"{"keys":["a.jpg","../b"]}"#,
        r#"{"keys":["a.jpg","a\u0000b"]}"#,
        r#"{"keys":["a.jpg"],"prefixes":[""]}"#,
        r#"{"keys":["a.jpg"],"prefixes":["/photos"]}"#,
        r#"{"keys":["a.jpg"],"assets":["0123456789ABCDEF0123456789ABCDEF"]}"#,
        r#"{"keys":["a.jpg"],"assets":["0123"]}"#,
        r#"{"keys":["a.jpg"],"tags":["a,b"]}"#,
        r#"{"keys":["a.jpg"],"mode":"GONE"}"#,
        &too_many,
    ] {
        let reply = api.post(body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"), "{shown}");
        assert!(api.recorded().await.is_empty(), "{shown}");
    }
    assert_eq!(api.post(&most).await.status, 200);
}

#[tokio::test]
async fn a_body_has_a_bound() {
    let api = Api::start().await;
    let padded = |length: usize| format!(r#"{{"keys":["a.jpg"]}}{}"#, " ".repeat(length - 18));
    let reply = api.post(&padded((1 << 20) + 1)).await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
    assert!(api.recorded().await.is_empty());
    assert_eq!(api.post(&padded(1 << 20)).await.status, 200);
}

#[tokio::test]
async fn other_paths_and_methods_are_answered_in_our_form() {
    let api = Api::start().await;
    let key = [("X-FileSpin-Api-Key", "key-that-may-do-all")];
    for target in ["/api/v1/purge/", "/api/v1/purges", "/api/v1", "/api/v2/purge", "/api/", "/"] {
        let reply = api.send("POST", target, &key, b"").await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{target}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"] {
        let reply = api.send(method, "/api/v1/purge", &key, b"").await;
        assert_eq!((reply.status, reply.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(reply.header("allow"), "POST", "{method}");
    }
}

#[tokio::test]
async fn nothing_is_half_done_when_the_catalogue_fails() {
    let api = Api::start().await;
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(api.data.path().join("kinora.sqlite"));
    let other = sqlx::SqlitePool::connect_with(file).await.expect("open");
    let trigger = "CREATE TRIGGER stop BEFORE INSERT ON purges WHEN NEW.text = 'b'
                   BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    sqlx::query(trigger).execute(&other).await.expect("made");
    let reply = api.post(r#"{"keys":["a","b"]}"#).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "catalog_failed"), "{reply:?}");
    assert!(reply.has("retry-after") && !String::from_utf8_lossy(&reply.body).contains("disk"), "{reply:?}");
    assert!(api.recorded().await.is_empty(), "not even the first");
    assert_eq!(api.verdict("a", api.birth), Verdict::Valid);
    sqlx::query("DROP TRIGGER stop").execute(&other).await.expect("dropped");
    assert_eq!(api.post(r#"{"keys":["a","b"]}"#).await.status, 200);
    assert_eq!(api.verdict("a", api.birth), Verdict::Gone);
}

#[tokio::test]
async fn of_many_at_the_same_time_none_is_lost() {
    let api = Api::start().await;
    let purges = (0..40).map(|number| {
        let api = &api;
        async move {
            let key = format!("k{number}");
            let reply = api.post(&format!(r#"{{"keys":["{key}"]}}"#)).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(api.verdict(&key, api.birth), Verdict::Gone, "known when it is answered");
            assert!(api.generations.load().newest() >= generation(&reply));
        }
    });
    futures::future::join_all(purges).await;
    let mut stamps: Vec<_> = api.recorded().await.into_iter().map(|purge| purge.stamp).collect();
    stamps.dedup();
    assert_eq!(stamps.len(), 40);
    assert!((0..40).all(|number| api.verdict(&format!("k{number}"), api.birth) == Verdict::Gone));
}

#[tokio::test]
async fn without_a_listener_it_answers_the_same_and_reads_no_stranger_s_body() {
    let api = Api::start().await;
    let ask = async |method: &str, key: &str, body: &'static [u8]| {
        let head =
            http::Request::builder().method(method).uri("/api/v1/purge").header("X-FileSpin-Api-Key", key);
        let (head, ()) = head.body(()).expect("a request").into_parts();
        let pieces = body.chunks(7).map(|piece| Ok(axum::body::Bytes::from_static(piece)));
        // A client that sends this much, and then waits for an answer.
        let body = stream::iter(pieces);
        let answer = match key {
            "key-of-nobody-known" => api.control.answer(head, body.chain(stream::pending())).await,
            _ => api.control.answer(head, body).await,
        };
        let (head, body) = answer.into_parts();
        let body: Vec<_> = body.try_collect().await.expect("whole");
        http::Response::from_parts(head, body.concat())
    };
    let stranger = ask("POST", "key-of-nobody-known", b"{").await;
    assert_eq!(stranger.status(), 401);
    let failure = stranger.extensions().get::<Failure>().expect("for the log");
    assert_eq!(failure.code, Code::ApiKeyNeeded);
    assert_eq!(stranger.headers()["content-length"], stranger.body().len().to_string());
    let done = ask("POST", "key-that-may-purge", br#"{"keys":["a.jpg"]}"#).await;
    assert_eq!((done.status().as_u16(), api.verdict("a.jpg", api.birth)), (200, Verdict::Gone));
    let head = ask("HEAD", "key-that-may-purge", b"").await;
    assert!(
        head.status() == 405 && head.body().is_empty() && head.headers()["content-length"] != "0",
        "{head:?}"
    );

    let (head, ()) = http::Request::post("/api/v1/purge")
        .header("X-FileSpin-Api-Key", "key-that-may-purge")
        .body(())
        .expect("a request")
        .into_parts();
    let pieces =
        [Ok(br#"{"keys":["b"]}"#.as_slice().into()), Err(std::io::Error::other("the client has left"))];
    let cut = api.control.answer(head, stream::iter(pieces)).await;
    assert_eq!((cut.status().as_u16(), api.verdict("b", api.birth)), (400, Verdict::Valid));
}
