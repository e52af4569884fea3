//! The description of the API against the API.

use serde_json::Value;

use crate::support::assets::{Assets, KEY};
use crate::support::client::Reply;
use crate::support::program::PICTURE;

async fn send(assets: &Assets, method: &str, target: &str, key: Option<&str>, body: Option<&Value>) -> Reply {
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len().to_string();
    let mut headers = vec![("Content-Length", length.as_str()), ("Content-Type", "application/json")];
    if method == "GET" {
        headers.clear();
    }
    headers.extend(key.map(|key| (KEY, key)));
    let mut connection = assets.edge.connect().await;
    connection.ask(method, target, &headers).await;
    connection.write(body.as_bytes()).await;
    connection.reply(method).await
}

#[tokio::test]
async fn what_is_described_is_there_and_takes_its_own_examples() {
    let presets = [("image.presets.name", "resize=20,"), ("webhooks.schedule", "[\"1h\"]")];
    let assets = Assets::start(&presets).await;
    let described = assets.get("/api/v1/openapi.json").await;
    assert_eq!((described.status, described.header("content-type").as_str()), (200, "application/json"));
    let document: Value = serde_json::from_slice(&described.body).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if path.starts_with("/api/v1/uploads") {
                // The clients of tus speak with it in `tests/it/upload/`.
                continue;
            }
            let id = assets.add("a.jpg", PICTURE, |_| {}).await;
            let of_asset = path.starts_with("/api/v1/assets/");
            let id = if of_asset { id.0.to_string() } else { "nobody".to_owned() };
            let target = path.replace("{id}", &id).replace("{name}", "name").replace("{page}", "1");
            let needed = operation["parameters"].as_array().expect("parameters").iter();
            let needed = needed.filter(|parameter| parameter["name"] == "update_key").count();
            let target = if needed > 0 { format!("{target}?update_key=webhook") } else { target };
            let (method, case) = (method.to_uppercase(), format!("{method} {path}"));
            if operation.get("security").is_some() {
                let refused = send(&assets, &method, &target, None, None).await;
                assert_eq!(refused.status, 401, "{case}: {refused:?}");
            }
            let content = &operation["requestBody"]["content"];
            if content.get("multipart/form-data").is_some() {
                continue;
            }
            let example = content["application/json"].get("example");
            let reply = send(&assets, &method, &target, Some(&assets.api_key), example).await;
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            let is_unknown_id = !of_asset && target.contains("nobody") && reply.status == 404;
            let is_not_deleted = path.ends_with("/undelete") && reply.status == 409;
            if is_unknown_id || is_not_deleted {
                assert!(!text.contains("there is no such path"), "{case}: {text}");
                continue;
            }
            let expected = operation["responses"].as_object().expect("answers");
            assert!(expected.contains_key(&reply.status.to_string()), "{case}: {} {text}", reply.status);
        }
    }
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_script() {
    let assets = Assets::start(&[]).await;
    let page = assets.get("/api/v1/docs").await;
    let text = String::from_utf8(page.body.clone()).expect("text");
    assert_eq!((page.status, page.header("content-type").as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").contains("script-src 'self'"), "{page:?}");
    let sources: Vec<&str> = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(sources, ["/api/v1/docs.js"]);
    assert!(!text.contains("http://") && !text.contains("https://"), "nothing from elsewhere");
    let script = assets.get(sources[0]).await;
    assert_eq!(
        (script.status, script.header("content-type").as_str()),
        (200, "text/javascript; charset=utf-8")
    );
}
