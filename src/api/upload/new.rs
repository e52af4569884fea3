//! `POST /api/v1/assets/new/content/original/upload`: every file of a form becomes an asset, all or none.

use std::pin::pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::Future;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::body;
use crate::api::public::{Public, now, refuse, uncached};
use crate::api::upload::form::{Form, Part};
use crate::api::upload::{say, to_the_end, uploader};
use crate::failure::{Code, Failure};
use crate::metadata::Asset;
use crate::origin;
use crate::upload;
use crate::upload::{About, Batch, Incoming};

/// What a text field of ours may have.
const MOST_TEXT_BYTES: usize = 64 * 1024;

/// The field `custom_metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CustomMetadata {
    pub(super) data: Map<String, Value>,
    pub(super) data_schema_id: i64,
}

pub(super) async fn upload(State(public): State<Arc<Public>>, request: Request) -> Response {
    match answer(public, request).await {
        Ok(assets) => uncached(Json(reply(&assets))),
        Err(failure) => refuse(failure),
    }
}

async fn answer(public: Arc<Public>, request: Request) -> Result<Vec<Asset>, Failure> {
    let (mut about, limits) = uploader(&public, request.headers())?;
    let (head, body) = request.into_parts();
    let mut form = Form::new(&head.headers, body)?;
    to_the_end(async move {
        let mut batch = public.uploads.begin()?.within(limits);
        match read(&public, &mut form, &mut batch, &mut about).await {
            Ok(()) => Ok(batch.record(&about, now()).await?),
            Err(failure) => {
                batch.discard().await;
                Err(failure)
            }
        }
    })
    .await
}

fn reply(assets: &[Asset]) -> Value {
    let file = |asset: &Asset| {
        json!({
            "id": asset.id.to_string(),
            "name": asset.name,
            "size": asset.size,
            "checksum": asset.md5,
            "content_type": asset.content_type,
        })
    };
    let files: Vec<_> = assets.iter().map(file).collect();
    json!({ "files": files, "success": true, "provider": "local" })
}

async fn read(public: &Public, form: &mut Form, batch: &mut Batch, about: &mut About) -> Result<(), Failure> {
    while let Some(part) = form.next().await? {
        if part.file_name.is_some() {
            store(form, part, |file| batch.store(file)).await?;
        } else if part.name == "custom_metadata" {
            say(public, body::object(&text(form).await?)?, about).await?;
        }
    }
    match batch.files() {
        [] => Err(Failure::new(Code::NoFile, "send at least one file")),
        _ => Ok(()),
    }
}

/// Stores a part that is a file. A field of a page where nothing was chosen is none.
pub(super) async fn store<F>(
    form: &mut Form,
    part: Part,
    store: impl FnOnce(Incoming) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), upload::Error>>,
{
    let first = form.chunk().await?;
    let name = part.file_name.unwrap_or_default();
    if name.is_empty() && first.is_none() {
        return Ok(());
    }
    let (pieces, body) = mpsc::channel(1);
    let mut next = first;
    let mut feed = pin!(async move {
        while let Some(piece) = next {
            if pieces.send(Ok(piece)).await.is_err() {
                // It was refused, and whoever did so tells why.
                break;
            }
            next = match form.chunk().await {
                Ok(next) => next,
                Err(failure) => {
                    // Nobody listens only if it was refused.
                    let _ = pieces.send(Err(origin::Error::Interrupted)).await;
                    return Err(failure);
                }
            };
        }
        Ok(())
    });
    let file = Incoming {
        name,
        declared_type: part.content_type,
        length: None,
        body: Box::pin(ReceiverStream::new(body)),
    };
    let mut store = pin!(store(file));
    tokio::select! {
        stored = &mut store => Ok(stored?),
        fed = &mut feed => {
            let stored = store.await;
            fed?;
            Ok(stored?)
        }
    }
}

async fn text(form: &mut Form) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    while let Some(piece) = form.chunk().await? {
        text.extend_from_slice(&piece);
        if text.len() > MOST_TEXT_BYTES {
            let detail = format!("`custom_metadata` has at most {MOST_TEXT_BYTES} bytes");
            return Err(Failure::new(Code::BodyTooLarge, detail));
        }
    }
    Ok(text)
}
