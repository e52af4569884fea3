//! `kill -9` amid uploads: what was acknowledged is whole, offsets are never ahead, nothing is left over.

use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use reqwest::Client;

use crate::support::edge::eventually;
use crate::support::form::Form;
use crate::support::program::with_crypto;
use crate::upload::Place;

const WORKERS: u64 = 4;
const UPLOADS: &str = "/api/v1/uploads";

/// What a client remembers of an upload that goes on.
struct Going {
    target: String,
    bytes: Vec<u8>,
    acknowledged: usize,
    sent: usize,
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Id and MD5 of each asset.
    assets: Vec<(String, String)>,
    going: Option<Going>,
    /// Told for the number of bytes and whatever else is drawn.
    drawn: u64,
}

impl Told {
    fn draw(&mut self, below: u64) -> u64 {
        self.drawn =
            self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.drawn >> 33) % below
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let (length, seed) = (1 + self.draw(most), self.draw(1 << 31) as u32);
        (0..length as u32).map(|at| ((at ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }
}

#[tokio::test]
async fn after_a_kill_every_acknowledged_upload_is_whole() {
    survive(4).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn after_two_hundred_kills_every_acknowledged_upload_is_whole() {
    survive(200).await;
}

async fn survive(rounds: u64) {
    with_crypto();
    let client = Client::new();
    let mut place = Place::sqlite(&[]).await;
    let mut workers: Vec<Told> =
        (1..=WORKERS).map(|seed| Told { drawn: seed << 40, ..Told::default() }).collect();
    for round in 0..rounds {
        let url = format!("http://{}", place.edge.public);
        let running: Vec<_> = workers
            .into_iter()
            .enumerate()
            .map(|(number, told)| {
                let asking = Asking { client: client.clone(), url: url.clone(), key: place.api_key.clone() };
                tokio::spawn(async move {
                    match number % 2 {
                        0 => asking.send_forms(told).await,
                        _ => asking.go_on(told).await,
                    }
                })
            })
            .collect();
        // The moment is what this is about; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(60 + round * 37 % 400)).await;
        place = place.killed_and_started(&[]).await;
        workers = Vec::new();
        for worker in running {
            workers.push(worker.await.expect("no panic"));
        }
        for told in &mut workers {
            check(&place, told).await;
        }
    }
    for told in &mut workers {
        finish(&place, told).await;
    }
    let acknowledged: usize = workers.iter().map(|told| told.assets.len()).sum();
    assert!(acknowledged > WORKERS as usize, "{acknowledged} uploads were acknowledged");
    nothing_is_left_over(place).await;
}

struct Asking {
    client: Client,
    url: String,
    key: String,
}

impl Asking {
    fn request(&self, method: &str, target: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}{target}", self.url));
        request.header("X-FileSpin-Api-Key", &self.key).header("Tus-Resumable", "1.0.0")
    }

    /// Until the program is gone.
    async fn send_forms(&self, mut told: Told) -> Told {
        loop {
            let most = if told.draw(8) == 0 { 3 << 20 } else { 60_000 };
            let bytes = told.bytes(most);
            let form = Form::default().file("f", "a.bin", None, &bytes).body();
            let request = self.request("POST", crate::upload::UPLOAD).body(form);
            let Ok(answer) = request.header("Content-Type", Form::content_type()).send().await else {
                return told;
            };
            let Ok(body) = answer.bytes().await else { return told };
            let reply: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let id = reply["files"][0]["id"].as_str().unwrap_or_else(|| panic!("no file in {reply}"));
            told.assets.push((id.to_owned(), md5(&bytes)));
        }
    }

    async fn go_on(&self, mut told: Told) -> Told {
        loop {
            let mut going = match told.going.take() {
                Some(going) => going,
                None => {
                    let bytes = told.bytes(600_000);
                    let request = self.request("POST", UPLOADS).header("Upload-Length", bytes.len());
                    let Ok(answer) = request.send().await else { return told };
                    let target = answer.headers()["location"].to_str().expect("text").to_owned();
                    Going { target, bytes, acknowledged: 0, sent: 0 }
                }
            };
            let from = going.acknowledged;
            let until = going.bytes.len().min(from + 1 + told.draw(100_000) as usize);
            going.sent = going.sent.max(until);
            let request = self.request("PATCH", &going.target).header("Upload-Offset", from);
            let request = request.header("Content-Type", "application/offset+octet-stream");
            let Ok(answer) = request.body(going.bytes[from..until].to_vec()).send().await else {
                told.going = Some(going);
                return told;
            };
            assert_eq!(answer.status(), 204, "{:?}", answer.headers());
            going.acknowledged = until;
            match answer.headers().get("kinora-asset-id") {
                Some(id) => told.assets.push((id.to_str().expect("text").to_owned(), md5(&going.bytes))),
                None => told.going = Some(going),
            }
        }
    }
}

fn md5(bytes: &[u8]) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(bytes).into()))
}

/// After each start: nothing that was acknowledged has changed.
async fn check(place: &Place, told: &mut Told) {
    for (id, expected) in &told.assets {
        let asset = place.asset(id).await;
        assert_eq!(asset["checksum"], expected.as_str(), "{asset}");
        assert_eq!(md5(&place.bytes(asset["key"].as_str().expect("a key"))), *expected, "{asset}");
    }
    if let Some(going) = &mut told.going {
        let offset = offset(place, going).await;
        assert!((going.acknowledged..=going.sent).contains(&offset), "{offset} of {}", going.sent);
        going.acknowledged = offset;
    }
}

async fn offset(place: &Place, going: &Going) -> usize {
    let reply = place.send("HEAD", &going.target, &[("Tus-Resumable", "1.0.0")], b"").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.header("upload-offset").parse().expect("an offset")
}

async fn finish(place: &Place, told: &mut Told) {
    let Some(going) = told.going.take() else { return };
    let offset = going.acknowledged.to_string();
    let headers = [
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Offset", offset.as_str()),
        ("Content-Type", "application/offset+octet-stream"),
    ];
    let id = eventually("the end of the upload", async || {
        let reply = place.send("PATCH", &going.target, &headers, &going.bytes[going.acknowledged..]).await;
        // The hold of a process that was killed has to run out first.
        (reply.status == 204).then(|| reply.header("kinora-asset-id"))
    });
    told.assets.push((id.await, md5(&going.bytes)));
    check(place, told).await;
}

/// One sweep later the bucket has the objects of assets and nothing else.
async fn nothing_is_left_over(place: Place) {
    let catalog = place.open_catalog();
    let environment = [("KINORA__DATA__DIR".into(), place.edge.data_dir().into())];
    let config = kinora::config::Config::from_layers(None, environment).expect("settings");
    let data = place.edge.data_dir();
    let origin = kinora::origin::open(&config.origin, data).expect("a directory");
    let renderer = kinora::render::Renderer::new(Arc::clone(&origin), &config.render, &config.image);
    let uploads = kinora::upload::Uploads {
        bucket: kinora::origin::open_bucket(&config.origin, data).expect("a directory"),
        origin,
        renderer: Arc::new(renderer.expect("threads")),
        catalog: catalog.clone(),
        config: Arc::new(config.upload),
    };
    // Every hold has run out by then.
    uploads.sweep(crate::support::program::now() + 3600).await.expect("swept");
    let mut expected = Vec::new();
    let mut cursor = None;
    loop {
        let page = catalog.assets_page(cursor, 100).await.expect("read");
        expected.extend(page.assets.into_iter().filter_map(|asset| asset.key).map(String::from));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    expected.sort();
    assert_eq!(place.stored(), expected);
    let (assets, events) = (place.count("assets").await, place.count("events").await);
    assert_eq!(events, 2 * assets, "each was saved and processed");
}
