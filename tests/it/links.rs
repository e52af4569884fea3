//! Get Link: what a key's holder hands out to those who have none.

use kinora::metadata::AssetStatus;
use serde_json::{Value, json};

use crate::support::assets::{Assets, KEY};
use crate::support::client::Reply;
use crate::support::program::{ACCESS_ID, PICTURE, create_key, now};

async fn link(assets: &Assets, path: &str) -> Value {
    let reply = assets.get_with_key(path).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// Follows a link as its receiver does: by the text of its URL alone.
async fn follow(assets: &Assets, link: &Value) -> Reply {
    let url = link["url"].as_str().expect("a URL");
    let target = url.strip_prefix("http://edge.test").expect("the host that was asked");
    assets.get(target).await
}

async fn post(assets: &Assets, target: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let mut connection = assets.edge.connect().await;
    let length = body.len().to_string();
    connection.ask("POST", target, &[(KEY, &assets.api_key), ("Content-Length", &length)]).await;
    connection.write(body.as_bytes()).await;
    let reply = connection.reply("POST").await;
    (reply.status, serde_json::from_slice(&reply.body).expect("JSON"))
}

#[tokio::test]
async fn a_link_works_without_a_key_until_it_expires() {
    let presets = [("image.presets.small", "resize=120,120&format=png")];
    let assets = Assets::start(&presets).await;
    let id = assets.add("Z\u{fc}rich.jpg", PICTURE, |asset| asset.public = false).await;

    let original = link(&assets, &id.path("get_link")).await;
    assert_eq!((&original["id"], &original["key"]), (&json!(id.0.to_string()), &json!("original")));
    let reply = follow(&assets, &original).await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, PICTURE));
    let name = "attachment; filename=\"Z_rich.jpg\"; filename*=UTF-8''Z%C3%BCrich.jpg";
    assert_eq!(reply.header("content-disposition"), name, "a download unless it says otherwise");
    let expires =
        humantime::parse_rfc3339(original["expires_at"].as_str().expect("a time")).expect("ISO 8601");
    let lives = expires.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs() - now();
    assert!((590..=600).contains(&lives), "{lives}");

    let shown = link(&assets, &id.path("get_link?key=small&delivery=display&expiry=60")).await;
    let reply = follow(&assets, &shown).await;
    assert_eq!((reply.status, reply.has("content-disposition")), (200, false));
    assert_eq!(reply.header("content-type"), "image/png");

    let longest = link(&assets, &id.path("get_link?expiry=MAX")).await;
    assert_eq!(longest["expires_at"], "2038-01-19T03:14:07Z");
    let url = longest["url"].as_str().expect("a URL");
    assert!(url.contains(&format!("&expiry=2147483647&accessId={ACCESS_ID}&signature=")), "{url}");
    let longer = url.replace("expiry=2147483647", "expiry=2147483648");
    assert_eq!(
        assets.get(longer.strip_prefix("http://edge.test").expect("ours")).await.code(),
        "bad_signature"
    );
}

#[tokio::test]
async fn a_link_is_signed_with_the_key_that_is_named_or_the_newest() {
    let assets = Assets::start(&[("server.public_url", "https://media.example.org")]).await;
    let id = assets.add("a.jpg", PICTURE, |_| {}).await;
    let by = |link: &Value, access_id: &str| {
        let url = link["url"].as_str().expect("a URL");
        assert!(url.starts_with("https://media.example.org/api/v1/assets/"), "{url}");
        assert!(url.contains(&format!("accessId={access_id}&")), "{url}");
    };
    by(&link(&assets, &id.path("get_link")).await, ACCESS_ID);
    let (newer, _) = create_key(assets.edge.data_dir(), &["signing"]);
    crate::support::edge::eventually("the new key", async || {
        let reply = assets.get_with_key(&id.path(&format!("get_link?accessId={newer}"))).await;
        (reply.status == 200).then_some(())
    })
    .await;
    by(&link(&assets, &id.path("get_link")).await, &newer);
    by(&link(&assets, &id.path(&format!("get_link?accessId={ACCESS_ID}"))).await, ACCESS_ID);
    let unknown = assets.get_with_key(&id.path("get_link?accessId=NOBODY")).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "bad_request"));
}

#[tokio::test]
async fn what_has_no_link_says_why() {
    let assets = Assets::start(&[]).await;
    let id = assets.add("a.jpg", PICTURE, |_| {}).await;
    let arriving = assets
        .add("b.jpg", b"", |asset| {
            asset.status = AssetStatus::NotReady;
            asset.key = None;
        })
        .await;
    let deleted = assets.add("c.jpg", PICTURE, |_| {}).await;
    assets.catalog.delete_asset(&deleted.0, None, now()).await.expect("deleted");
    let nobody = format!("/api/v1/assets/{}/get_link", "0".repeat(32));
    for (target, expected) in [
        (nobody, (404, "not_found")),
        (id.path("get_link?key=720p-video"), (404, "not_found")),
        (id.path("get_link?key=../x"), (404, "not_found")),
        (arriving.path("get_link"), (409, "not_stored")),
        (deleted.path("get_link"), (410, "deleted")),
        (id.path("get_link?expiry=0"), (400, "bad_option")),
        (id.path("get_link?delivery=inline"), (400, "bad_option")),
        (id.path("get_link?link_type=object_storage"), (400, "bad_request")),
    ] {
        let reply = assets.get_with_key(&target).await;
        assert_eq!((reply.status, reply.code().as_str()), expected, "{target}");
        assert_eq!(assets.get(&target).await.status, 401, "{target}");
    }
}

#[tokio::test]
async fn many_links_are_made_at_once_each_for_itself() {
    let assets = Assets::start(&[]).await;
    let id = assets.add("a.jpg", PICTURE, |_| {}).await;
    let (ours, nobody) = (id.0.to_string(), "0".repeat(32));
    let target = "/api/v1/assets/get_link?delivery=display";
    let (status, answer) = post(&assets, target, &json!([ours, nobody, "nonsense", ours])).await;
    let links = answer["links"].as_array().expect("links");
    assert_eq!((status, links.len()), (200, 4));
    for (link, id, error) in [
        (&links[0], ours.as_str(), Value::Null),
        (&links[1], &nobody, json!("not_found")),
        (&links[2], "nonsense", json!("not_found")),
        (&links[3], &ours, Value::Null),
    ] {
        assert_eq!((&link["id"], &link["error"]), (&json!(id), &error));
        assert_eq!(link["url"].is_string(), error.is_null());
    }
    assert_eq!(follow(&assets, &links[3]).await.body, PICTURE);
    assert_eq!(post(&assets, target, &json!(vec![&ours; 100])).await.0, 200);
    let (status, refused) = post(&assets, target, &json!(vec![&ours; 101])).await;
    assert_eq!((status, &refused["code"]), (400, &json!("bad_request")));
    assert_eq!(post(&assets, target, &json!([])).await.1, json!({ "links": [] }));
    for bad in [json!({}), json!("a"), json!([1]), Value::Null] {
        assert_eq!(post(&assets, target, &bad).await.0, 400, "{bad}");
    }
}
