//! A receiver of webhooks: it writes down what comes, and answers as a test wants.

#![allow(dead_code, reason = "each subject uses some of it")]

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Response};

use crate::support::edge::eventually;
use crate::support::server::Server;

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What is answered to one.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    /// With this header.
    With(u16, &'static str, String),
    /// Nothing, ever.
    Hang,
}

pub(crate) struct Receiver {
    server: Server,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Call {
    pub(crate) fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().expect("text")
    }
}

impl Receiver {
    /// Answers the call of each number, beginning with 0, as `answer` says.
    pub(crate) fn start(answer: impl Fn(usize, &Call) -> Answer + Clone + Send + 'static) -> Self {
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let seen = Arc::clone(&calls);
        let server = Server::start(move |request: http::Request<hyper::body::Incoming>| {
            let (answer, seen) = (answer.clone(), Arc::clone(&seen));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.expect("a whole body");
                let call =
                    Call { path: head.uri.path().to_owned(), headers: head.headers, body: body.to_vec() };
                let number = {
                    let mut calls = seen.lock().expect("no panic");
                    calls.push(call.clone());
                    calls.len() - 1
                };
                let response = Response::builder();
                let response = match answer(number, &call) {
                    Answer::Status(status) => response.status(status),
                    Answer::With(status, name, value) => response.status(status).header(name, value),
                    Answer::Hang => std::future::pending().await,
                };
                Some(response.body(Body::from(format!("answer {number}"))).expect("a response"))
            }
        });
        Self { server, calls }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic").clone()
    }

    /// Waits until there were so many calls.
    pub(crate) async fn until(&self, count: usize) -> Vec<Call> {
        eventually(&format!("{count} calls"), async || {
            Some(self.calls()).filter(|calls| calls.len() >= count)
        })
        .await
    }
}
