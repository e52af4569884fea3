//! `/api/v1/openapi.json` and `/api/v1/docs`: the API described by itself, and a page to read and try it.
//!
//! The description is made of one table, in [`operations`]. Tests hold the table to the routes, and send every
//! example to a running server.

mod operation;
mod operations;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use serde_json::{Value, json};

use crate::api::public::{Public, only};
use crate::failure::{Code, PROBLEM_TYPE};

use operation::Operation;
use operations::operations;

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// The page talks to the server that it came from, and runs nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// It never changes while the program runs.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub(super) fn routes() -> Router<Arc<Public>> {
    let json = async || served("application/json", DOCUMENT.as_str());
    let page = async || served("text/html; charset=utf-8", PAGE);
    let script = async || served("text/javascript; charset=utf-8", SCRIPT);
    Router::new()
        .route("/api/v1/openapi.json", get(json).fallback(async || only("GET, HEAD")))
        .route("/api/v1/docs", get(page).fallback(async || only("GET, HEAD")))
        .route("/api/v1/docs.js", get(script).fallback(async || only("GET, HEAD")))
}

fn served(media_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "public, max-age=300"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

/// The description, OpenAPI 3.1.
fn document() -> Value {
    let mut paths: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for operation in operations() {
        paths.entry(operation.path).or_default().insert(operation.method, operation.describe());
    }
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kinora",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Assets, uploads, data, links, webhooks and keys. Every error is \
                            problem+json (RFC 9457) with a stable `code`.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-FileSpin-Api-Key" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail", "code"],
                    "properties": {
                        "type": { "type": "string" },
                        "title": { "type": "string" },
                        "status": { "type": "integer" },
                        "detail": { "type": "string" },
                        "code": { "type": "string", "enum": codes },
                    },
                },
            },
            "responses": {
                "Problem": {
                    "description": "What went wrong.",
                    "headers": {
                        "Kinora-Error": { "schema": { "type": "string" } },
                        "Retry-After": { "schema": { "type": "integer" } },
                    },
                    "content": { PROBLEM_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The paths that the sources of this folder route.
    fn routed(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                routed(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let routes = text.split(".route(").skip(1).map(|rest| match rest.trim_start().starts_with('"') {
                true => rest,
                false => text.split("let path = ").nth(1).expect("a path"),
            });
            let paths = routes.filter_map(|rest| rest.split('"').nth(1));
            found.extend(paths.filter(|path| path.starts_with("/api/v1/")).map(str::to_owned));
        }
    }

    #[test]
    fn every_path_is_described_and_none_besides() {
        let mut found = BTreeSet::new();
        routed(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api")), &mut found);
        for own in ["docs", "docs.js", "openapi.json"] {
            assert!(found.remove(&format!("/api/v1/{own}")), "{own} describes itself");
        }
        for delivered in ["conversions", "conversions/{name}", "original"] {
            found.insert(format!("/api/v1/assets/{{id}}/{delivered}"));
        }
        let described = operations().iter().map(|operation| operation.path.to_owned()).collect();
        assert_eq!(found, described, "left what is routed, right what is described");
    }

    #[test]
    fn the_document_hangs_together() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let id = operation["operationId"].as_str().expect("an id").to_owned();
                assert!(ids.insert(id.clone()), "{id} is there twice");
                let named: BTreeSet<&str> = operation["parameters"]
                    .as_array()
                    .expect("parameters")
                    .iter()
                    .filter(|parameter| parameter["in"] == "path")
                    .filter_map(|parameter| parameter["name"].as_str())
                    .collect();
                let in_path: BTreeSet<&str> =
                    path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
                assert_eq!(named, in_path, "{method} {path}");
            }
        }
    }
}
