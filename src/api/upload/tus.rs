//! `/api/v1/uploads`: tus 1.0.0 with creation, creation-with-upload, creation-defer-length, termination, checksum,
//! expiration and concatenation.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request};

use crate::api::body;
use crate::api::public::{Public, Uploader, only, refuse};
use crate::api::upload::new::CustomMetadata;
use crate::api::upload::tus_headers::{self as tus, Concat};
use crate::api::upload::{say, to_the_end, uploader};
use crate::failure::{Code, Failure};
use crate::origin;
use crate::origin::Body;
use crate::upload::{NewUpload, Standing};

/// A file that was given no name.
const NAMELESS: &str = "file";

/// The most uploads that become one.
const MOST_PIECES: usize = 1000;

const ASSET: HeaderName = HeaderName::from_static("kinora-asset-id");

/// `/api/v1/uploads`.
pub(super) async fn uploads(State(public): State<Arc<Public>>, request: Request) -> Response {
    let answer = match method(&request) {
        Method::OPTIONS => Ok(capabilities(&public)),
        Method::POST => create(public, request).await,
        _ => return only("OPTIONS, POST"),
    };
    with_version(answer)
}

/// `/api/v1/uploads/{id}`.
pub(super) async fn upload(
    State(public): State<Arc<Public>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let answer = match method(&request) {
        Method::OPTIONS => Ok(capabilities(&public)),
        Method::HEAD => show(&public, &id, request.headers()).await,
        Method::PATCH => append(public, id, request).await,
        Method::DELETE => terminate(public, id, request).await,
        _ => return only("OPTIONS, HEAD, PATCH, DELETE"),
    };
    with_version(answer)
}

/// Some clients can send no other methods than GET and POST.
fn method(request: &Request) -> Method {
    let said = request.headers().get("x-http-method-override");
    said.and_then(|said| Method::from_bytes(said.as_bytes()).ok()).unwrap_or_else(|| request.method().clone())
}

fn with_version(answer: Result<Response, Failure>) -> Response {
    let mut response = answer.unwrap_or_else(refuse);
    let headers = response.headers_mut();
    headers.insert("tus-resumable", HeaderValue::from_static(tus::VERSION));
    if response.status() == StatusCode::PRECONDITION_FAILED {
        response.headers_mut().insert("tus-version", HeaderValue::from_static(tus::VERSION));
    }
    response
}

fn capabilities(public: &Public) -> Response {
    let max_size = public.uploads.config.max_bytes.as_u64().to_string();
    let headers = [
        ("tus-version", tus::VERSION),
        ("tus-extension", tus::EXTENSIONS),
        ("tus-checksum-algorithm", tus::ALGORITHMS),
        ("tus-max-size", &max_size),
    ];
    (StatusCode::NO_CONTENT, headers.map(|(name, value)| (name, value.to_owned()))).into_response()
}

/// Who may go on with an upload: an owner's server, or the page that has begun it.
async fn admit(public: &Public, headers: &HeaderMap, id: &str) -> Result<(), Failure> {
    if let Uploader::Page(key) = public.authorize_upload(headers)? {
        let creator = public.uploads.creator_id(id).await?;
        if creator.as_ref() != Some(&key.id) {
            return Err(Failure::new(Code::NotFound, "there is no such upload"));
        }
    }
    check_version(headers)
}

fn check_version(headers: &HeaderMap) -> Result<(), Failure> {
    match tus::text(headers, "tus-resumable")? {
        Some(tus::VERSION) => Ok(()),
        _ => Err(Failure::new(Code::TusVersion, "send `Tus-Resumable: 1.0.0`")),
    }
}

async fn create(public: Arc<Public>, request: Request) -> Result<Response, Failure> {
    let (about, limits) = uploader(&public, request.headers())?;
    check_version(request.headers())?;
    let (head, bytes) = request.into_parts();
    let concat = tus::concat(&head.headers)?;
    let length = match &concat {
        Some(Concat::Final(_)) => None,
        Some(Concat::Partial) | None => tus::length(&head.headers)?,
    };
    let is_piece = concat == Some(Concat::Partial);
    let (mut wish, custom) =
        wish(&head.headers, NewUpload { length, is_piece, limits, about, ..NewUpload::default() })?;
    say(&public, custom, &mut wish.about).await?;
    let has_bytes = is_offset_type(&head.headers);
    let standing = to_the_end(async move {
        if let Some(Concat::Final(ids)) = concat {
            if ids.len() > MOST_PIECES {
                return Err(Failure::new(
                    Code::BadRequest,
                    format!("at most {MOST_PIECES} uploads become one"),
                ));
            }
            for id in &ids {
                admit(&public, &head.headers, id).await?;
            }
            return Ok(public.uploads.join(&ids, wish).await?);
        }
        let standing = public.uploads.create(wish).await?;
        match has_bytes {
            true => {
                let checksum = tus::checksum(&head.headers)?;
                Ok(public.uploads.append(&standing.id, 0, None, stream(bytes), checksum).await?)
            }
            false => Ok(standing),
        }
    })
    .await?;
    let location = (LOCATION, format!("/api/v1/uploads/{}", standing.id));
    Ok((StatusCode::CREATED, [location], facts(&standing)).into_response())
}

/// What the headers say of a new upload.
fn wish(headers: &HeaderMap, known: NewUpload) -> Result<(NewUpload, CustomMetadata), Failure> {
    let pairs = tus::metadata(headers)?;
    let text = |names: [&str; 2]| {
        let found = names.into_iter().find_map(|name| pairs.get(name));
        found.map(|bytes| String::from_utf8(bytes.clone())).transpose().map_err(|_| {
            Failure::new(Code::BadRequest, format!("`{}` of `Upload-Metadata` is no UTF-8", names[0]))
        })
    };
    let custom = match pairs.get("custom_metadata") {
        Some(json) => body::object(json)?,
        None => CustomMetadata::default(),
    };
    let wish = NewUpload {
        name: text(["filename", "name"])?.unwrap_or_else(|| NAMELESS.to_owned()),
        declared_type: text(["filetype", "type"])?.filter(|declared| !declared.is_empty()),
        note: tus::text(headers, "upload-metadata")?.unwrap_or_default().to_owned(),
        made_of: tus::text(headers, "upload-concat")?.map(str::to_owned),
        ..known
    };
    Ok((wish, custom))
}

async fn show(public: &Public, id: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    admit(public, headers, id).await?;
    let standing = public.uploads.standing(id).await?;
    Ok((StatusCode::OK, [(CACHE_CONTROL, "no-store")], facts(&standing)).into_response())
}

async fn append(public: Arc<Public>, id: String, request: Request) -> Result<Response, Failure> {
    admit(&public, request.headers(), &id).await?;
    let (request::Parts { headers, .. }, bytes) = request.into_parts();
    if !is_offset_type(&headers) {
        return Err(Failure::new(Code::WrongMediaType, format!("send the bytes as `{}`", tus::OFFSET_TYPE)));
    }
    let offset = tus::number(&headers, "upload-offset")?
        .ok_or_else(|| Failure::new(Code::BadRequest, "`Upload-Offset` says where the bytes belong"))?;
    let length = tus::number(&headers, "upload-length")?;
    let checksum = tus::checksum(&headers)?;
    let work = async move { Ok(public.uploads.append(&id, offset, length, stream(bytes), checksum).await?) };
    let standing = to_the_end(work).await?;
    Ok((StatusCode::NO_CONTENT, facts(&standing)).into_response())
}

async fn terminate(public: Arc<Public>, id: String, request: Request) -> Result<Response, Failure> {
    admit(&public, request.headers(), &id).await?;
    to_the_end(async move { Ok(public.uploads.terminate(&id).await?) }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn is_offset_type(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|given| given.as_bytes() == tus::OFFSET_TYPE.as_bytes())
}

fn stream(bytes: axum::body::Body) -> Body {
    Box::pin(bytes.into_data_stream().map_err(|_| origin::Error::Interrupted))
}

/// What every answer tells of an upload.
fn facts(standing: &Standing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut tell = |name: HeaderName, value: String| {
        // What came in a header fits into one.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    let name = HeaderName::from_static;
    tell(name("upload-offset"), standing.offset.to_string());
    match standing.length {
        Some(length) => tell(name("upload-length"), length.to_string()),
        None => tell(name("upload-defer-length"), "1".to_owned()),
    }
    if !standing.note.is_empty() {
        tell(name("upload-metadata"), standing.note.clone());
    }
    if let Some(made_of) = &standing.made_of {
        tell(name("upload-concat"), made_of.clone());
    }
    let expires = UNIX_EPOCH + Duration::from_secs(standing.expires_at);
    tell(name("upload-expires"), httpdate::fmt_http_date(expires));
    if let Some(id) = &standing.asset_id {
        tell(ASSET, id.clone());
    }
    headers
}
