//! What paths and queries say: the id of one thing, or the page of a list, newest first, which names
//! the cursor of the next.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use http::Uri;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::failure::{Code, Failure};

const LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// The id in a path. One that is no text names nothing.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let id = Path::from_request_parts(parts, state).await;
        let Path(id) =
            id.map_err(|_: PathRejection| Failure::new(Code::NotFound, "there is no such path"))?;
        Ok(Self(id))
    }
}

/// The query of a request, in which every name must be known.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    let Query(query) =
        Query::try_from_uri(uri).map_err(|error| Failure::new(Code::BadRequest, error.body_text()))?;
    Ok(query)
}

/// How many are wanted.
pub(super) fn limit(wanted: Option<u32>) -> Result<u32, Failure> {
    let limit = wanted.unwrap_or(LIMIT);
    match (1..=MAX_LIMIT).contains(&limit) {
        true => Ok(limit),
        false => Err(Failure::new(Code::BadRequest, format!("`limit` must lie between 1 and {MAX_LIMIT}"))),
    }
}

/// The cursor of the next page, after a page that ends with this one.
pub(super) fn next<T>(page: &[T], limit: u32, place: impl Fn(&T) -> u64) -> Option<u64> {
    let is_full = u32::try_from(page.len()).is_ok_and(|count| count == limit);
    page.last().filter(|_| is_full).map(place)
}
