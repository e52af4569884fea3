//! The control plane's routes, called in this process by the edge.

use std::io;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Request, Response};
use tower::ServiceExt;

use crate::api::public::{Public, public_routes};

/// A body in pieces.
pub type Bytestream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Everything below `/api/` that delivers nothing.
#[derive(Clone)]
pub struct ControlPlane(Router);

impl ControlPlane {
    /// The control plane on these parts.
    pub fn new(public: Public) -> Self {
        Self(public_routes(public))
    }

    /// Answers one request, failures included. A failure is also in the answer's extensions, for the log.
    pub async fn answer(&self, request: Request<Bytestream>) -> Response<Bytestream> {
        let request = request.map(Body::from_stream);
        let response = match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        response.map(|body| {
            let pieces = body.into_data_stream().map(|piece| piece.map_err(io::Error::other));
            Box::pin(pieces) as Bytestream
        })
    }
}
