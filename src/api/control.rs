//! The control plane for whoever has a request at hand; it needs no listener of its own.

use std::io;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use http::request;
use tower_service::Service;

use crate::api::public::{Public, public_routes};

/// An answer, whose body comes as it is made. A refusal carries its
/// [`Failure`](crate::failure::Failure) in the extensions, for the log.
pub type Answer = http::Response<BoxStream<'static, io::Result<Bytes>>>;

/// Answers requests for the control plane.
#[derive(Clone)]
pub struct Control(Router);

impl Control {
    /// Over [`public_routes`].
    pub fn new(public: Public) -> Self {
        Self(public_routes(public))
    }

    /// Answers one request. Its body is read when it is wanted, which is never before the request has
    /// been let in.
    pub async fn answer(
        &self,
        head: request::Parts,
        body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Answer {
        let request = Request::from_parts(head, Body::from_stream(body));
        let Ok(response) = self.0.clone().call(request).await;
        response.map(|body| body.into_data_stream().map_err(io::Error::other).boxed())
    }
}

impl From<Router> for Control {
    /// Over these routes.
    fn from(routes: Router) -> Self {
        Self(routes)
    }
}
