//! What holds for assets, on both databases.

use serde_json::{Value, json};

use crate::metadata::db::on;
use crate::metadata::on_both::{Place, execute, on_both_databases};
use crate::metadata::{Asset, AssetStatus, Catalog, Conversion, Error, EventKind};
use crate::origin::ObjectKey;
use crate::request::AssetId;

on_both_databases!(
    an_asset_is_read_as_it_was_written,
    the_json_has_the_keys_of_the_contract_and_events_have_the_same_bytes,
    a_change_raises_the_version_and_is_told_once,
    what_is_refused_has_not_happened,
    of_writers_at_the_same_time_none_is_lost,
    a_change_that_is_dropped_leaves_no_event_without_its_change,
    deleting_is_undone_and_purging_is_not,
    conversions_can_go_alone,
    pages_go_from_the_newest_on_and_stay_in_order,
);

fn id(number: u8) -> AssetId {
    AssetId::new([number; 16])
}

fn conversion(name: &str) -> Conversion {
    Conversion {
        name: name.to_owned(),
        storage_type: "directory".to_owned(),
        bucket: "bucket".to_owned(),
        key: Some(format!("kinora/{name}")),
        width: Some(640),
        height: Some(360),
        duration: Some(1.5),
        size: 7,
        content_type: "video/mp4".to_owned(),
        public: true,
        watermarked: false,
        status: AssetStatus::Ok,
        error: None,
    }
}

fn asset(number: u8) -> Asset {
    let data = json!({ "title": "Zürich \u{0} \"sunset\"", "tags": ["a", 1, null] });
    Asset {
        status: AssetStatus::Ok,
        size: u64::from(number) * 1000,
        md5: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
        content_type: "image/jpeg".to_owned(),
        storage_type: "directory".to_owned(),
        bucket: "bucket".to_owned(),
        key: Some(ObjectKey::new(format!("kinora/{}/1/cat.jpg", id(number))).expect("a key")),
        creator_id: Some("KEY".to_owned()),
        metadata: json!({ "width": 1600, "height": 1067 }).as_object().expect("an object").clone(),
        data: data.as_object().expect("an object").clone(),
        conversions: vec![conversion("720p-video")],
        ..Asset::new(id(number), "cat ä.jpg", 1_700_000_000)
    }
}

async fn with(place: &Place, assets: &[Asset]) -> Catalog {
    let catalog = place.open().await;
    catalog.insert_assets(assets, EventKind::FileSaved, 5).await.expect("inserted");
    catalog
}

/// Kind, version and body of all events, oldest first.
async fn events(catalog: &Catalog) -> Vec<(String, i64, Value)> {
    let query = "SELECT kind, asset_version, body FROM events ORDER BY seq";
    let rows: Vec<(String, i64, Vec<u8>)> =
        on!(catalog.db.reader(), pool => sqlx::query_as(query).fetch_all(pool).await).expect("read");
    let json = |body: Vec<u8>| serde_json::from_slice(&body).expect("JSON");
    rows.into_iter().map(|(kind, version, body)| (kind, version, json(body))).collect()
}

async fn kinds(catalog: &Catalog) -> Vec<(String, i64)> {
    events(catalog).await.into_iter().map(|(kind, version, _)| (kind, version)).collect()
}

async fn read(catalog: &Catalog, number: u8) -> Asset {
    catalog.asset(&id(number)).await.expect("read").expect("there")
}

async fn an_asset_is_read_as_it_was_written(place: Place) {
    let bare = Asset::new(id(2), "", 0);
    let catalog = with(&place, &[asset(1), bare.clone()]).await;
    assert_eq!(read(&catalog, 1).await, asset(1));
    assert_eq!(read(&catalog, 2).await, bare);
    assert_eq!(catalog.asset(&id(3)).await.expect("read"), None);
    let again = catalog.insert_assets(&[asset(3), asset(1)], EventKind::FileSaved, 5).await;
    assert!(matches!(again, Err(Error::Database(_))), "{again:?}");
    assert_eq!(catalog.asset(&id(3)).await.expect("read"), None, "all or none");
    assert_eq!(kinds(&catalog).await.len(), 2, "neither are their events");
}

async fn the_json_has_the_keys_of_the_contract_and_events_have_the_same_bytes(place: Place) {
    let catalog = with(&place, &[asset(1)]).await;
    let json = read(&catalog, 1).await.json();
    let expected = json!({
        "id": "01".repeat(16), "status": "OK", "name": "cat ä.jpg", "size": 1000,
        "checksum": "d41d8cd98f00b204e9800998ecf8427e", "provider": "local", "storage_type": "directory",
        "bucket": "bucket", "key": format!("kinora/{}/1/cat.jpg", "01".repeat(16)), "public": false,
        "content_type": "image/jpeg", "creator_id": "KEY", "upload_time": "2023-11-14T22:13:20Z",
        "update_user_id": null, "update_time": "2023-11-14T22:13:20Z", "upload_source": null,
        "data_schema_id": 0, "metadata": { "width": 1600, "height": 1067 },
        "data": { "title": "Zürich \u{0} \"sunset\"", "tags": ["a", 1, null] },
        "conversions": { "720p-video": {
            "storage_type": "directory", "bucket": "bucket", "key": "kinora/720p-video", "width": 640,
            "height": 360, "duration": 1.5, "size": 7, "public": true, "watermarked": false,
        } },
        "addons_info": { "ON_DEMAND_IMAGE": { "available": true } },
    });
    assert_eq!(json, expected);
    let body = String::from_utf8(read(&catalog, 1).await.body()).expect("text");
    let told: (Vec<u8>,) = on!(catalog.db.reader(), pool => sqlx::query_as("SELECT body FROM events")
        .fetch_one(pool)
        .await)
    .expect("read");
    let told = String::from_utf8(told.0).expect("text");
    assert_eq!(told.replacen("\"event\":\"file-saved\",", "", 1), body, "but for the event, byte for byte");
}

async fn a_change_raises_the_version_and_is_told_once(place: Place) {
    let catalog = with(&place, &[asset(1)]).await;
    let rename = |asset: &mut Asset| -> Result<(), Error> {
        asset.name = "dog.jpg".to_owned();
        Ok(())
    };
    let event = Some(EventKind::FileDataUpdated);
    let changed = catalog.change_asset(&id(1), Some(1), event, 1_700_000_009, rename).await.expect("changed");
    assert_eq!((changed.version, changed.name.as_str(), changed.update_time), (2, "dog.jpg", 1_700_000_009));
    assert_eq!(read(&catalog, 1).await, changed);
    let quiet = catalog.change_asset(&id(1), None, None, 1_700_000_010, rename).await.expect("changed");
    assert_eq!(quiet.version, 3);
    let told = events(&catalog).await;
    assert_eq!(told.len(), 2, "without a kind nobody is told");
    let (kind, version, body) = &told[1];
    assert_eq!((kind.as_str(), *version, &body["name"]), ("file-data-updated", 2, &json!("dog.jpg")));
}

async fn what_is_refused_has_not_happened(place: Place) {
    let catalog = with(&place, &[asset(1)]).await;
    let event = Some(EventKind::FileDataUpdated);
    let spoil = |asset: &mut Asset| -> Result<(), Error> {
        asset.name = "spoilt".to_owned();
        Ok(())
    };
    let conflict = catalog.change_asset(&id(1), Some(2), event, 9, spoil).await;
    assert!(matches!(conflict, Err(Error::Conflict { version: 1 })), "{conflict:?}");
    let missing = catalog.change_asset(&id(2), None, event, 9, spoil).await;
    assert!(matches!(missing, Err(Error::NoSuchAsset(_))), "{missing:?}");
    let refuse = |asset: &mut Asset| spoil(asset).and(Err(Error::InvalidData("no".to_owned())));
    let refused = catalog.change_asset(&id(1), None, event, 9, refuse).await;
    assert!(matches!(refused, Err(Error::InvalidData(_))), "{refused:?}");
    catalog.delete_asset(&id(1), None, 9).await.expect("deleted");
    let deleted = catalog.change_asset(&id(1), None, event, 9, spoil).await;
    assert!(matches!(deleted, Err(Error::AssetDeleted(_))), "{deleted:?}");
    assert_eq!(read(&catalog, 1).await.name, "cat ä.jpg");
    assert_eq!(kinds(&catalog).await.len(), 2, "saved and deleted");
}

async fn of_writers_at_the_same_time_none_is_lost(place: Place) {
    let [one, two] = [with(&place, &[asset(1)]).await, place.open().await];
    let count = async |catalog: &Catalog| {
        for _ in 0..20 {
            let add = |asset: &mut Asset| -> Result<(), Error> {
                let count = asset.data.get("count").and_then(Value::as_u64).unwrap_or(0);
                asset.data.insert("count".to_owned(), json!(count + 1));
                Ok(())
            };
            catalog
                .change_asset(&id(1), None, Some(EventKind::FileDataUpdated), 9, add)
                .await
                .expect("changed");
        }
    };
    tokio::join!(count(&one), count(&two));
    let asset = read(&one, 1).await;
    assert_eq!((asset.version, &asset.data["count"]), (41, &json!(40)));
    // Of two that have read the same version, one wins.
    let write = |catalog: Catalog| async move {
        catalog.change_asset(&id(1), Some(41), None, 9, |_| Ok::<_, Error>(())).await.is_ok()
    };
    let (first, second) = tokio::join!(write(one.clone()), write(two));
    assert!(first != second, "{first} {second}");
    let versions: Vec<_> = kinds(&one).await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, (1..=41).collect::<Vec<_>>(), "told in the order of the versions");
}

async fn a_change_that_is_dropped_leaves_no_event_without_its_change(place: Place) {
    let catalog = with(&place, &[asset(1)]).await;
    let (event, id) = (Some(EventKind::FileDataUpdated), &id(1));
    for polls in 1.. {
        let mut change = Box::pin(catalog.change_asset(id, None, event, 9, |_| Ok::<_, Error>(())));
        let mut polled = 0;
        let outcome = std::future::poll_fn(|context| {
            polled += 1;
            match change.as_mut().poll(context) {
                _ if polled > polls => std::task::Poll::Ready(None),
                outcome => outcome.map(Some),
            }
        })
        .await;
        drop(change);
        // Waits for whatever the dropped one still does.
        let asset = catalog.change_asset(id, None, event, 9, |_| Ok::<_, Error>(())).await.expect("changed");
        let versions: Vec<_> =
            kinds(&catalog).await.into_iter().map(|(_, version)| version.cast_unsigned()).collect();
        assert_eq!(versions, (1..=asset.version).collect::<Vec<_>>(), "after {polls} polls");
        if outcome.is_some() {
            break;
        }
    }
}

async fn deleting_is_undone_and_purging_is_not(place: Place) {
    let catalog = with(&place, &[asset(1), asset(2)]).await;
    let deleted = catalog.delete_asset(&id(1), Some("KEY2"), 50).await.expect("deleted");
    assert_eq!((deleted.deleted_at, deleted.update_user_id.as_deref()), (Some(50), Some("KEY2")));
    let again = catalog.delete_asset(&id(1), None, 51).await;
    assert!(matches!(again, Err(Error::AssetDeleted(_))), "{again:?}");
    assert_eq!(read(&catalog, 1).await.deleted_at, Some(50), "it is still known");
    let back = catalog.undelete_asset(&id(1), None, 52).await.expect("undeleted");
    assert_eq!((back.deleted_at, back.conversions.len(), back.version), (None, 1, 3));
    let again = catalog.undelete_asset(&id(1), None, 53).await;
    assert!(matches!(again, Err(Error::NotDeleted(_))), "{again:?}");
    let purged = catalog.purge_asset(&id(1), 54).await.expect("purged");
    assert_eq!(purged.key, asset(1).key, "to be deleted in the bucket");
    assert_eq!(catalog.asset(&id(1)).await.expect("read"), None);
    let again = catalog.purge_asset(&id(1), 55).await;
    assert!(matches!(again, Err(Error::NoSuchAsset(_))), "{again:?}");
    assert!(catalog.asset(&id(2)).await.expect("read").is_some(), "others stay");
    let told: Vec<_> = events(&catalog).await.into_iter().skip(2).collect();
    let kinds: Vec<_> = told.iter().map(|(kind, version, _)| (kind.as_str(), *version)).collect();
    assert_eq!(kinds, [("file-deleted", 2), ("file-undeleted", 3), ("file-deleted", 4)]);
    let expected = json!({
        "id": id(1).to_string(), "event": "file-deleted", "keys": ["original", "720p-video"], "status": "OK",
        "message": "deleted", "errors": {},
    });
    assert_eq!(told[0].2, expected);
}

async fn conversions_can_go_alone(place: Place) {
    let two = Asset { conversions: vec![conversion("a"), conversion("b")], ..asset(1) };
    let catalog = with(&place, std::slice::from_ref(&two)).await;
    let nothing = catalog.remove_conversions(&id(1), &["c".to_owned()], None, 9).await.expect("fine");
    assert_eq!((nothing, read(&catalog, 1).await), (Vec::new(), two));
    let names = ["b".to_owned(), "c".to_owned()];
    let removed = catalog.remove_conversions(&id(1), &names, None, 9).await.expect("removed");
    assert_eq!(removed, [conversion("b")]);
    assert_eq!(read(&catalog, 1).await.conversions, [conversion("a")]);
    let told = events(&catalog).await;
    assert_eq!((told.len(), &told[1].2["keys"]), (2, &json!(["b"])));
    assert_eq!(read(&catalog, 1).await.version, 2);
}

async fn pages_go_from_the_newest_on_and_stay_in_order(place: Place) {
    let catalog = with(&place, &(1..=7).map(asset).collect::<Vec<_>>()).await;
    catalog.delete_asset(&id(6), None, 9).await.expect("deleted");
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = catalog.assets_page(cursor, 2).await.expect("a page");
        seen.extend(page.assets.into_iter().map(|asset| asset.id));
        // What comes meanwhile shifts nothing.
        let number = 100 + u8::try_from(seen.len()).expect("few");
        catalog.insert_assets(&[asset(number)], EventKind::FileSaved, 9).await.expect("inserted");
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [7, 5, 4, 3, 2, 1].map(id));
    execute(&catalog, "DELETE FROM assets").await;
    assert!(catalog.assets_page(None, 2).await.expect("a page").assets.is_empty());
}
