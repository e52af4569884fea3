//! What a search finds, on both databases.

use serde_json::{Map, Value, json};

use crate::metadata::on_both::{Place, on_both_databases};
use crate::metadata::{
    Asset, AssetSchema, AssetStatus, Catalog, Criteria, Error, EventKind, JsonSchema, Pattern, Search, Sort,
    SortBy, Span,
};
use crate::request::AssetId;

on_both_databases!(
    words_are_found_whatever_case_and_accents,
    other_conditions_all_hold,
    searchable_fields_are_found_by_their_values,
    what_changes_is_found_anew,
    orders,
    pages_stay_as_they_were,
    results_end_after_an_hour,
);

fn id(number: u8) -> AssetId {
    AssetId::new([number; 16])
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn asset(number: u8, name: &str, content_type: &str, data: Value) -> Asset {
    Asset {
        status: AssetStatus::Ok,
        size: u64::from(number) * 100,
        content_type: content_type.to_owned(),
        creator_id: Some(format!("KEY{}", number % 2)),
        data: object(data),
        ..Asset::new(id(number), name, 1000 + u64::from(number))
    }
}

async fn sample(place: &Place) -> Catalog {
    let catalog = place.open().await;
    let assets = [
        asset(1, "Zürich_Sunset.JPG", "image/jpeg", json!({})),
        asset(
            2,
            "harbour.png",
            "image/png",
            json!({ "title": "Sunset in ZURICH", "place": { "city": "Genève" } }),
        ),
        asset(3, "harbour at night.mp4", "video/mp4", json!({ "filespin_search_txt": "boats, sun-deck" })),
        asset(4, "report.pdf", "application/pdf", json!({ "title": "北京日落 report" })),
    ];
    catalog.insert_assets(&assets, EventKind::FileSaved, 5).await.expect("inserted");
    catalog
}

fn all() -> Search {
    Search { per_page: 50, ..Search::default() }
}

/// The numbers of what is found.
async fn found(catalog: &Catalog, search: Search) -> Vec<u8> {
    let ids = catalog.search(&search, 9).await.expect("searched").ids;
    ids.into_iter().map(|found| (0..=u8::MAX).find(|number| id(*number) == found).expect("known")).collect()
}

async fn words_are_found_whatever_case_and_accents(place: Place) {
    let catalog = sample(&place).await;
    for (keyword, expected) in [
        ("sunset", &[2, 1][..]),
        ("zurich SUN*", &[2, 1]),
        ("zürich sun", &[]),
        ("sun", &[3]),
        ("zürich sunset jpg", &[1]),
        ("harbour.png", &[2]),
        ("harb*", &[3, 2]),
        ("geneve", &[2]),
        ("Genève", &[2]),
        ("title", &[]),
        ("sun-deck", &[3]),
        ("日落", &[4]),
        ("西", &[]),
        ("\"sunset\" OR (harbour) NOT *", &[]),
        ("'; DROP TABLE assets --", &[]),
        ("\" & | ! : *", &[]),
        ("\0", &[]),
    ] {
        let search = Search { keyword: Some(keyword.to_owned()), ..all() };
        assert_eq!(found(&catalog, search).await, expected, "{keyword}");
    }
    assert_eq!(found(&catalog, all()).await, [4, 3, 2, 1], "the newest first");
}

async fn other_conditions_all_hold(place: Place) {
    let catalog = sample(&place).await;
    catalog.delete_asset(&id(4), None, 9).await.expect("deleted");
    let name = |text: &str| Search { file_name: Some(Pattern::new(text)), ..all() };
    let types = |texts: &[&str]| Search {
        content_types: texts.iter().map(|text| Pattern::new(text)).collect(),
        ..all()
    };
    let sizes = |start, end| Search { file_size: Span { start, end }, ..all() };
    let times = |start, end| Search { upload_time: Span { start, end }, ..all() };
    for (case, search, expected) in [
        ("a name", name("HARBOUR.png"), &[2][..]),
        ("a beginning", name("harbour*"), &[3, 2]),
        ("an accent counts in a name", name("zurich*"), &[]),
        ("its case does not", name("ZÜRICH*"), &[1]),
        ("no name of this", name("harbour"), &[]),
        ("no pattern of SQL", name("%"), &[]),
        ("any name", name("*"), &[3, 2, 1]),
        ("a strange name", name("\0*"), &[]),
        ("types", types(&["image*", "video*"]), &[3, 2, 1]),
        ("a type", types(&["Image/PNG"]), &[2]),
        ("sizes", sizes(Some(200), Some(300)), &[3, 2]),
        ("a size beyond all", sizes(Some(u64::MAX), None), &[]),
        ("times", times(None, Some(1002)), &[2, 1]),
        ("a creator", Search { creator_id: Some("KEY1".to_owned()), ..all() }, &[3, 1]),
        ("the trash", Search { trashed: true, ..all() }, &[4]),
        (
            "all at once",
            Search {
                keyword: Some("harbour".to_owned()),
                creator_id: Some("KEY0".to_owned()),
                ..types(&["image*"])
            },
            &[2],
        ),
    ] {
        assert_eq!(found(&catalog, search).await, expected, "{case}");
    }
}

async fn schema(catalog: &Catalog) -> i64 {
    let searchable = json!({ "searchable": true });
    let schema = json!({ "properties": {
        "color": { "filespin_properties": searchable },
        "year": { "type": "integer", "filespin_properties": searchable },
        "note": { "filespin_properties": { "keyword_searchable": true } },
        "secret": {},
    } });
    let wish = AssetSchema {
        id: 0,
        name: object(json!({ "en": "Photo" })),
        is_active: true,
        schema: JsonSchema::new(schema).expect("a schema"),
        created_at: 0,
        updated_at: 0,
    };
    let made = catalog.create_schema(wish, 7).await.expect("made");
    assert_eq!(catalog.schema(made.id).await.expect("read"), made);
    made.id
}

async fn searchable_fields_are_found_by_their_values(place: Place) {
    let catalog = sample(&place).await;
    let schema_id = schema(&catalog).await;
    let with = |number, data| Asset { data_schema_id: schema_id, ..asset(number, "x", "image/png", data) };
    let assets = [
        with(11, json!({ "color": ["Red", "blue"], "year": 1999, "note": "Altes Boot", "secret": "hidden" })),
        with(12, json!({ "color": "red", "year": 2000 })),
        with(13, json!({ "color": "red", "year": "invalid" })),
        Asset { data_schema_id: 0, ..with(14, json!({ "color": "red" })) },
    ];
    catalog.insert_assets(&assets, EventKind::FileSaved, 5).await.expect("inserted");
    let criteria = |fields: Value| Search {
        criteria: Some(Criteria { schema_id, fields: object(fields).into_iter().collect() }),
        ..all()
    };
    for (fields, expected) in [
        (json!({ "color": "RED" }), &[12, 11][..]),
        (json!({ "color": "blue", "year": 1999 }), &[11]),
        (json!({ "year": 1999.0 }), &[11]),
        (json!({ "year": [1998, 2000] }), &[12]),
        (json!({ "color": "blue", "year": 2000 }), &[]),
        (json!({ "secret": "hidden" }), &[]),
        (json!({ "color": [] }), &[]),
        (json!({ "color": { "a": 1 } }), &[]),
        (json!({ "co\u{0}lor": "re\u{0}d" }), &[]),
    ] {
        assert_eq!(found(&catalog, criteria(fields.clone())).await, expected, "{fields}");
    }
    let word = |word: &str| Search { keyword: Some(word.to_owned()), ..all() };
    assert_eq!(found(&catalog, word("boot")).await, [11], "a field of words");
    assert_eq!(found(&catalog, word("hidden")).await, [] as [u8; 0], "a field that is none");
}

async fn what_changes_is_found_anew(place: Place) {
    let catalog = sample(&place).await;
    let word = |word: &str| Search { keyword: Some(word.to_owned()), ..all() };
    let change = |asset: &mut Asset| -> Result<(), Error> {
        asset.data = object(json!({ "title": "dawn" }));
        Ok(())
    };
    catalog.change_asset(&id(2), None, None, 9, change).await.expect("changed");
    assert_eq!(found(&catalog, word("dawn")).await, [2]);
    assert_eq!(found(&catalog, word("sunset")).await, [1], "no longer by what it was");
    catalog.purge_asset(&id(1), 9).await.expect("purged");
    assert_eq!(found(&catalog, word("sunset")).await, [] as [u8; 0]);
}

async fn orders(place: Place) {
    let catalog = sample(&place).await;
    catalog.change_asset(&id(1), None, None, 5000, |_| Ok::<_, Error>(())).await.expect("changed");
    for (by, ascending) in [
        (SortBy::UploadTime, [1, 2, 3, 4]),
        (SortBy::UpdateTime, [2, 3, 4, 1]),
        (SortBy::FileName, [3, 2, 4, 1]),
        (SortBy::FileSize, [1, 2, 3, 4]),
    ] {
        for is_descending in [false, true] {
            let mut expected = ascending;
            if is_descending {
                expected.reverse();
            }
            let search = Search { sort: Some(Sort { by, is_descending }), ..all() };
            assert_eq!(found(&catalog, search).await, expected, "{by:?} {is_descending}");
        }
    }
}

async fn pages_stay_as_they_were(place: Place) {
    let catalog = sample(&place).await;
    let search = Search { per_page: 2, ..Search::default() };
    let first = catalog.search(&search, 9).await.expect("searched");
    assert_eq!((first.ids.as_slice(), first.total_pages), ([id(4), id(3)].as_slice(), 2));
    let new = asset(9, "new", "image/png", json!({}));
    catalog.insert_assets(&[new], EventKind::FileSaved, 9).await.expect("inserted");
    catalog.delete_asset(&id(4), None, 9).await.expect("deleted");
    let page = async |number| catalog.search_page(&first.result_id, number, 9).await.expect("a page");
    assert_eq!(page(2).await.ids, [id(2), id(1)]);
    assert_eq!(page(1).await, first);
    assert_eq!((page(3).await.ids, page(u64::MAX).await.ids), (vec![], vec![]));
    catalog.purge_asset(&id(2), 9).await.expect("purged");
    assert_eq!(page(2).await.ids, [id(1)]);
}

async fn results_end_after_an_hour(place: Place) {
    let catalog = sample(&place).await;
    let result = catalog.search(&all(), 10_000).await.expect("searched").result_id;
    assert!(catalog.search_page(&result, 1, 13_599).await.is_ok());
    for (id, now) in [(result.as_str(), 13_600), ("unknown", 10_000)] {
        let missing = catalog.search_page(id, 1, now).await;
        assert!(matches!(missing, Err(Error::NoSuch(_))), "{missing:?}");
    }
    catalog.search(&all(), 20_000).await.expect("searched");
    let missing = catalog.search_page(&result, 1, 10_001).await;
    assert!(matches!(missing, Err(Error::NoSuch(_))), "not kept either: {missing:?}");
}

/// Figures for people, by `cargo test --release --lib figures -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "it measures, and takes a minute"]
async fn figures() {
    for (database, place) in [("SQLite", Place::sqlite()), ("PostgreSQL", Place::postgres().await)] {
        let catalog = place.open().await;
        let kinds = ["image/jpeg", "image/png", "video/mp4", "application/pdf"];
        for batch in 0..100_u32 {
            let assets: Vec<_> = (batch * 1000..(batch + 1) * 1000)
                .map(|number| {
                    let data =
                        json!({ "title": format!("sunset {} harbour", number % 977), "note": "ordinary" });
                    let kind = kinds[if number % 1000 == 0 { 3 } else { number as usize % 3 }];
                    let asset = asset((number % 250) as u8, &format!("IMG_{number:06}.jpg"), kind, data);
                    Asset { id: AssetId::new(u128::from(number).to_be_bytes()), ..asset }
                })
                .collect();
            catalog.insert_assets(&assets, EventKind::FileSaved, 5).await.expect("inserted");
        }
        let keyword = |text: &str| Search { keyword: Some(text.to_owned()), ..all() };
        let name = |text: &str| Search { file_name: Some(Pattern::new(text)), ..all() };
        let kind = |text: &str| Search { content_types: vec![Pattern::new(text)], ..all() };
        for (case, search) in [
            ("everything", all()),
            ("a word of 100 assets", keyword("sunset 500")),
            ("a word of all assets", keyword("ordinary")),
            ("a beginning", keyword("harb* 5*")),
            ("a name", name("img_0123*")),
            ("a rare type", kind("application/pdf")),
            ("a common type", kind("image*")),
            ("a time", Search { upload_time: Span { start: Some(1010), end: Some(1011) }, ..all() }),
            ("by size", Search { sort: Some(Sort { by: SortBy::FileSize, is_descending: true }), ..all() }),
            (
                "words by name",
                Search {
                    sort: Some(Sort { by: SortBy::FileName, is_descending: false }),
                    ..keyword("sunset")
                },
            ),
        ] {
            let mut times = Vec::new();
            for _ in 0..40 {
                let began = std::time::Instant::now();
                catalog.search(&search, 9).await.expect("searched");
                times.push(began.elapsed());
            }
            times.sort();
            eprintln!("{database} {case}: p50 {:?}, p95 {:?}", times[20], times[38]);
        }
        let began = std::time::Instant::now();
        for number in 0..20_000_u32 {
            let id = AssetId::new(u128::from(number * 4).to_be_bytes());
            assert!(!catalog.asset(&id).await.expect("read").expect("there").body().is_empty());
        }
        eprintln!("{database}: {:.0} assets read a second", 20_000.0 / began.elapsed().as_secs_f64());
    }
}
