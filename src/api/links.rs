//! `/api/v1/assets/{id}/get_link` and its plural: links to what an asset has, which work without a key until
//! they expire.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::HOST;
use http::request::Parts;
use humantime::format_rfc3339_seconds;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::api::body;
use crate::api::peer::Peer;
use crate::api::public::{Public, now, only, refuse, uncached};
use crate::failure::{Code, Failure};
use crate::headers::content_disposition::{INLINE, attachment};
use crate::metadata::{AssetObject, AssetSource};
use crate::origin::Presentation;
use crate::request::{AssetId, Source};
use crate::signature::{Scope, SigningKey, sign};

/// Assets of one request.
const MAX_ASSETS: usize = 100;

/// How long a link lives unless the request says otherwise, in seconds.
const DEFAULT_SECONDS: u64 = 600;

/// 19 January 2038, the last second that every client can tell.
const LAST_SECOND: u64 = 2_147_483_647;

/// The longest life of a link to the bucket, as S3 has it.
const BUCKET_SECONDS: u64 = 7 * 24 * 60 * 60;

/// A link.
#[derive(Debug, Serialize)]
struct Link {
    id: String,
    key: String,
    url: String,
    /// ISO 8601.
    expires_at: String,
}

/// One of several: a link, or why there is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Link(Link),
    Refused { id: String, error: &'static str, detail: String },
}

#[derive(Debug, Serialize)]
struct Links {
    links: Vec<Outcome>,
}

/// What the query wishes.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    /// `original`, or the name of a conversion or a preset.
    key: String,
    lives: Life,
    access_id: Option<String>,
    is_download: bool,
    is_for_bucket: bool,
}

/// The parameter `expiry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Seconds(u64),
    Longest,
}

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/assets/{id}/get_link", get(one).fallback(async || only("GET, HEAD")))
        .route("/api/v1/assets/get_link", post(many).fallback(async || only("POST")))
}

async fn one(State(public): State<Arc<Public>>, Path(id): Path<String>, head: Parts) -> Response {
    let answer = async {
        public.authorize(&head.headers, Scope::Read)?;
        Maker::new(&public, &head)?.link(&id).await
    };
    answer.await.map_or_else(refuse, |link| uncached(Json(link)))
}

async fn many(State(public): State<Arc<Public>>, head: Parts, request: Request) -> Response {
    let answer = async {
        public.authorize(&head.headers, Scope::Read)?;
        let maker = Maker::new(&public, &head)?;
        let ids: Vec<String> = body::value(&body::whole(request).await?)?;
        if ids.len() > MAX_ASSETS {
            let detail = format!("{} assets; at most {MAX_ASSETS} in one request", ids.len());
            return Err(Failure::new(Code::BadRequest, detail));
        }
        let mut links = Vec::with_capacity(ids.len());
        for id in ids {
            links.push(match maker.link(&id).await {
                Ok(link) => Outcome::Link(link),
                // What is wrong with us is wrong with all of them.
                Err(failure) if failure.code.status() >= 500 => return Err(failure),
                Err(failure) => Outcome::Refused { id, error: failure.code.as_str(), detail: failure.detail },
            });
        }
        Ok(Links { links })
    };
    answer.await.map_or_else(refuse, |links| uncached(Json(links)))
}

/// Makes the links of one request.
struct Maker<'a> {
    public: &'a Public,
    wish: Wish,
    expires: u64,
    key: SigningKey,
    base: String,
    now: u64,
}

impl<'a> Maker<'a> {
    fn new(public: &'a Public, head: &Parts) -> Result<Self, Failure> {
        let wish = Wish::read(head.uri.query().unwrap_or_default())?;
        let ring = public.keys.load();
        let key = match &wish.access_id {
            Some(access_id) => ring
                .signing_key(access_id)
                .ok_or_else(|| Failure::new(Code::BadRequest, "`accessId` names no active signing key"))?,
            None => ring.newest_signing_key().ok_or_else(|| {
                Failure::new(Code::NoSigningKey, "make one with `kinora key create signing`")
            })?,
        };
        let now = now();
        let expires = wish.expires(now)?;
        Ok(Self { expires, key: key.clone(), base: base(public, head), public, wish, now })
    }

    async fn link(&self, id: &str) -> Result<Link, Failure> {
        let no_asset = || Failure::new(Code::NotFound, "there is no such asset");
        let asset_id: AssetId = id.parse().map_err(|_| no_asset())?;
        let asset = self.public.assets.find(asset_id).await?.ok_or_else(no_asset)?;
        if asset.is_deleted {
            return Err(Failure::new(Code::Deleted, "the asset is deleted"));
        }
        let (path, object) = self.path(&asset, asset_id)?;
        let url = match self.wish.is_for_bucket {
            true => self.of_bucket(&asset, object)?,
            false => {
                let separator = if path.contains('?') { '&' } else { '?' };
                let delivery = if self.wish.is_download { "download" } else { "display" };
                let target = format!("{path}{separator}delivery={delivery}");
                let signed = sign(&target, self.expires, &self.key);
                format!("{}{}", self.base, signed.map_err(|error| Failure::hidden(Code::Internal, error))?)
            }
        };
        Ok(Link { id: asset.id.clone(), key: self.wish.key.clone(), url, expires_at: iso(self.expires) })
    }

    /// Where the edge delivers it, and the object if it is one by itself.
    fn path<'o>(
        &self,
        asset: &'o AssetSource,
        id: AssetId,
    ) -> Result<(String, Option<&'o AssetObject>), Failure> {
        let name = &self.wish.key;
        let original = asset
            .object(&Source::Asset(id))
            .ok_or_else(|| Failure::new(Code::NotStored, format!("its status is {}", asset.status)))?;
        if name == "original" {
            return Ok((format!("/api/v1/assets/{id}/original"), Some(original)));
        }
        let path = format!("/api/v1/assets/{id}/conversions/{name}");
        if self.public.rules.presets.has(name) {
            return Ok((path, None));
        }
        match asset.object(&Source::Conversion(id, name.clone())) {
            Some(object) => Ok((path, Some(object))),
            None => Err(Failure::new(Code::NotFound, "the asset has no conversion of this name")),
        }
    }

    fn of_bucket(&self, asset: &AssetSource, object: Option<&AssetObject>) -> Result<String, Failure> {
        let object = object.ok_or_else(|| {
            Failure::new(Code::BadRequest, "what a preset makes is in no bucket: use link_type=cdn")
        })?;
        let disposition = if self.wish.is_download { attachment(&asset.name) } else { INLINE.to_owned() };
        let presentation =
            Presentation { disposition: Some(&disposition), content_type: Some(&object.content_type) };
        let bucket = self.public.bucket.as_ref();
        let lives = Duration::from_secs(self.expires.saturating_sub(self.now));
        bucket.and_then(|bucket| bucket.presigned_get(&object.key, lives, &presentation)).ok_or_else(|| {
            Failure::new(Code::BadRequest, "this bucket gives no links of its own: use link_type=cdn")
        })
    }
}

/// What stands in front of a path: as configured, or as the client has reached us.
fn base(public: &Public, head: &Parts) -> String {
    if !public.public_url.is_empty() {
        return public.public_url.clone();
    }
    let is_tls = head.extensions.get::<Peer>().is_some_and(|peer| peer.is_tls);
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has it in the target.
    let host = host.or_else(|| head.uri.authority().map(http::uri::Authority::as_str));
    host.map(|host| format!("{}://{host}", if is_tls { "https" } else { "http" })).unwrap_or_default()
}

fn iso(seconds: u64) -> String {
    format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

impl Wish {
    fn read(query: &str) -> Result<Self, Failure> {
        let (mut key, mut lives, mut access_id) = (None, None, None);
        let (mut is_download, mut is_for_bucket) = (None, None);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, raw) = parameter.split_once('=').unwrap_or((parameter, ""));
            if raw.is_empty() {
                continue;
            }
            let value = percent_decode_str(raw).decode_utf8_lossy().into_owned();
            let bad = |allowed: &str| Failure::new(Code::BadOption, format!("`{name}` takes {allowed}"));
            let is_first = match name {
                "key" => key.replace(value).is_none(),
                "accessId" => access_id.replace(value).is_none(),
                "expiry" => {
                    lives.replace(Life::read(&value).ok_or_else(|| bad("seconds, or MAX"))?).is_none()
                }
                "delivery" => {
                    let choice = choose(&value, ["display", "download"]);
                    is_download.replace(choice.ok_or_else(|| bad("display or download"))?).is_none()
                }
                "link_type" => {
                    let choice = choose(&value, ["cdn", "object_storage"]);
                    is_for_bucket.replace(choice.ok_or_else(|| bad("cdn or object_storage"))?).is_none()
                }
                _ => {
                    return Err(Failure::new(
                        Code::BadOption,
                        "there are key, expiry, accessId, delivery and link_type",
                    ));
                }
            };
            if !is_first {
                return Err(Failure::new(Code::RepeatedOption, format!("`{name}` is given more than once")));
            }
        }
        Ok(Self {
            key: key.unwrap_or_else(|| "original".to_owned()),
            lives: lives.unwrap_or(Life::Seconds(DEFAULT_SECONDS)),
            access_id,
            is_download: is_download.unwrap_or(true),
            is_for_bucket: is_for_bucket.unwrap_or(false),
        })
    }

    /// The last second of a link made now.
    fn expires(&self, now: u64) -> Result<u64, Failure> {
        let most = if self.is_for_bucket { BUCKET_SECONDS } else { LAST_SECOND.saturating_sub(now) };
        match self.lives {
            Life::Longest => Ok(now + most),
            Life::Seconds(seconds) if (1..=most).contains(&seconds) => Ok(now + seconds),
            Life::Seconds(_) => {
                Err(Failure::new(Code::BadOption, format!("`expiry` takes 1 to {most} seconds, or MAX")))
            }
        }
    }
}

impl Life {
    fn read(text: &str) -> Option<Self> {
        match text {
            "MAX" => Some(Self::Longest),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok().map(Self::Seconds),
            _ => None,
        }
    }
}

/// Whether it is the second of two words.
fn choose(value: &str, words: [&str; 2]) -> Option<bool> {
    words.iter().position(|word| *word == value).map(|place| place == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_a_download_of_the_original_for_ten_minutes() {
        assert_eq!(Wish::read(""), Wish::read("key=&expiry=&accessId=&delivery=&link_type"));
        let wish = Wish::read("").expect("a wish");
        assert_eq!((wish.key.as_str(), wish.is_download, wish.is_for_bucket), ("original", true, false));
        assert_eq!(wish.expires(1_000), Ok(1_600));
        let wish = Wish::read("key=small&delivery=display&link_type=object_storage&expiry=60&accessId=A%2DB");
        let wish = wish.expect("a wish");
        assert_eq!((wish.key.as_str(), wish.is_download, wish.is_for_bucket), ("small", false, true));
        assert_eq!((wish.expires(1_000), wish.access_id.as_deref()), (Ok(1_060), Some("A-B")));
    }

    #[test]
    fn a_link_lives_no_longer_than_can_be_told() {
        let expires = |query: &str| Wish::read(query)?.expires(2_000_000_000);
        assert_eq!(expires("expiry=MAX"), Ok(LAST_SECOND));
        assert_eq!(expires("expiry=147483647"), Ok(LAST_SECOND));
        assert_eq!(expires("expiry=MAX&link_type=object_storage"), Ok(2_000_604_800));
        for query in [
            "expiry=0",
            "expiry=147483648",
            "expiry=604801&link_type=object_storage",
            "expiry=max",
            "expiry=-1",
            "expiry=1.5",
            "expiry=99999999999999999999",
            "delivery=show",
            "link_type=s3",
            "expires=60",
        ] {
            assert_eq!(expires(query).map_err(|failure| failure.code), Err(Code::BadOption), "{query}");
        }
        let twice = Wish::read("key=a&key=b").map_err(|failure| failure.code);
        assert_eq!(twice, Err(Code::RepeatedOption));
    }
}
