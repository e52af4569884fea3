//! A failure as an axum response.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use crate::failure::{Failure, PROBLEM_TYPE};
use crate::headers::internal;
use crate::headers::range::Unsatisfiable;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        headers.insert(internal::ERROR, HeaderValue::from_static(self.code.as_str()));
        if let Ok(cause) = HeaderValue::from_str(&internal::printable(&self.cause)) {
            headers.insert(internal::CAUSE, cause);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(length) = self.object_bytes
            && let Ok(range) = HeaderValue::from_str(&Unsatisfiable { length }.content_range())
        {
            headers.insert(CONTENT_RANGE, range);
        }
        response
    }
}
