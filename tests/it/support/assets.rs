//! A running edge with assets: the tests record them as another process of the same catalogue would.

#![allow(dead_code, reason = "each subject uses some of it")]

use kinora::metadata::{Asset, AssetStatus, Catalog, Config, EventKind};
use kinora::origin::ObjectKey;
use kinora::request::AssetId;
use kinora::setting::Secret;

use crate::support::client::Reply;
use crate::support::edge::{Edge, eventually};
use crate::support::program::{create_key, data_with_pair, now, signed};

/// The header of the API key.
pub(crate) const KEY: &str = "X-FileSpin-Api-Key";

/// An edge, its catalogue, and an API key of it.
pub(crate) struct Assets {
    pub(crate) edge: Edge,
    pub(crate) catalog: Catalog,
    pub(crate) api_key: String,
}

impl Assets {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let data = data_with_pair(&[]);
        let (_, api_key) = create_key(data.path(), &["api"]);
        let edge = Edge::start_in(data, settings);
        let config = Config { url: Secret::new("sqlite:kinora.sqlite") };
        let catalog = Catalog::open(&config, edge.data_dir()).await.expect("open");
        Self { edge, catalog, api_key }
    }

    /// Stores a public asset, as `change` would have it.
    pub(crate) async fn add(&self, name: &str, bytes: &[u8], change: impl FnOnce(&mut Asset)) -> Id {
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("random numbers");
        let id = AssetId::new(random);
        let key = format!("kinora/{id}/1/{name}");
        self.edge.put(&key, bytes);
        let mut asset = Asset {
            status: AssetStatus::Ok,
            size: bytes.len() as u64,
            content_type: "image/jpeg".to_owned(),
            key: Some(ObjectKey::new(key).expect("a key")),
            public: true,
            ..Asset::new(id, name, now())
        };
        change(&mut asset);
        self.catalog.insert_assets(&[asset], EventKind::FileSaved, now()).await.expect("recorded");
        Id(id)
    }

    pub(crate) async fn change(&self, id: &Id, change: impl FnOnce(&mut Asset)) {
        let done = self.catalog.change_asset(&id.0, None, None, now(), |asset| {
            change(asset);
            Ok::<_, kinora::metadata::Error>(())
        });
        done.await.expect("changed");
    }

    /// Without any proof.
    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.edge.get(target).await
    }

    /// With a signature that holds.
    pub(crate) async fn get_signed(&self, target: &str) -> Reply {
        self.edge.get(&signed(target, 100)).await
    }

    /// With the API key.
    pub(crate) async fn get_with_key(&self, target: &str) -> Reply {
        self.edge.send("GET", target, &[(KEY, &self.api_key)]).await
    }

    /// Waits until a target, without proof, is answered with this status.
    pub(crate) async fn until(&self, target: &str, status: u16) -> Reply {
        eventually(&format!("{status} of {target}"), async || {
            let reply = self.get(target).await;
            (reply.status == status).then_some(reply)
        })
        .await
    }
}

/// The id of an asset, which makes paths.
pub(crate) struct Id(pub(crate) AssetId);

impl Id {
    /// `/api/v1/assets/ID/REST`.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/v1/assets/{}/{rest}", self.0)
    }
}
