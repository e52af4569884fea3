//! `POST /api/v1/assets/{id}/content/..`.

use crate::support::form::Form;
use crate::support::program::PICTURE;
use crate::upload::{Place, UPLOAD, files, in_both_places, json, text};

in_both_places!(an_original_is_replaced, a_conversion_is_added, public_access_is_removed);

const OTHER: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/images/portrait.jpg"));

async fn uploaded(place: &Place) -> String {
    let form = Form::default().file("f", "a.jpg", None, PICTURE);
    text(&files(&place.post(UPLOAD, form).await)[0], "id").to_owned()
}

async fn an_original_is_replaced(place: Place) {
    let id = uploaded(&place).await;
    let before = place.stored();
    let picture = format!("/api/v1/assets/{id}/conversions?resize=50,50");
    let old = place.edge.get(&picture).await;
    assert_eq!(old.status, 200, "{old:?}");
    let target = format!("/api/v1/assets/{id}/content/original/upload");
    let reply = place.post(&target, Form::default().file("f", "b.jpg", None, OTHER)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let asset = json(&reply);
    assert_eq!((text(&asset, "id"), text(&asset, "name")), (id.as_str(), "b.jpg"));
    assert_eq!(asset["size"], OTHER.len());
    let after = place.stored();
    assert!(after.len() == 1 && after != before, "the old object is gone: {before:?} {after:?}");
    assert!(place.bytes(&after[0]) == OTHER);
    let new = place.edge.get(&picture).await;
    assert!(new.status == 200 && new.body != old.body, "another picture at once: {new:?}");
    for (form, expected) in [
        (Form::default().file("f", "c.jpg", None, &PICTURE[..1000]), "corrupt_source"),
        (Form::default().file("f", "c.jpg", None, b"<html>"), "type_mismatch"),
        (
            Form::default().file("f", "c.jpg", None, PICTURE).file("g", "d.jpg", None, PICTURE),
            "too_many_files",
        ),
        (Form::default().text("f", "c"), "no_file"),
    ] {
        let reply = place.post(&target, form).await;
        assert_eq!(reply.code(), expected, "{reply:?}");
        assert_eq!(place.stored(), after, "what there was stays");
        assert_eq!(place.count("uploads").await, 0);
    }
    for unknown in ["0".repeat(32), "x".to_owned()] {
        let target = format!("/api/v1/assets/{unknown}/content/original/upload");
        let reply = place.post(&target, Form::default().file("f", "b.jpg", None, OTHER)).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{reply:?}");
    }
    assert_eq!(place.count("events").await, 3, "saved, processed, saved again");
}

async fn a_conversion_is_added(place: Place) {
    let id = uploaded(&place).await;
    let target = |name: &str| format!("/api/v1/assets/{id}/content/{name}");
    for round in 1..=2 {
        let reply = place.post(&target("cover"), Form::default().file("f", "cover.jpg", None, OTHER)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let asset = json(&reply);
        let cover = &asset["conversions"]["cover"];
        assert_eq!(cover["size"], OTHER.len(), "{asset}");
        assert!(cover["width"].as_u64() > Some(0), "{asset}");
        let stored = place.stored();
        assert_eq!(stored.len(), 2, "round {round}: the original and one cover: {stored:?}");
        assert!(place.bytes(text(cover, "key")) == OTHER);
    }
    for bad in ["original", "a%20b", "x.y", &"x".repeat(31)] {
        let reply = place.post(&target(bad), Form::default().file("f", "cover.jpg", None, OTHER)).await;
        assert!(matches!(reply.status, 400 | 404), "{bad}: {reply:?}");
    }
    assert_eq!(place.stored().len(), 2);
}

async fn public_access_is_removed(place: Place) {
    let id = uploaded(&place).await;
    let added = format!("/api/v1/assets/{id}/content/cover");
    assert_eq!(place.post(&added, Form::default().file("f", "c.jpg", None, OTHER)).await.status, 200);
    let picture = format!("/api/v1/assets/{id}/conversions?resize=50,50");
    assert_eq!(place.edge.get(&picture).await.status, 200);
    let target = format!("/api/v1/assets/{id}/content/remove_public_access");
    let reply = place.send("POST", &target, &[], br#"{"keys":["cover"]}"#).await;
    let asset = json(&reply);
    assert_eq!(
        (&asset["public"], &asset["conversions"]["cover"]["public"]),
        (&true.into(), &false.into()),
        "{asset}"
    );
    let reply = place.send("POST", &target, &[], br#"{"keys":["nothing"]}"#).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"));
    let asset = json(&place.send("POST", &target, &[], b"").await);
    assert_eq!(asset["public"], false, "{asset}");
    assert_eq!(place.edge.get(&picture).await.status, 401, "though it was in the cache");
}
