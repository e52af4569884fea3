//! `Idempotency-Key`: a request that creates something may be sent again, and is done once. The second one gets
//! the first one's answer, for a day.
//!
//! What a form with files says is told by its length: its bytes pass through, whatever they are. An answer that
//! shows a secret is never kept, so what makes keys and webhooks heeds no such header.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest, Sha256};

use crate::api::body;
use crate::api::public::{Public, now, refuse, uncached};
use crate::failure::{Code, Failure};
use crate::headers::api_key::api_key;
use crate::metadata::{Claim, GivenAnswer, NamedRequest};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that an answer is the first one's.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The answers of the first show secrets; the last has a protocol of its own for what is sent again.
const EXEMPT: [&str; 3] = ["/api/v1/keys", "/api/v1/hooks", "/api/v1/uploads"];

const MAX_NAME_BYTES: usize = 255;

/// How long to stay away while the first one is under way, in seconds.
const COME_AGAIN: u32 = 2;

/// Lets a named request pass once.
pub(super) async fn once(State(public): State<Arc<Public>>, request: Request, next: Next) -> Response {
    let is_meant = request.method() == Method::POST
        && request.headers().contains_key(IDEMPOTENCY_KEY)
        && !EXEMPT.iter().any(|path| request.uri().path().starts_with(path));
    let key = api_key(request.headers())
        .and_then(|sent| public.keys.load().api_key(sent).map(|key| key.id.clone()));
    match key.filter(|_| is_meant) {
        Some(key_id) => answer(&public, key_id, request, next).await.unwrap_or_else(refuse),
        // Who has no key is refused behind, and creates nothing.
        None => next.run(request).await,
    }
}

async fn answer(public: &Public, key_id: String, request: Request, next: Next) -> Result<Response, Failure> {
    let name = name(request.headers())?;
    let (sha256, request) = read(request).await?;
    let named = NamedRequest { key_id, name, sha256 };
    match public.catalog.claim_request(&named, now()).await? {
        Claim::First => {}
        Claim::Done(answer) => return Ok(again(answer)),
        Claim::UnderWay => {
            let failure = Failure::new(Code::IdempotencyUnderWay, "the first request is still under way");
            return Err(failure.retry_after(COME_AGAIN));
        }
        Claim::Other => {
            let detail = "this `Idempotency-Key` was sent with another request";
            return Err(Failure::new(Code::IdempotencyKeyReused, detail));
        }
    }
    let (head, body) = next.run(request).await.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| Failure::hidden(Code::Internal, error))?;
    // What failed here, or was only put off, may go better the next time.
    if head.status.is_server_error() || head.status == StatusCode::TOO_MANY_REQUESTS {
        public.catalog.release_request(&named).await?;
    } else {
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let answer = GivenAnswer {
            status: head.status.as_u16().into(),
            content_type: content_type.map(str::to_owned),
            body: body.to_vec(),
        };
        public.catalog.answer_request(&named, &answer, now()).await?;
    }
    Ok(Response::from_parts(head, Body::from(body)))
}

fn name(headers: &HeaderMap) -> Result<String, Failure> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let name = lines.next().and_then(|line| line.to_str().ok()).unwrap_or_default();
    match (1..=MAX_NAME_BYTES).contains(&name.len()) && lines.next().is_none() {
        true => Ok(name.to_owned()),
        false => {
            let detail =
                format!("`Idempotency-Key` is one text of 1 to {MAX_NAME_BYTES} visible ASCII characters");
            Err(Failure::new(Code::BadRequest, detail))
        }
    }
}

/// What a request says, and the request.
async fn read(request: Request) -> Result<([u8; 32], Request), Failure> {
    let is_form =
        request.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"multipart/"));
    let mut hash = Sha256::new();
    hash.update(request.uri().to_string());
    hash.update([0]);
    if is_form {
        hash.update(request.headers().get(CONTENT_LENGTH).map_or(&b""[..], HeaderValue::as_bytes));
        return Ok((hash.finalize().into(), request));
    }
    let (head, body) = request.into_parts();
    let bytes = body::whole(Request::from_parts(head.clone(), body)).await?;
    hash.update(&bytes);
    Ok((hash.finalize().into(), Request::from_parts(head, Body::from(bytes))))
}

fn again(answer: GivenAnswer) -> Response {
    let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = uncached((status.unwrap_or(StatusCode::OK), answer.body).into_response());
    response.headers_mut().remove(CONTENT_TYPE);
    if let Some(content_type) = answer.content_type.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
