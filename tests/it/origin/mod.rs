//! The contracts of `Origin` and `Bucket`, on all their implementations, and the faults that each may meet.

mod bucket;
mod contract;
mod directory;
mod faults;
mod s3;
mod web;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kinora::origin::{
    Address, Answer, Ask, Body, Config, DirectoryConfig, Error, HttpConfig, Kind, Object, ObjectKey, Origin,
    S3Config,
};
use kinora::setting::Secret;

use crate::support::http_origin::HttpOrigin;

/// Times that no test but those of timeouts reaches.
fn config(kind: Kind) -> Config {
    Config {
        kind,
        connect_timeout: Duration::from_secs(20),
        first_byte_timeout: Duration::from_secs(20),
        read_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        idle_connections: 4,
        retries: 2,
        directory: DirectoryConfig { path: String::new(), reads: 8 },
        s3: S3Config {
            endpoint: Address::new(""),
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            session_token: Secret::default(),
            path_style: true,
        },
        http: HttpConfig {
            base_url: Address::new(""),
            forward_request_headers: Vec::new(),
            forward_response_headers: Vec::new(),
        },
    }
}

fn web_config(server: &HttpOrigin) -> Config {
    let mut config = config(Kind::Http);
    config.http.base_url = Address::new(server.url());
    config
}

fn open(config: &Config) -> Arc<dyn Origin> {
    assert_eq!(config.check(), [], "the configuration is fine");
    kinora::origin::open(config, Path::new("/nowhere")).expect("an origin")
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a key")
}

async fn bytes(body: Body) -> Result<Vec<u8>, Error> {
    let pieces: Vec<_> = body.try_collect().await?;
    assert!(pieces.iter().all(|piece| piece.len() <= 64 * 1024), "no piece is larger than 64 KiB");
    Ok(pieces.concat())
}

fn object(answer: Result<Answer, Error>) -> Object {
    match answer {
        Ok(Answer::Object(object)) => object,
        Ok(Answer::NotModified(info)) => panic!("an object was expected, not modified came: {info:?}"),
        Err(error) => panic!("an object was expected, an error came: {error}"),
    }
}

/// The error of an answer, or of its body.
async fn error(origin: &Arc<dyn Origin>, name: &str, ask: &Ask) -> Error {
    match origin.get(&key(name), ask).await {
        Err(error) => error,
        Ok(Answer::NotModified(info)) => panic!("an error was expected, not modified came: {info:?}"),
        Ok(Answer::Object(object)) => bytes(object.body).await.expect_err("an error in the body"),
    }
}

async fn read(origin: &Arc<dyn Origin>, name: &str) -> Vec<u8> {
    bytes(object(origin.get(&key(name), &Ask::default()).await).body).await.expect("a whole body")
}
