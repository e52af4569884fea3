//! Uploads through the real program, on SQLite and a directory and on PostgreSQL and S3.

mod content;
mod crash;
mod durable;
mod form;
mod tus;

use std::path::PathBuf;

use kinora::metadata::Catalog;
use kinora::setting::Secret;
use serde_json::Value;

use crate::support::client::{Connection, Reply};
use crate::support::edge::{Edge, eventually};
use crate::support::form::Form;
use crate::support::postgres;
use crate::support::program::create_key;
use crate::support::s3::{self, ACCESS_KEY_ID, BUCKET, S3Server};

const UPLOAD: &str = "/api/v1/assets/new/content/original/upload";

/// A running program with a key, and what its bucket and catalogue are made of.
struct Place {
    edge: Edge,
    api_key: String,
    s3: Option<S3Server>,
    catalog: Rows,
}

/// The catalogue from behind.
enum Rows {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Place {
    async fn sqlite(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let (_, api_key) = create_key(data.path(), &["api"]);
        let catalog = Rows::Sqlite(data.path().join("kinora.sqlite"));
        Self { edge: Edge::start_in(data, settings), api_key, s3: None, catalog }
    }

    async fn postgres(settings: &[(&str, &str)]) -> Self {
        let (url, s3) = (postgres::database().await, S3Server::start());
        let endpoint = s3.url();
        let ours = [
            ("catalog.url", url.as_str()),
            ("origin.kind", "s3"),
            ("origin.s3.endpoint", &endpoint),
            ("origin.s3.bucket", BUCKET),
            ("origin.s3.access_key_id", ACCESS_KEY_ID),
            ("origin.s3.secret_access_key", s3::SECRET),
        ];
        let data = tempfile::tempdir().expect("a directory");
        let settings = [&ours, settings].concat();
        let mut create = crate::support::edge::command(data.path(), &settings);
        let output = create.args(["key", "create", "--json", "api"]).output().expect("the program runs");
        let key: Value = serde_json::from_slice(&output.stdout).expect("a key");
        let api_key = key["secret"].as_str().expect("a secret").to_owned();
        let edge = Edge::start_in(data, &settings);
        Self { edge, api_key, s3: Some(s3), catalog: Rows::Postgres(url) }
    }

    /// The same data directory, after the end that nobody prepares for.
    async fn killed_and_started(self, settings: &[(&str, &str)]) -> Self {
        let Self { edge, api_key, s3, catalog } = self;
        Self { edge: Edge::start_in(edge.killed(), settings), api_key, s3, catalog }
    }

    /// Everything in the bucket, unfinished or not.
    fn stored(&self) -> Vec<String> {
        match &self.s3 {
            Some(s3) => s3.stored(),
            None => {
                let bucket = self.edge.bucket();
                let mut found = Vec::new();
                let mut folders = vec![bucket.clone()];
                while let Some(folder) = folders.pop() {
                    for entry in std::fs::read_dir(folder).expect("a directory") {
                        let path = entry.expect("an entry").path();
                        match path.is_dir() {
                            true => folders.push(path),
                            false => {
                                found.push(path.strip_prefix(&bucket).expect("below").display().to_string())
                            }
                        }
                    }
                }
                found.retain(|name| !name.starts_with("sample"));
                found.sort();
                found
            }
        }
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        match &self.s3 {
            Some(s3) => s3.bytes(key),
            None => std::fs::read(self.edge.bucket().join(key)).expect("an object"),
        }
    }

    /// How many rows a table has.
    async fn count(&self, table: &'static str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        match &self.catalog {
            Rows::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
                let pool = sqlx::SqlitePool::connect_with(options).await.expect("open");
                sqlx::query_scalar(query).fetch_one(&pool).await.expect("counted")
            }
            Rows::Postgres(url) => {
                let pool = sqlx::PgPool::connect(url).await.expect("open");
                sqlx::query_scalar(query).fetch_one(&pool).await.expect("counted")
            }
        }
    }

    async fn post(&self, target: &str, form: Form) -> Reply {
        self.send("POST", target, &[("Content-Type", &Form::content_type())], &form.body()).await
    }

    /// One request with our key and a body of known length.
    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut connection = self.begin(method, target, headers, body.len()).await;
        connection.write(body).await;
        connection.reply(method).await
    }

    async fn begin(&self, method: &str, target: &str, headers: &[(&str, &str)], length: usize) -> Connection {
        let mut connection = self.edge.connect().await;
        let length = length.to_string();
        let ours = [("X-FileSpin-Api-Key", self.api_key.as_str()), ("Content-Length", &length)];
        connection.ask(method, target, &[&ours, headers].concat()).await;
        connection
    }

    /// Waits until nothing is left of what was not taken.
    async fn until_nothing_is_left(&self) {
        eventually("an empty bucket", async || {
            (self.stored().is_empty() && self.count("uploads").await == 0).then_some(())
        })
        .await;
        assert_eq!((self.count("assets").await, self.count("events").await), (0, 0));
    }

    fn open_catalog(&self) -> Catalog {
        let url = match &self.catalog {
            Rows::Sqlite(path) => format!("sqlite:{}", path.display()),
            Rows::Postgres(url) => url.clone(),
        };
        let config = kinora::metadata::Config { url: Secret::new(url) };
        Catalog::reopen(&config, self.edge.data_dir()).expect("an address")
    }

    /// An asset as the catalogue has it.
    async fn asset(&self, id: &str) -> Value {
        let catalog = self.open_catalog();
        let asset = catalog.asset(&id.parse().expect("an id")).await.expect("read").expect("an asset");
        let mut json = asset.json();
        json["sha256"] = asset.sha256.into();
        json["declared_type"] = asset.declared_type.into();
        json
    }
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// The files of a reply that says that all is well.
fn files(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{} {}", reply.status, String::from_utf8_lossy(&reply.body));
    let body = json(reply);
    assert_eq!((&body["success"], &body["provider"]), (&true.into(), &"local".into()), "{body}");
    body["files"].as_array().expect("files").clone()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Makes of each `async fn NAME(place: Place)` a test on either kind of place.
macro_rules! in_both_places {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite_and_a_directory() {
                super::$name(crate::upload::Place::sqlite(&[]).await).await;
            }

            #[tokio::test]
            async fn on_postgres_and_s3() {
                super::$name(crate::upload::Place::postgres(&[]).await).await;
            }
        }
    )*};
}
use in_both_places;
