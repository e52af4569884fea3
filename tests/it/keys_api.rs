//! `/api/v1/keys`: what is made works at once, what is revoked opens nothing any more, on every route.

use serde_json::{Value, json};

use crate::support::assets::{Assets, KEY};
use crate::support::edge::eventually;
use crate::support::program::{PICTURE, create_key, now};

const KEYS: &str = "/api/v1/keys";

async fn ask(assets: &Assets, key: &str, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut connection = assets.edge.connect().await;
    let length = body.len().to_string();
    connection.ask(method, target, &[(KEY, key), ("Content-Length", &length)]).await;
    connection.write(body.as_bytes()).await;
    let reply = connection.reply(method).await;
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

async fn make(assets: &Assets, wish: Value) -> Value {
    let (status, key) = ask(assets, &assets.api_key, "POST", KEYS, &wish).await;
    assert_eq!(status, 201, "{wish}: {key}");
    key
}

fn text<'a>(key: &'a Value, name: &str) -> &'a str {
    key[name].as_str().unwrap_or_else(|| panic!("{name} of {key}"))
}

#[tokio::test]
async fn a_key_works_when_it_is_made_and_not_when_it_is_revoked() {
    let assets = Assets::start(&[]).await;
    let id = assets.add("a.jpg", PICTURE, |_| {}).await;
    let reader = make(&assets, json!({ "kind": "api", "name": "shop", "scopes": ["read"] })).await;
    let secret = text(&reader, "secret");
    let original = id.path("original");
    let links = id.path("get_link");
    let statuses = async || {
        let delivered = assets.edge.send("GET", &original, &[(KEY, secret)]).await.status;
        let linked = assets.edge.send("GET", &links, &[(KEY, secret)]).await.status;
        (delivered, linked)
    };
    assert_eq!(statuses().await, (200, 200));
    let (status, refused) = ask(&assets, secret, "GET", KEYS, &Value::Null).await;
    assert_eq!((status, text(&refused, "code")), (403, "scope_missing"));

    let (_, listed) = ask(&assets, &assets.api_key, "GET", KEYS, &Value::Null).await;
    let listed = listed["keys"].as_array().expect("keys");
    assert!(!listed.iter().any(|key| key.get("secret").is_some()), "shown once: {listed:?}");
    let found = listed.iter().find(|key| key["id"] == reader["id"]).expect("listed");
    assert_eq!(
        (&found["name"], &found["scopes"], &found["active"]),
        (&json!("shop"), &json!(["read"]), &json!(true))
    );

    let target = format!("{KEYS}/{}", text(&reader, "id"));
    assert_eq!(ask(&assets, &assets.api_key, "DELETE", &target, &Value::Null).await.0, 204);
    assert_eq!(statuses().await, (403, 401), "at once, on both planes");
    assert_eq!(ask(&assets, &assets.api_key, "DELETE", &target, &Value::Null).await.0, 404);
    assert_eq!(ask(&assets, &assets.api_key, "GET", &target, &Value::Null).await.1["active"], json!(false));
}

#[tokio::test]
async fn nobody_gives_a_right_that_he_lacks() {
    let assets = Assets::start(&[]).await;
    let (_, keeper) = create_key(assets.edge.data_dir(), &["api", "--scopes", "keys,read"]);
    eventually("the key", async || {
        (ask(&assets, &keeper, "GET", KEYS, &Value::Null).await.0 == 200).then_some(())
    })
    .await;
    for (wish, status) in [
        (json!({ "kind": "api" }), 403),
        (json!({ "kind": "api", "scopes": ["*"] }), 403),
        (json!({ "kind": "api", "scopes": ["read", "purge"] }), 403),
        (json!({ "kind": "upload" }), 403),
        (json!({ "kind": "api", "scopes": ["read", "keys"] }), 201),
        (json!({ "kind": "signing" }), 201),
    ] {
        assert_eq!(ask(&assets, &keeper, "POST", KEYS, &wish).await.0, status, "{wish}");
    }
}

#[tokio::test]
async fn a_rotated_key_lives_on_for_the_overlap() {
    let assets = Assets::start(&[]).await;
    let old = make(&assets, json!({ "kind": "api", "name": "shop", "scopes": ["read"] })).await;
    let works = async |key: &Value| {
        let nobody = format!("/api/v1/assets/{}/get_link", "0".repeat(32));
        let reply = assets.edge.send("GET", &nobody, &[(KEY, text(key, "secret"))]).await;
        reply.status == 404
    };
    let rotate = async |key: &Value, body: Value| {
        let target = format!("{KEYS}/{}/rotate", text(key, "id"));
        ask(&assets, &assets.api_key, "POST", &target, &body).await
    };
    let (status, new) = rotate(&old, Value::Null).await;
    assert_eq!((status, &new["name"], &new["scopes"]), (201, &json!("shop"), &json!(["read"])));
    assert!(works(&old).await && works(&new).await && old["secret"] != new["secret"]);
    let target = format!("{KEYS}/{}", text(&old, "id"));
    let (_, ending) = ask(&assets, &assets.api_key, "GET", &target, &Value::Null).await;
    let ends = humantime::parse_rfc3339(text(&ending, "expires_at")).expect("a time");
    let left = ends.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs() - now();
    assert!((86_300..=86_400).contains(&left), "{left}");

    let (_, newer) = rotate(&new, json!({ "overlap_seconds": 0 })).await;
    assert!(!works(&new).await && works(&newer).await, "without overlap it is revoked");
    assert_eq!(rotate(&new, Value::Null).await.0, 404);
    let (status, newest) = rotate(&newer, json!({ "overlap_seconds": 1 })).await;
    assert!(status == 201 && works(&newest).await);
    eventually("the end of the old key", async || (!works(&newer).await).then_some(())).await;
    assert_eq!(rotate(&newest, json!({ "overlap_seconds": 2_592_001 })).await.0, 400);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let assets = Assets::start(&[]).await;
    for wish in [
        json!({}),
        json!({ "kind": "admin" }),
        json!({ "kind": "api", "scopes": ["all"] }),
        json!({ "kind": "api", "origins": ["a.test"] }),
        json!({ "kind": "api", "limits": { "max_files": 1 } }),
        json!({ "kind": "api", "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "kind": "api", "expires_at": "soon" }),
        json!({ "kind": "api", "id": "MINE" }),
        json!({ "kind": "api", "id": "a b", "secret": "0123456789abcdef" }),
        json!({ "kind": "api", "secrets": "x" }),
        json!({ "kind": "upload", "origins": ["a.test"], "any_origin": true }),
        json!({ "kind": "upload", "origins": ["https://a.test/path"] }),
        json!({ "kind": "upload", "limits": { "max_bytes": 0 } }),
        json!({ "kind": "upload", "limits": { "types": ["pictures"] } }),
        json!({ "kind": "upload", "limits": { "bytes": 1 } }),
    ] {
        let (status, refused) = ask(&assets, &assets.api_key, "POST", KEYS, &wish).await;
        assert_eq!((status, &refused["code"]), (400, &json!("bad_request")), "{wish}: {refused}");
    }
    let upload = json!({ "kind": "upload", "origins": ["a.test"], "limits": { "max_bytes": 5, "types": ["image/*"] } });
    let key = make(&assets, upload.clone()).await;
    assert_eq!((&key["origins"], &key["limits"]), (&upload["origins"], &upload["limits"]));
    let brought = json!({ "kind": "signing", "id": "MINE", "secret": "0123456789abcdef", "sha1": true });
    let key = make(&assets, brought.clone()).await;
    assert_eq!(
        (&key["id"], &key["secret"], &key["sha1"]),
        (&json!("MINE"), &brought["secret"], &json!(true))
    );
    assert_eq!(ask(&assets, &assets.api_key, "POST", KEYS, &brought).await.0, 400, "taken");
}
