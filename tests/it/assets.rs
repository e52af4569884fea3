//! The delivery of assets: pictures, presets, originals, and who may have them.

use kinora::metadata::{AssetStatus, Conversion};
use kinora::origin::ObjectKey;
use kinora::signature::sign_token;

use crate::support::assets::{Assets, Id, KEY};
use crate::support::edge::eventually;
use crate::support::picture::{jpeg, read};
use crate::support::program::{PICTURE, now, signed, signing_key};

#[tokio::test]
async fn a_picture_of_an_asset_is_one_of_its_object() {
    let assets = Assets::start(&[]).await;
    let id = assets.add("cat.jpg", PICTURE, |_| {}).await;
    let target = id.path("conversions?resize=300,300&format=webp");
    let reply = assets.get(&target).await;
    let probe = read(&reply.body);
    assert_eq!((reply.status, probe.width, reply.header("content-type").as_str()), (200, 300, "image/webp"));
    assert_eq!(reply.header("cache-tag"), id.0.to_string());
    assert!(reply.header("cache-status").contains("fwd=miss"), "{reply:?}");
    let older = assets.get(&format!("/api/v1/conversion/{}?format=webp&resize=300,300", id.0)).await;
    assert!(older.header("cache-status").contains("; hit"), "{older:?}");
    assert_eq!((&older.body, older.header("etag")), (&reply.body, reply.header("etag")));
    let part = assets.edge.send("GET", &target, &[("Range", "bytes=0-9")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &reply.body[..10]));
    let same = assets.edge.send("GET", &target, &[("If-None-Match", &reply.header("etag"))]).await;
    assert_eq!(same.status, 304);
    assert_eq!(assets.edge.renders().await, 1);

    let whole = assets.edge.send("GET", &id.path("conversions"), &[("Accept", "image/webp,*/*")]).await;
    assert_eq!(
        (whole.header("content-type").as_str(), whole.header("vary").as_str()),
        ("image/webp", "Accept")
    );
    let download = assets.get(&id.path("conversions?format=png&resize=20,&delivery=download")).await;
    assert_eq!(download.header("content-disposition"), "attachment; filename=\"cat.jpg\"");

    for method in ["POST", "PUT", "DELETE"] {
        let reply = assets.edge.send(method, &target, &[(KEY, &assets.api_key)]).await;
        assert_eq!((reply.status, reply.header("allow").as_str()), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    let preflight = assets.edge.send("OPTIONS", &target, &[("Origin", "https://a.test")]).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin").as_str()), (204, "*"));
    let hidden = assets.get(&format!("/media/kinora/{}/1/cat.jpg", id.0)).await;
    assert_eq!((hidden.status, hidden.code().as_str()), (404, "not_found"), "it has no URL of its own");
}

#[tokio::test]
async fn presets_are_options_under_a_name() {
    let presets = [
        ("image.presets.small", "resize=120,120&format=png"),
        ("image.presets.fixed", "resize=50,50&format=png&locked=1"),
    ];
    let assets = Assets::start(&presets).await;
    let id = assets.add("cat.jpg", PICTURE, |_| {}).await;
    let width = async |path: &str| {
        let reply = assets.get(&id.path(path)).await;
        if reply.status == 200 { Ok(read(&reply.body).width) } else { Err((reply.status, reply.code())) }
    };
    let refused = |status, code: &str| Err((status, code.to_owned()));
    assert_eq!(width("conversions/small").await, Ok(120));
    assert_eq!(width("conversions/small?resize=60,60").await, Ok(60), "the URL leads");
    assert_eq!(width("conversions/fixed").await, Ok(50));
    assert_eq!(width("conversions/fixed?delivery=download").await, Ok(50));
    assert_eq!(width("conversions/fixed?resize=60,60").await, refused(400, "option_not_permitted"));
    assert_eq!(width("conversions/small?crop=60,60").await, refused(400, "conflicting_options"));
    assert_eq!(width("conversions/large").await, refused(404, "not_found"));

    let assets = Assets::start(&[presets[0], ("delivery.presets_only", "true")]).await;
    let id = assets.add("cat.jpg", PICTURE, |_| {}).await;
    assets.edge.put("a.jpg", PICTURE);
    for (target, status) in [
        (id.path("conversions/small"), 200),
        (id.path("conversions/small?quality=80"), 400),
        (id.path("conversions?quality=80"), 400),
        ("/media/a.jpg?quality=80".to_owned(), 400),
        ("/media/a.jpg".to_owned(), 200),
    ] {
        assert_eq!(assets.get(&target).await.status, status, "{target}");
    }
}

#[tokio::test]
async fn what_is_private_needs_proof_and_so_does_every_original() {
    let assets = Assets::start(&[]).await;
    let open = assets.add("a.jpg", PICTURE, |_| {}).await;
    let closed = assets.add("b.jpg", PICTURE, |asset| asset.public = false).await;
    let token = |id: &Id, kinds: &str| {
        let prefix = format!("api/v1/assets/{}", id.0);
        let kinds = kinds.parse().expect("kinds");
        format!("/~{}", sign_token(&prefix, kinds, now() + 100, &signing_key()).expect("signed"))
    };
    let (picture, original) = ("conversions?resize=20,&format=png", "original");
    for (id, path, bare) in
        [(&open, picture, 200), (&open, original, 401), (&closed, picture, 401), (&closed, original, 401)]
    {
        let target = id.path(path);
        let case = format!("{bare} {path}");
        for round in 0..2 {
            let reply = assets.get(&target).await;
            let code = if bare == 401 { "signature_missing" } else { "" };
            assert_eq!((reply.status, reply.header("kinora-error").as_str()), (bare, code), "{case} {round}");
            assert_eq!(assets.get_signed(&target).await.status, 200, "{case} {round}");
        }
        let with_key = assets.get_with_key(&target).await;
        let control = with_key.header("cache-control");
        assert!(with_key.status == 200 && control.contains("private"), "{case} {with_key:?}");
        let kinds = if path == original { "o" } else { "i" };
        let with_token = assets.get(&format!("{}{target}", token(id, kinds))).await;
        assert_eq!(with_token.status, 200, "{case}");
        let other = if path == original { "i" } else { "o" };
        let with_token = assets.get(&format!("{}{target}", token(id, other))).await;
        assert_eq!((with_token.status, with_token.code().as_str()), (403, "not_permitted"), "{case}");
        let altered = signed(&target, 100).replace("signature=", "signature=A");
        assert_eq!(assets.get(&altered).await.code(), "bad_signature", "{case}");
        assert_eq!(assets.get(&signed(&target, -1)).await.code(), "expired", "{case}");
        let foreign = assets.edge.send("GET", &target, &[(KEY, "of a stranger")]).await;
        assert_eq!(foreign.status == 200, bare == 200, "{case} {foreign:?}");
    }
    let stolen = assets.get(&format!("{}{}", token(&open, "i"), closed.path(picture))).await;
    assert_eq!(stolen.code(), "bad_signature", "another asset's");
    let older = assets.get_signed(&format!("/api/v1/conversion/{}?resize=20,", closed.0)).await;
    assert_eq!(older.status, 200);

    assets.change(&open, |asset| asset.public = false).await;
    assets.until(&open.path(picture), 401).await;
    assets.change(&closed, |asset| asset.public = true).await;
    assets.until(&closed.path(picture), 200).await;

    let all_closed = Assets::start(&[("delivery.public_by_default", "false")]).await;
    let id = all_closed.add("a.jpg", PICTURE, |_| {}).await;
    assert_eq!(all_closed.get(&id.path(picture)).await.status, 401);
    assert_eq!(all_closed.get_signed(&id.path(picture)).await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_says_why_to_those_who_may_know() {
    let assets = Assets::start(&[]).await;
    let ready = assets.add("a.jpg", PICTURE, |_| {}).await;
    let arriving = assets
        .add("b.jpg", b"", |asset| {
            asset.status = AssetStatus::NotReady;
            asset.key = None;
        })
        .await;
    let closed = assets.add("c.jpg", PICTURE, |asset| asset.public = false).await;
    let code = async |target: &str| {
        let reply = assets.get(target).await;
        (reply.status, reply.code())
    };
    let is = |status, code: &str| (status, code.to_owned());
    let nobody = format!("/api/v1/assets/{}/conversions", "0".repeat(32));
    assert_eq!(code(&nobody).await, is(404, "not_found"));
    assert_eq!(code("/api/v1/assets/nonsense/conversions").await, is(404, "not_found"));
    assert_eq!(code(&arriving.path("conversions")).await, is(409, "not_stored"));
    assert_eq!(assets.get(&ready.path("conversions?format=png&resize=9,")).await.status, 200);
    for id in [&ready, &closed] {
        assets.catalog.delete_asset(&id.0, None, now()).await.expect("deleted");
    }
    let gone = assets.until(&ready.path("conversions?format=png&resize=9,"), 410).await;
    assert_eq!(gone.code(), "deleted", "also from the cache");
    assert_eq!(code(&closed.path("conversions")).await, is(401, "signature_missing"));
    assert_eq!(assets.get_signed(&closed.path("original")).await.code(), "deleted");
    assets.catalog.undelete_asset(&ready.0, None, now()).await.expect("restored");
    assets.until(&ready.path("conversions?format=png&resize=9,"), 200).await;
    let key = ObjectKey::new(format!("kinora/{}/1/b.jpg", arriving.0)).expect("a key");
    assets.edge.put(key.as_str(), PICTURE);
    assets.change(&arriving, |asset| (asset.status, asset.key) = (AssetStatus::Ok, Some(key))).await;
    assets.until(&arriving.path("conversions"), 200).await;
}

#[tokio::test]
async fn replaced_content_and_purges_are_noticed() {
    let assets = Assets::start(&[]).await;
    let id = assets.add("a.jpg", &jpeg(64, 64), |_| {}).await;
    let target = id.path("conversions?format=png");
    assert_eq!(read(&assets.get(&target).await.body).width, 64);
    let key = ObjectKey::new(format!("kinora/{}/2/a.jpg", id.0)).expect("a key");
    assets.edge.put(key.as_str(), &jpeg(32, 32));
    assets.change(&id, |asset| (asset.key, asset.content) = (Some(key), 2)).await;
    eventually("the new content", async || (read(&assets.get(&target).await.body).width == 32).then_some(()))
        .await;
    let renders = assets.edge.renders().await;
    assert!(assets.get(&target).await.header("cache-status").contains("hit"));
    let body = format!(r#"{{"assets":["{}"]}}"#, id.0);
    let mut connection = assets.edge.connect().await;
    let length = body.len().to_string();
    let headers = [(KEY, assets.api_key.as_str()), ("Content-Length", &length)];
    connection.ask("POST", "/api/v1/purge", &headers).await;
    connection.write(body.as_bytes()).await;
    assert_eq!(connection.reply("POST").await.status, 200);
    assert!(assets.get(&target).await.header("cache-status").contains("fwd=miss"));
    assert_eq!(assets.edge.renders().await, renders + 1);
}

#[tokio::test]
async fn an_original_is_given_as_the_catalogue_describes_it() {
    let assets = Assets::start(&[]).await;
    let document = assets
        .add("Z\u{fc}rich (1).pdf", b"%PDF-1.7 a document", |asset| {
            asset.content_type = "application/pdf".to_owned();
        })
        .await;
    let target = document.path("original?delivery=download");
    let reply = assets.get_signed(&target).await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"%PDF-1.7 a document".as_slice()));
    assert_eq!(reply.header("content-type"), "application/pdf");
    let name = "attachment; filename=\"Z_rich (1).pdf\"; filename*=UTF-8''Z%C3%BCrich%20%281%29.pdf";
    assert_eq!(reply.header("content-disposition"), name);
    let shown = assets.get_signed(&document.path("original")).await;
    assert_eq!((shown.status, shown.has("content-disposition")), (200, false));
    let named = assets.get_signed(&document.path("original?delivery=download&filename=x.pdf")).await;
    assert_eq!(named.header("content-disposition"), "attachment; filename=\"x.pdf\"");
    let picture = assets.get_signed(&document.path("original?resize=1,1")).await;
    assert_eq!((picture.status, picture.code().as_str()), (400, "option_not_permitted"));
    let render = assets.get(&document.path("conversions")).await;
    assert_eq!((render.status, render.code().as_str()), (415, "unsupported_format"));

    // The name says one thing, the bytes another: the catalogue knows what they are.
    let page = assets
        .add("harmless.txt", b"<script>alert(1)</script>", |asset| {
            asset.content_type = "text/html".to_owned();
        })
        .await;
    for delivery in ["", "?delivery=display", "?delivery=download"] {
        for range in [None, Some(("Range", "bytes=0-3"))] {
            let target = signed(&page.path(&format!("original{delivery}")), 100);
            let reply = assets.edge.send("GET", &target, range.as_slice()).await;
            assert_eq!(
                reply.header("content-disposition"),
                "attachment; filename=\"harmless.txt\"",
                "{reply:?}"
            );
            assert_eq!(reply.header("x-content-type-options"), "nosniff");
            assert_eq!(reply.header("content-type"), "text/html");
            assert!(reply.header("content-security-policy").contains("sandbox"), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_conversion_that_was_added_has_its_own_bytes_and_privacy() {
    let assets = Assets::start(&[]).await;
    let conversion = |name: &str, key: String, public| Conversion {
        name: name.to_owned(),
        storage_type: "LOCAL".to_owned(),
        bucket: "bucket".to_owned(),
        key: Some(key),
        width: None,
        height: None,
        duration: None,
        size: 5,
        content_type: "text/plain".to_owned(),
        public,
        watermarked: false,
        status: AssetStatus::Ok,
        error: None,
    };
    let id = assets
        .add("a.jpg", PICTURE, |asset| {
            let key = |name: &str| format!("kinora/{}/1/{name}", asset.id);
            asset.conversions = vec![
                conversion("open", key("conversion.txt"), true),
                conversion("closed", key("conversion.txt"), false),
            ];
        })
        .await;
    assets.edge.put(&format!("kinora/{}/1/conversion.txt", id.0), b"a text");
    let open = assets.get(&id.path("conversions/open")).await;
    assert_eq!((open.status, open.body.as_slice()), (200, b"a text".as_slice()));
    assert_eq!(assets.get(&id.path("conversions/closed")).await.status, 401);
    assert_eq!(assets.get_signed(&id.path("conversions/closed")).await.body, b"a text");
}
