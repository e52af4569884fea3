//! A web server as bucket: a key is a path below the base URL.
//!
//! Redirects are followed as long as they stay on the same scheme, host and port. The server's
//! freshness headers are always kept; which other headers pass, in either direction, is set by name.

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Response, Url};

use crate::origin::fetch::{self, Fetcher};
use crate::origin::sharing;
use crate::origin::{
    Answer, Ask, ByteRange, Config, Error, HttpConfig, Object, ObjectInfo, ObjectKey, OpenError, Origin,
};
use crate::setting::Problem;

const MAX_REDIRECTS: usize = 3;

/// All but the unreserved characters and the slash, RFC 3986 section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What a cache has to know, whatever the configuration says.
const FRESHNESS: [&str; 7] =
    ["age", "cache-control", "cache-tag", "cdn-cache-control", "date", "expires", "vary"];

/// RFC 9110 section 7.6.1: they belong to one connection.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Those that this module writes itself, and the key to our own API.
const OUR_REQUEST_HEADERS: [&str; 11] = [
    "accept-encoding",
    "content-length",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "x-filespin-api-key",
];

/// Those that have a field of their own, or describe this one transfer.
const OUR_RESPONSE_HEADERS: [&str; 7] = [
    "accept-ranges",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
];

/// A web server as bucket.
pub(super) struct Web {
    fetcher: Fetcher,
    base: Url,
    requests: Names,
    responses: Names,
}

impl Web {
    /// The configured server.
    pub(super) fn open(config: &Config) -> Result<Self, OpenError> {
        let base = base(&config.http).map_err(OpenError::Setting)?;
        let names = |list: Forward| list.names().map_err(OpenError::Setting);
        Ok(Self {
            fetcher: Fetcher::new(config, &base)?,
            requests: names(Forward::requests(&config.http))?,
            responses: names(Forward::responses(&config.http))?,
            base,
        })
    }

    fn url(&self, key: &ObjectKey) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", url.path(), utf8_percent_encode(key.as_str(), ENCODED)));
        url
    }

    async fn send(&self, method: &Method, key: &ObjectKey, ask: &Ask) -> Result<Response, Error> {
        let headers = fetch::request_headers(ask, self.requests.select(&ask.headers));
        let mut url = self.url(key);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.fetcher.send(method, &url, &headers).await?;
            if !fetch::is_redirect(response.status()) {
                return Ok(response);
            }
            url = self.redirect(&url, &response)?;
        }
        Err(Error::BadAnswer(format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn redirect(&self, from: &Url, response: &Response) -> Result<Url, Error> {
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok());
        let is_ours = |to: &Url| to.origin() == self.base.origin() && to.username().is_empty();
        to.filter(is_ours)
            .ok_or_else(|| Error::BadAnswer("a redirect to another host or to nowhere".to_owned()))
    }

    /// The facts with the headers that pass. `asked` are the client's.
    fn with_headers(&self, info: ObjectInfo, headers: &HeaderMap, asked: &HeaderMap) -> ObjectInfo {
        let mut passed = self.responses.select(headers);
        sharing::narrow_vary(&mut passed, |name| self.requests.pass(name));
        if sharing::is_personal(&self.requests.select(asked), &passed) {
            sharing::keep_private(&mut passed);
        }
        ObjectInfo { headers: passed, ..info }
    }

    /// For servers that know no HEAD: the first byte tells the facts as well.
    async fn head_by_get(&self, key: &ObjectKey) -> Result<ObjectInfo, Error> {
        let ask = Ask { range: Some(ByteRange::Between(0, 0)), ..Ask::default() };
        let response = self.send(&Method::GET, key, &ask).await?;
        let headers = response.headers().clone();
        let info = match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => {
                ObjectInfo { length: fetch::length_of_unsatisfied(&response), ..ObjectInfo::default() }
            }
            _ => match self.fetcher.answer(response, &ask)? {
                Answer::NotModified(info) | Answer::Object(Object { info, .. }) => info,
            },
        };
        Ok(self.with_headers(info, &headers, &HeaderMap::new()))
    }
}

#[async_trait]
impl Origin for Web {
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, Error> {
        let response = self.send(&Method::HEAD, key, &Ask::default()).await?;
        match response.status() {
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => self.head_by_get(key).await,
            _ => Ok(self.with_headers(fetch::head_info(&response)?, response.headers(), &HeaderMap::new())),
        }
    }

    async fn get(&self, key: &ObjectKey, ask: &Ask) -> Result<Answer, Error> {
        let response = self.send(&Method::GET, key, ask).await?;
        let status = response.status();
        if status == StatusCode::RANGE_NOT_SATISFIABLE && ask.range.is_some() {
            let length = match fetch::length_of_unsatisfied(&response) {
                Some(length) => length,
                None => self.head(key).await?.length.unwrap_or_default(),
            };
            return Err(Error::RangeOutside { length });
        }
        if status.is_client_error() || status.is_server_error() {
            let told = self.with_headers(ObjectInfo::default(), response.headers(), &ask.headers);
            self.fetcher.error_body(response).await;
            return Err(match fetch::failure(status, "") {
                Error::NotFound(_) => Error::NotFound(Box::new(told.headers)),
                other => other,
            });
        }
        let headers = response.headers().clone();
        Ok(match self.fetcher.answer(response, ask)? {
            Answer::NotModified(info) => Answer::NotModified(self.with_headers(info, &headers, &ask.headers)),
            Answer::Object(mut object) => {
                object.info = self.with_headers(object.info, &headers, &ask.headers);
                Answer::Object(object)
            }
        })
    }

    fn sees(&self, name: &HeaderName) -> bool {
        self.requests.pass(name)
    }

    /// Whatever the server says of its root, it speaks; only its own faults count.
    async fn ready(&self) -> Result<(), Error> {
        let response = self.fetcher.send(&Method::HEAD, &self.base, &HeaderMap::new()).await?;
        match response.status() {
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Err(fetch::failure(status, ""))
            }
            _ => Ok(()),
        }
    }
}

/// Everything that is wrong with the section.
pub(super) fn check(config: &HttpConfig) -> Vec<Problem> {
    let lists = [Forward::requests(config).names(), Forward::responses(config).names()];
    base(config).err().into_iter().chain(lists.into_iter().filter_map(Result::err)).collect()
}

/// The base URL with the slash that keys are appended to.
fn base(config: &HttpConfig) -> Result<Url, Problem> {
    let problem = |why| Problem::new("origin.http.base_url", &config.base_url, why);
    let mut base = config.base_url.parse().map_err(problem)?;
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

/// One of the two lists, as configured.
struct Forward<'a> {
    key: &'static str,
    list: &'a [String],
    always: &'static [&'static str],
    never: &'static [&'static str],
}

impl<'a> Forward<'a> {
    fn requests(config: &'a HttpConfig) -> Self {
        let key = "origin.http.forward_request_headers";
        Self { key, list: &config.forward_request_headers, always: &[], never: &OUR_REQUEST_HEADERS }
    }

    fn responses(config: &'a HttpConfig) -> Self {
        let key = "origin.http.forward_response_headers";
        Self { key, list: &config.forward_response_headers, always: &FRESHNESS, never: &OUR_RESPONSE_HEADERS }
    }

    fn names(&self) -> Result<Names, Problem> {
        let mut names = Names { all: false, some: Vec::new(), never: self.never };
        for text in self.list.iter().map(String::as_str).chain(self.always.iter().copied()) {
            match HeaderName::try_from(text) {
                Ok(_) if text == "*" => names.all = true,
                Ok(name) if names.is_ours(&name) => {
                    return Err(Problem::new(self.key, text, "this header is never passed on; remove it"));
                }
                Ok(name) => names.some.push(name),
                Err(_) => return Err(Problem::new(self.key, text, "must be the name of a header, or \"*\"")),
            }
        }
        Ok(names)
    }
}

/// Which headers pass.
struct Names {
    all: bool,
    some: Vec<HeaderName>,
    never: &'static [&'static str],
}

impl Names {
    fn is_ours(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        HOP_BY_HOP.contains(&name) || self.never.contains(&name) || name.starts_with("kinora-")
    }

    fn pass(&self, name: &HeaderName) -> bool {
        (self.all || self.some.contains(name)) && !self.is_ours(name)
    }

    fn select(&self, from: &HeaderMap) -> HeaderMap {
        let of_connection = |name: &HeaderName| {
            let lists = from.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
            lists
                .flat_map(|list| list.split(','))
                .any(|other| other.trim().eq_ignore_ascii_case(name.as_str()))
        };
        let mut passed = HeaderMap::new();
        for (name, value) in from {
            if self.pass(name) && !of_connection(name) {
                passed.append(name, value.clone());
            }
        }
        passed
    }
}
