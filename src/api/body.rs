//! Bodies of requests that are short enough to be read whole.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use serde::de::DeserializeOwned;

use crate::failure::{Code, Failure};

/// The largest body that is read whole.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// The whole body. One that announces itself as too large is refused unread.
pub(super) async fn whole(request: Request) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(Code::BodyTooLarge, format!("at most {MAX_BODY_BYTES} bytes"));
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Failure::new(Code::BadRequest, "the body did not arrive"),
    })
}

/// The value of a body that is a JSON object.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Serde would read a list as well, by the order of its members.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Failure::new(Code::BadRequest, "the body must be a JSON object"));
    }
    value(body)
}

/// The value of a body that is JSON.
pub(super) fn value<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(Code::BadRequest, error.to_string()))
}
