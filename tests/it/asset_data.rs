//! The Data API of the running server, with either database: assets are read, changed, searched, deleted.

use kinora::metadata::{Asset, AssetStatus, Catalog, Config, Conversion, EventKind, KeyKind, NewKey};
use kinora::origin::ObjectKey;
use kinora::request::AssetId;
use kinora::setting::Secret;
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::postgres;
use crate::support::program::{PICTURE, now};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::$name(super::Bench::start("sqlite:kinora.sqlite").await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$name(super::Bench::start(&super::postgres::database().await).await).await;
            }
        }
    )*};
}

on_both!(
    data_is_read_and_updated,
    what_cannot_be_data_is_refused,
    two_writers_do_not_overwrite_each_other,
    data_is_held_to_its_schema,
    data_of_new_assets_is_held_to_the_same_rules,
    assets_are_listed_and_found_page_by_page,
    an_asset_goes_into_the_trash_comes_back_and_goes_for_good,
    conversions_go_alone,
    only_keys_with_the_right_scope_are_let_in,
);

struct Bench {
    edge: Edge,
    catalog: Catalog,
    key: String,
}

impl Bench {
    async fn start(url: &str) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let config = Config { url: Secret::new(url) };
        let catalog = Catalog::open(&config, data.path()).await.expect("open");
        let key = catalog.create_key(&NewKey::of(KeyKind::Api), 1).await.expect("made");
        let edge = Edge::start_in(data, &[("catalog.url", url)]);
        Self { edge, catalog, key: key.secret.expose().to_owned() }
    }

    /// Puts assets there, as uploads do.
    async fn put(&self, assets: &[Asset]) {
        self.catalog.insert_assets(assets, EventKind::FileSaved, now()).await.expect("inserted");
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut connection = self.edge.connect().await;
        let length = body.len().to_string();
        let ours = [("X-FileSpin-Api-Key", self.key.as_str()), ("Content-Length", &length)];
        connection.ask(method, &format!("/api/v1{target}"), &[&ours, headers].concat()).await;
        connection.write(body.as_bytes()).await;
        connection.reply(method).await
    }

    /// What is answered, which has to be a success.
    async fn ask(&self, method: &str, target: &str, body: Value) -> Value {
        let reply = self.send(method, target, &[], &text(&body)).await;
        assert!((200..300).contains(&reply.status), "{method} {target} {body}: {reply:?}");
        json_of(&reply)
    }

    /// Status and code of what has to be refused.
    async fn refused(&self, method: &str, target: &str, body: Value) -> (u16, String) {
        let reply = self.send(method, target, &[], &text(&body)).await;
        assert!(reply.status >= 400, "{method} {target} {body}: {reply:?}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{method} {target} {body}");
        (reply.status, reply.code())
    }
}

fn text(body: &Value) -> String {
    if body.is_null() { String::new() } else { body.to_string() }
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("JSON")
}

fn id(number: u8) -> AssetId {
    AssetId::new([number; 16])
}

fn path(number: u8, rest: &str) -> String {
    format!("/assets/{}{rest}", id(number))
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn asset(number: u8, name: &str) -> Asset {
    Asset {
        status: AssetStatus::Ok,
        size: u64::from(number) * 1000,
        content_type: "image/jpeg".to_owned(),
        storage_type: "directory".to_owned(),
        bucket: "bucket".to_owned(),
        key: Some(ObjectKey::new(format!("kinora/{}/1/{name}", id(number))).expect("a key")),
        public: true,
        ..Asset::new(id(number), name, 1_700_000_000 + u64::from(number))
    }
}

async fn data_is_read_and_updated(bench: Bench) {
    bench.put(&[asset(1, "cat.jpg")]).await;
    let reply = bench.send("GET", &path(1, "/data"), &[], "").await;
    assert_eq!((reply.status, reply.header("etag").as_str()), (200, "\"1\""), "{reply:?}");
    assert_eq!(reply.header("cache-control"), "private, no-cache");
    let json = json_of(&reply);
    assert_eq!((&json["id"], &json["name"]), (&json!(id(1).to_string()), &json!("cat.jpg")));
    assert_eq!(reply.body, bench.catalog.asset(&id(1)).await.expect("read").expect("there").body());
    for (tag, status) in [("\"1\"", 304), ("\"2\", \"1\"", 304), ("*", 304), ("\"2\"", 200)] {
        let reply = bench.send("GET", &path(1, "/data"), &[("If-None-Match", tag)], "").await;
        assert_eq!((reply.status, reply.header("etag").as_str()), (status, "\"1\""), "{tag}");
        assert_eq!(reply.body.is_empty(), status == 304, "{tag}");
    }

    let update = path(1, "/data/update");
    let updated = bench.ask("POST", &update, json!({ "data": { "title": "Cat", "tags": ["a"] } })).await;
    assert_eq!(updated["data"], json!({ "title": "Cat", "tags": ["a"] }));
    let keys = bench.catalog.keys().await.expect("listed");
    assert_eq!(updated["update_user_id"], json!(keys[0].id), "the only key");
    let updated = bench.ask("POST", &update, json!({ "data": { "title": "Dog" }, "mode": "APPEND" })).await;
    assert_eq!(updated["data"], json!({ "title": "Dog", "tags": ["a"] }));
    let reply =
        bench.send("POST", &format!("{update}?async=1"), &[], r#"{"data":{"n":1},"mode":"REPLACE"}"#).await;
    assert_eq!((reply.status, reply.header("etag").as_str()), (202, "\"4\""), "{reply:?}");
    assert_eq!(bench.ask("GET", &path(1, "/data"), Value::Null).await["data"], json!({ "n": 1 }));
    let events =
        bench.catalog.events(Some(EventKind::FileDataUpdated), None, u64::MAX, 10).await.expect("read");
    assert_eq!(events.len(), 3, "each is told");
}

async fn what_cannot_be_data_is_refused(bench: Bench) {
    bench.put(&[asset(1, "cat.jpg"), Asset { status: AssetStatus::NotReady, ..asset(2, "later.jpg") }]).await;
    let update = path(1, "/data/update");
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    for (number, query, body, expected) in [
        (2, "", json!({ "data": {} }), (400, "data_not_ready")),
        (3, "", json!({ "data": {} }), (404, "not_found")),
        (1, "?async=2", json!({ "data": {} }), (400, "bad_request")),
        (1, "?sync=1", json!({ "data": {} }), (400, "bad_request")),
        (1, "", Value::Null, (400, "bad_request")),
        (1, "", json!({}), (400, "bad_request")),
        (1, "", json!({ "data": [] }), (400, "bad_request")),
        (1, "", json!({ "data": {}, "mode": "append" }), (400, "bad_request")),
        (1, "", json!({ "data": {}, "dat": {} }), (400, "bad_request")),
        (1, "", json!({ "data": { "_filespin_x": 1 } }), (400, "invalid_data")),
        (1, "", json!({ "data": { "_kinora": 1 } }), (400, "invalid_data")),
        (1, "", json!({ "data": { "a": "x".repeat(17_000) } }), (400, "invalid_data")),
        (
            1,
            "",
            json!({ "data": { "a": serde_json::from_str::<Value>(&deep).expect("JSON") } }),
            (400, "invalid_data"),
        ),
        (1, "", json!({ "data": {}, "data_schema_id": 77 }), (400, "invalid_data")),
    ] {
        let target = path(number, &format!("/data/update{query}"));
        assert_eq!(
            bench.refused("POST", &target, body.clone()).await,
            refusal(expected.0, expected.1),
            "{body}"
        );
    }
    let nested = format!("{{\"data\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(bench.send("POST", &update, &[], &nested).await.code(), "bad_request");
    for target in ["/assets/0123/data", "/assets/%00/data", &path(9, "/data")] {
        assert_eq!(bench.refused("GET", target, Value::Null).await, refusal(404, "not_found"), "{target}");
    }
    let reply = bench.send("PUT", &path(1, "/data"), &[], "").await;
    assert_eq!((reply.status, reply.header("allow").as_str()), (405, "GET, HEAD"));
}

async fn two_writers_do_not_overwrite_each_other(bench: Bench) {
    bench.put(&[asset(1, "cat.jpg")]).await;
    let update = path(1, "/data/update");
    let write = async |tag: &str, body: &str| bench.send("POST", &update, &[("If-Match", tag)], body).await;
    assert_eq!(write("\"1\"", r#"{"data":{"by":"first"}}"#).await.header("etag"), "\"2\"");
    let late = write("\"1\"", r#"{"data":{"by":"second"}}"#).await;
    assert_eq!((late.status, late.code().as_str()), (412, "version_conflict"), "{late:?}");
    assert_eq!(bench.ask("GET", &path(1, "/data"), Value::Null).await["data"], json!({ "by": "first" }));
    // At the same time, none is lost.
    let writes = (0..20).map(|number| {
        let body = format!(r#"{{"data":{{"n{number}":1}}}}"#);
        let (bench, update) = (&bench, &update);
        async move { bench.send("POST", update, &[], &body).await.status }
    });
    let statuses = futures::future::join_all(writes).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let json = bench.ask("GET", &path(1, "/data"), Value::Null).await;
    assert_eq!(json["data"].as_object().map(serde_json::Map::len), Some(21));
}

async fn data_is_held_to_its_schema(bench: Bench) {
    bench.put(&[asset(1, "cat.jpg"), asset(2, "dog.jpg")]).await;
    let schema = json!({
        "type": "object", "required": ["color"],
        "properties": { "color": { "type": "string", "filespin_properties": { "searchable": true } } },
    });
    let made = bench.ask("POST", "/assetschemas", json!({ "name": { "en": "Pet" }, "schema": schema })).await;
    let number = made["id"].as_i64().expect("a number");
    let own = format!("/assetschemas/{number}");
    assert_eq!(bench.ask("GET", &own, Value::Null).await, made);
    assert_eq!((&made["status"], &made["schema"]), (&json!("ACTIVE"), &schema));
    let listed = bench.ask("GET", "/assetschemas?limit=10", Value::Null).await;
    assert_eq!(listed, json!({ "schemas": [made], "cursor": null }));

    let update = path(1, "/data/update");
    let with = |data: Value| json!({ "data": data, "data_schema_id": number });
    assert_eq!(
        bench.refused("POST", &update, with(json!({ "color": 1 }))).await,
        refusal(400, "invalid_data")
    );
    let fine = bench.ask("POST", &update, with(json!({ "color": "Red" }))).await;
    assert_eq!(fine["data_schema_id"], json!(number));
    // The schema stays, and what is written later is held to it.
    let later = json!({ "data": { "color": null } });
    assert_eq!(bench.refused("POST", &update, later).await, refusal(400, "invalid_data"));
    bench.ask("POST", &format!("{}?async=1", path(2, "/data/update")), with(json!({ "color": 1 }))).await;
    let criteria = json!({ "schema_criteria": { "data_schema_id": number, "fields": { "color": "red" } } });
    let found = bench.ask("POST", "/search", criteria).await;
    assert_eq!(found["result"], json!([id(1).to_string()]), "what does not fit is kept and not found by it");

    let inactive = bench.ask("PATCH", &own, json!({ "status": "INACTIVE" })).await;
    assert_eq!((&inactive["status"], &inactive["schema"]), (&json!("INACTIVE"), &schema));
    bench.ask("POST", &update, json!({ "data": { "color": "blue" } })).await;
    bench.put(&[asset(3, "new.jpg")]).await;
    let begun = bench.refused("POST", &path(3, "/data/update"), with(json!({ "color": "red" }))).await;
    assert_eq!(begun, refusal(400, "invalid_data"));
    for (body, code) in [
        (json!({ "name": {}, "schema": {} }), "bad_request"),
        (json!({ "name": { "en": "" }, "schema": {} }), "bad_request"),
        (json!({ "name": { "en": "A" }, "schema": [] }), "invalid_schema"),
        (json!({ "name": { "en": "A" }, "schema": { "$ref": "http://127.0.0.1/x" } }), "invalid_schema"),
        (json!({ "name": { "en": "A" }, "schema": { "type": "colour" } }), "invalid_schema"),
    ] {
        assert_eq!(bench.refused("POST", "/assetschemas", body.clone()).await, refusal(400, code), "{body}");
    }
    assert_eq!(bench.refused("GET", "/assetschemas/99", Value::Null).await, refusal(404, "not_found"));
}

async fn data_of_new_assets_is_held_to_the_same_rules(bench: Bench) {
    let upload = async |about: Value| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"custom_metadata\"\r\n\r\n{about}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n"
        );
        let form = ("Content-Type", "multipart/form-data; boundary=b");
        bench.send("POST", "/assets/new/content/original/upload", &[form], &body).await
    };
    let bad = [
        json!({ "data": { "_kinora": 1 } }),
        json!({ "data": { "a": "x".repeat(17_000) } }),
        json!({ "data": {}, "data_schema_id": 77 }),
    ];
    for about in bad {
        let reply = upload(about.clone()).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_data"), "{about}");
        let wish = json!({ "key": "https://a.example.org/a.jpg", "custom_metadata": about });
        let refused = bench.refused("POST", "/assets/new/content/original/external", wish).await;
        assert_eq!(refused, refusal(400, "invalid_data"), "{about}");
    }
    assert_eq!(bench.ask("GET", "/assets", Value::Null).await["assets"], json!([]));
    let reply = upload(json!({ "data": { "title": "Letter" } })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let found = bench.ask("POST", "/search", json!({ "keyword": "letter" })).await;
    assert_eq!(found["result"], json!([json_of(&reply)["files"][0]["id"]]));
}

async fn assets_are_listed_and_found_page_by_page(bench: Bench) {
    let assets: Vec<_> = (1..=5).map(|number| asset(number, &format!("Zürich {number}.jpg"))).collect();
    bench.put(&assets).await;
    let ids =
        |numbers: &[u8]| json!(numbers.iter().map(|number| id(*number).to_string()).collect::<Vec<_>>());
    let (mut seen, mut target) = (Vec::new(), "/assets?limit=2".to_owned());
    loop {
        let page = bench.ask("GET", &target, Value::Null).await;
        seen.extend(page["assets"].as_array().expect("a list").iter().map(|asset| asset["id"].clone()));
        let Some(cursor) = page["cursor"].as_u64() else { break };
        target = format!("/assets?limit=2&cursor={cursor}");
    }
    assert_eq!(json!(seen), ids(&[5, 4, 3, 2, 1]));

    let wish = json!({ "keyword": "zurich", "file_size_range": { "start": 2000 }, "limit_per_page": 2 });
    let first = bench.ask("POST", "/search", wish).await;
    assert_eq!((&first["result"], &first["total_pages"]), (&ids(&[5, 4]), &json!(2)));
    let result = first["search_result_id"].as_str().expect("an id");
    bench.put(&[asset(9, "Zürich 9.jpg")]).await;
    let page = async |page: &str| bench.ask("GET", &format!("/search/{result}/{page}"), Value::Null).await;
    assert_eq!(page("2").await["result"], ids(&[3, 2]), "as it was when it was asked for");
    assert_eq!(page("1").await, first);
    assert_eq!(page("3").await["result"], json!([]));
    for target in ["/search/unknown/1", &format!("/search/{result}/0"), &format!("/search/{result}/x")] {
        assert_eq!(bench.refused("GET", target, Value::Null).await, refusal(404, "not_found"), "{target}");
    }
    for body in [Value::Null, json!([]), json!({ "keywords": "a" }), json!({ "limit_per_page": 0 })] {
        assert_eq!(
            bench.refused("POST", "/search", body.clone()).await,
            refusal(400, "bad_request"),
            "{body}"
        );
    }
    for target in ["/assets?limit=0", "/assets?limit=201", "/assets?page=2", "/assets?cursor=x"] {
        assert_eq!(bench.refused("GET", target, Value::Null).await, refusal(400, "bad_request"), "{target}");
    }
}

async fn an_asset_goes_into_the_trash_comes_back_and_goes_for_good(bench: Bench) {
    let asset = asset(1, "cat.jpg");
    let object = asset.key.clone().expect("a key").as_str().to_owned();
    bench.edge.put(&object, PICTURE);
    bench.put(&[asset]).await;
    let picture = async || bench.edge.get(&format!("/api/v1{}", path(1, "/conversions?resize=50,50"))).await;
    assert_eq!(picture().await.status, 200);
    let deleted = bench.ask("DELETE", &path(1, ""), Value::Null).await;
    let expected = json!({
        "id": id(1).to_string(), "keys": ["original"], "status": "OK", "message": "deleted", "errors": {},
    });
    assert_eq!(deleted, expected);
    assert_eq!(picture().await.code(), "deleted", "at once");
    for (method, target, body) in [
        ("GET", path(1, "/data"), Value::Null),
        ("POST", path(1, "/data/update"), json!({ "data": {} })),
        ("DELETE", path(1, ""), Value::Null),
        ("DELETE", path(1, ""), json!({ "keys": ["a"] })),
    ] {
        assert_eq!(bench.refused(method, &target, body).await, refusal(410, "deleted"), "{method} {target}");
    }
    assert_eq!(bench.ask("POST", "/search", json!({})).await["result"], json!([]));
    let trashed = bench.ask("POST", "/search", json!({ "trashed": true })).await;
    assert_eq!(trashed["result"], json!([id(1).to_string()]));

    bench.ask("POST", &path(1, "/undelete"), Value::Null).await;
    assert_eq!(picture().await.status, 200);
    assert_eq!(bench.refused("POST", &path(1, "/undelete"), Value::Null).await, refusal(409, "not_deleted"));

    bench.ask("POST", &path(1, "/purge"), Value::Null).await;
    assert_eq!(picture().await.status, 404);
    assert!(!bench.edge.bucket().join(&object).exists(), "the object too");
    for target in ["/data", "/undelete", "/purge"] {
        let method = if target == "/data" { "GET" } else { "POST" };
        assert_eq!(
            bench.refused(method, &path(1, target), Value::Null).await,
            refusal(404, "not_found"),
            "{target}"
        );
    }
    let events = bench.catalog.events(None, Some(&id(1)), u64::MAX, 10).await.expect("read");
    let kinds: Vec<_> = events.iter().rev().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["file-saved", "file-deleted", "file-undeleted", "file-deleted"]);
}

async fn conversions_go_alone(bench: Bench) {
    let conversion = |name: &str, key: &str| Conversion {
        name: name.to_owned(),
        storage_type: "directory".to_owned(),
        bucket: "bucket".to_owned(),
        key: Some(key.to_owned()),
        width: None,
        height: None,
        duration: None,
        size: 1,
        content_type: "image/jpeg".to_owned(),
        public: true,
        watermarked: false,
        status: AssetStatus::Ok,
        error: None,
    };
    let ours = format!("kinora/{}/own/small.jpg", id(1));
    bench.edge.put(&ours, PICTURE);
    bench.edge.put("theirs.jpg", PICTURE);
    let conversions =
        vec![conversion("small", &ours), conversion("other", "theirs.jpg"), conversion("last", "x.jpg")];
    bench.put(&[Asset { conversions, ..asset(1, "cat.jpg") }]).await;
    let done = bench.ask("DELETE", &path(1, ""), json!({ "keys": ["small", "other", "none"] })).await;
    assert_eq!((&done["status"], &done["keys"]), (&json!("MAYBE"), &json!(["small", "other"])));
    assert_eq!(done["errors"], json!({ "none": "there is no such conversion" }));
    let json = bench.ask("GET", &path(1, "/data"), Value::Null).await;
    let left: Vec<_> = json["conversions"].as_object().expect("by name").keys().collect();
    assert_eq!(left, ["last"]);
    assert!(!bench.edge.bucket().join(&ours).exists());
    assert!(bench.edge.bucket().join("theirs.jpg").exists(), "what was there before us stays");
    let nothing = bench.refused("DELETE", &path(1, ""), json!({ "keys": ["small"] })).await;
    assert_eq!(nothing, refusal(404, "not_found"));
    bench.ask("DELETE", &path(1, ""), json!({ "keys": ["last", "original"] })).await;
    assert_eq!(bench.refused("GET", &path(1, "/data"), Value::Null).await, refusal(410, "deleted"));
}

async fn only_keys_with_the_right_scope_are_let_in(mut bench: Bench) {
    bench.put(&[asset(1, "cat.jpg")]).await;
    let all = bench.key.clone();
    let reading = [
        ("GET", path(1, "/data")),
        ("GET", "/assets".to_owned()),
        ("POST", "/search".to_owned()),
        ("GET", "/search/x/1".to_owned()),
        ("GET", "/assetschemas".to_owned()),
        ("GET", "/assetschemas/1".to_owned()),
    ];
    let writing = [
        ("POST", path(1, "/data/update")),
        ("POST", "/assetschemas".to_owned()),
        ("PATCH", "/assetschemas/1".to_owned()),
        ("DELETE", path(1, "")),
        ("POST", path(1, "/undelete")),
        ("POST", path(1, "/purge")),
    ];
    for (scope, refused) in [("read", &writing), ("write", &reading)] {
        let wish = NewKey { scopes: vec![scope.to_owned()], ..NewKey::of(KeyKind::Api) };
        let issued = bench.catalog.create_key(&wish, 1).await.expect("made");
        bench.key = issued.secret.expose().to_owned();
        crate::support::edge::eventually("the key", async || {
            let reply = bench.send("GET", "/assets", &[], "").await;
            (reply.status != 401).then_some(())
        })
        .await;
        for (method, target) in refused {
            assert_eq!(
                bench.refused(method, target, json!({})).await,
                refusal(403, "scope_missing"),
                "{target}"
            );
        }
    }
    bench.key = "key-of-nobody-known".to_owned();
    for (method, target) in reading.iter().chain(&writing) {
        assert_eq!(
            bench.refused(method, target, json!({})).await,
            refusal(401, "api_key_needed"),
            "{target}"
        );
    }
    bench.key = all;
    assert_eq!(
        bench.ask("GET", &path(1, "/data"), Value::Null).await["status"],
        json!("OK"),
        "nothing was done"
    );
}
