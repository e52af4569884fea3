//! A bucket behind the S3 protocol, by presigned requests.
//!
//! Path or host style, any endpoint, temporary credentials, or none at all for a public bucket.
//! A missing object is [`Error::Refused`] where the key may not list the bucket, since S3 says 403
//! then and nothing tells it from a real refusal.

mod draft;
mod list;
mod policy;

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use reqwest::{Response, Url};
use rusty_s3::{Bucket, BucketError, Credentials, S3Action, UrlStyle};

use crate::origin::fetch::{self, Fetcher};
use crate::origin::{Answer, Ask, Config, Error, ObjectInfo, ObjectKey, OpenError, Origin, S3Config};
use crate::setting::Problem;

/// Long enough for clocks that differ and for every retry.
const EXPIRY: Duration = Duration::from_secs(300);

/// A bucket behind the S3 protocol.
pub(super) struct S3 {
    fetcher: Fetcher,
    bucket: Bucket,
    credentials: Option<Credentials>,
}

impl S3 {
    /// The configured bucket.
    pub(super) fn open(config: &Config) -> Result<Self, OpenError> {
        let bucket = bucket(&config.s3).map_err(OpenError::Setting)?;
        let fetcher = Fetcher::new(config, bucket.base_url())?;
        Ok(Self { fetcher, bucket, credentials: credentials(&config.s3) })
    }

    fn sign(&self, method: &Method, key: &ObjectKey) -> Url {
        let (credentials, key) = (self.credentials.as_ref(), key.as_str());
        if method == Method::HEAD {
            self.bucket.head_object(credentials, key).sign(EXPIRY)
        } else {
            self.bucket.get_object(credentials, key).sign(EXPIRY)
        }
    }

    async fn refused(&self, response: Response) -> Error {
        let status = response.status();
        let body = self.fetcher.error_body(response).await;
        failure(status, &error_code(&body))
    }
}

#[async_trait]
impl Origin for S3 {
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, Error> {
        let url = self.sign(&Method::HEAD, key);
        let headers = fetch::request_headers(&Ask::default(), HeaderMap::new());
        let response = self.fetcher.send(&Method::HEAD, &url, &headers).await?;
        fetch::head_info(&response).map(with_known_type)
    }

    async fn get(&self, key: &ObjectKey, ask: &Ask) -> Result<Answer, Error> {
        let url = self.sign(&Method::GET, key);
        let headers = fetch::request_headers(ask, HeaderMap::new());
        let response = self.fetcher.send(&Method::GET, &url, &headers).await?;
        let status = response.status();
        if status == StatusCode::RANGE_NOT_SATISFIABLE && ask.range.is_some() {
            // S3 tells the length in a body of its own; asking is simpler than reading that.
            let length = match fetch::length_of_unsatisfied(&response) {
                Some(length) => length,
                None => self.head(key).await?.length.unwrap_or_default(),
            };
            return Err(Error::RangeOutside { length });
        }
        if status.is_client_error() || status.is_server_error() {
            return Err(self.refused(response).await);
        }
        Ok(match self.fetcher.answer(response, ask)? {
            Answer::NotModified(info) => Answer::NotModified(with_known_type(info)),
            Answer::Object(mut object) => {
                object.info = with_known_type(object.info);
                Answer::Object(object)
            }
        })
    }

    /// A key that may read objects but not list them is fine, so being denied the list is no fault.
    async fn ready(&self) -> Result<(), Error> {
        let mut list = self.bucket.list_objects_v2(self.credentials.as_ref());
        list.query_mut().insert("max-keys", "1");
        let response = self.fetcher.send(&Method::GET, &list.sign(EXPIRY), &HeaderMap::new()).await?;
        let status = response.status();
        let body = self.fetcher.error_body(response).await;
        match error_code(&body).as_str() {
            _ if status.is_success() => Ok(()),
            "AccessDenied" => Ok(()),
            code => Err(failure(status, code)),
        }
    }
}

/// Everything that is wrong with the section.
pub(super) fn check(config: &S3Config) -> Vec<Problem> {
    let mut problems: Vec<Problem> = bucket(config).err().into_iter().collect();
    if config.access_key_id.is_empty() != config.secret_access_key.is_empty() {
        let remedy = "give both origin.s3.access_key_id and origin.s3.secret_access_key, or neither";
        problems.push(Problem::new("origin.s3.access_key_id", &config.access_key_id, remedy));
    }
    if config.region.is_empty() {
        problems.push(Problem::new("origin.s3.region", "", "name a region, such as \"us-east-1\""));
    }
    problems
}

fn bucket(config: &S3Config) -> Result<Bucket, Problem> {
    if config.bucket.is_empty() {
        return Err(Problem::new("origin.s3.bucket", "", "name the bucket"));
    }
    let endpoint = if config.endpoint.is_empty() {
        Url::parse(&format!("https://s3.{}.amazonaws.com", config.region))
            .map_err(|_| Problem::new("origin.s3.region", &config.region, "is no region of AWS"))?
    } else {
        config.endpoint.parse().map_err(|why| Problem::new("origin.s3.endpoint", &config.endpoint, why))?
    };
    if !config.path_style && endpoint.scheme() == "https" && config.bucket.contains('.') {
        let remedy = "no certificate fits a host name with this bucket; set origin.s3.path_style = true";
        return Err(Problem::new("origin.s3.bucket", &config.bucket, remedy));
    }
    let style = if config.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
    Bucket::new(endpoint, style, config.bucket.clone(), config.region.clone()).map_err(|error| match error {
        BucketError::UnsupportedScheme | BucketError::MissingHost => {
            Problem::new("origin.s3.endpoint", &config.endpoint, "must be a URL with a host")
        }
        BucketError::ParseError(_) => {
            let remedy = "bucket and endpoint make no host name; set origin.s3.path_style = true";
            Problem::new("origin.s3.bucket", &config.bucket, remedy)
        }
    })
}

fn credentials(config: &S3Config) -> Option<Credentials> {
    let (id, secret) = (&config.access_key_id, config.secret_access_key.expose());
    match config.session_token.expose() {
        _ if id.is_empty() => None,
        "" => Some(Credentials::new(id, secret)),
        token => Some(Credentials::new_with_token(id, secret, token)),
    }
}

/// Some codes say more than the status they come with.
fn failure(status: StatusCode, code: &str) -> Error {
    match code {
        // Not the object is missing: the set-up is wrong, and must not look like an empty bucket.
        "NoSuchBucket" => Error::BadAnswer(format!("status {} {code}", status.as_u16())),
        "ExpiredToken"
        | "InvalidToken"
        | "AuthorizationHeaderMalformed"
        | "AuthorizationQueryParametersError" => Error::Refused(format!("{} {code}", status.as_u16())),
        _ => fetch::failure(status, code),
    }
}

/// The text of `<Code>`, if it is a word.
fn error_code(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let is_word = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    code.map(|(code, _)| code).filter(is_word).unwrap_or_default().to_owned()
}

/// What S3 says of an object that was stored without a type is no knowledge.
fn with_known_type(mut info: ObjectInfo) -> ObjectInfo {
    let unknown = ["application/octet-stream", "binary/octet-stream"];
    info.content_type = info.content_type.filter(|name| !unknown.contains(&name.as_str()));
    info
}

#[cfg(test)]
mod tests {
    use crate::origin::Address;
    use crate::setting::Secret;

    use super::*;

    fn section(endpoint: &str, bucket: &str, path_style: bool) -> S3Config {
        S3Config {
            endpoint: Address::new(endpoint),
            bucket: bucket.to_owned(),
            region: "eu-west-1".to_owned(),
            access_key_id: "id".to_owned(),
            secret_access_key: Secret::new("hidden-secret"),
            session_token: Secret::new(""),
            path_style,
        }
    }

    #[test]
    fn the_bucket_is_in_the_path_or_in_the_host() {
        let cases = [
            ("http://127.0.0.1:9000", "b", true, "http://127.0.0.1:9000/b/"),
            ("https://minio.example/s3", "b.c", true, "https://minio.example/s3/b.c/"),
            ("https://s3.example:8443", "b", false, "https://b.s3.example:8443/"),
            ("http://s3.example", "b.c", false, "http://b.c.s3.example/"),
            ("", "b", false, "https://b.s3.eu-west-1.amazonaws.com/"),
        ];
        for (endpoint, name, path_style, expected) in cases {
            let found = bucket(&section(endpoint, name, path_style)).expect("a bucket");
            assert_eq!(found.base_url().as_str(), expected, "{endpoint} {name}");
        }
    }

    #[test]
    fn a_wrong_section_is_named_with_its_remedy() {
        let cases = [
            ("", "", true, "origin.s3.bucket"),
            ("minio:9000", "b", true, "origin.s3.endpoint"),
            ("https://user:hidden-secret@minio", "b", true, "origin.s3.endpoint"),
            ("http://127.0.0.1:9000", "b", false, "origin.s3.bucket"),
            ("https://s3.example", "b.c", false, "origin.s3.bucket"),
        ];
        for (endpoint, name, path_style, key) in cases {
            let problems = check(&section(endpoint, name, path_style));
            assert_eq!(problems.len(), 1, "{endpoint} {name}: {problems:?}");
            assert_eq!(problems[0].key, key, "{endpoint} {name}");
            assert!(!format!("{problems:?}").contains("hidden-secret"), "no secret in {problems:?}");
        }
        let half = S3Config { secret_access_key: Secret::default(), ..section("", "b", true) };
        assert_eq!(check(&half).len(), 1, "half a pair of credentials");
    }

    #[test]
    fn the_code_of_an_error_is_a_word_or_nothing() {
        assert_eq!(error_code(b"<Error><Code>SlowDown</Code></Error>"), "SlowDown");
        for bad in ["", "<Code>", "<Code>a b</Code>", "<Code>a\nb</Code>", "</Code><Code>"] {
            assert_eq!(error_code(bad.as_bytes()), "", "{bad:?}");
        }
    }
}
