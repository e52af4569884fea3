//! An S3 server that checks signatures, on a temporary directory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use http::{Extensions, HeaderMap, Method, Uri, header};
use hyper::service::Service;
use kinora::origin::{Address, S3Config};
use kinora::setting::Secret;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput,
    PutObjectOutput, Range, Timestamp, TimestampFormat, UploadPartInput, UploadPartOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use tempfile::TempDir;

use crate::support::server::Server;

pub(crate) const ACCESS_KEY_ID: &str = "test-access-key-id";
pub(crate) const SECRET: &str = "test-secret-access-key";
pub(crate) const BUCKET: &str = "originals";

/// A running S3 server with one empty bucket.
pub(crate) struct S3Server {
    server: Server,
    root: TempDir,
    targets: Arc<Mutex<Vec<String>>>,
}

impl S3Server {
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let mut builder = S3ServiceBuilder::new(Store(FileSystem::new(root.path()).expect("a bucket store")));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET));
        let service = builder.build();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = targets.clone();
        let server = Server::start(move |request| {
            seen.lock().expect("no panic").push(format!("{} {}", request.method(), request.uri()));
            let answer = Service::call(&service, request);
            async move { answer.await.ok().map(|response| response.map(Body::new)) }
        });
        Self { server, root, targets }
    }

    /// Stores an object as the server would.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().expect("a bucket")).expect("a prefix");
        std::fs::write(path, bytes).expect("an object");
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The section of the configuration that reaches it.
    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            endpoint: Address::new(self.server.url()),
            bucket: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: Secret::new(SECRET),
            session_token: Secret::default(),
            path_style: true,
        }
    }

    /// Method and target of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.targets.lock().expect("no panic").clone()
    }

    /// The keys of all objects, and what is left of uploads in parts.
    pub(crate) fn stored(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(self.root.path()).expect("below").display().to_string();
                match name.strip_prefix("originals/") {
                    Some(key) => found.push(key.to_owned()),
                    // The rest is what the server knows of the objects.
                    None if name.starts_with(".upload") => found.push(name),
                    None => {}
                }
            }
        }
        found.sort();
        found
    }

    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.path(key)).expect("an object")
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }
}

/// The store, with what it lacks of S3 when objects are read: conditions, and the last bytes of an
/// object that has fewer.
struct Store(FileSystem);

#[async_trait]
impl S3 for Store {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let mut request = request;
        let GetObjectInput { bucket, key, if_match, if_none_match, if_modified_since, .. } =
            request.input.clone();
        let head = HeadObjectInput { bucket, key, ..HeadObjectInput::default() };
        let found = self.0.head_object(asking(head)).await?.output;
        let etag = found.e_tag.clone();
        let has = |condition: ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => etag.as_ref().map(ETag::value) == Some(tag.value()),
        };
        if if_match.is_some_and(|condition| !has(condition)) {
            return Err(S3ErrorCode::PreconditionFailed.into());
        }
        let unchanged = |since: Timestamp| {
            let date = |time: &Timestamp| {
                let mut text = Vec::new();
                time.format(TimestampFormat::HttpDate, &mut text).expect("a date");
                text
            };
            found.last_modified.as_ref().is_some_and(|at| *at <= since || date(at) == date(&since))
        };
        let unchanged = if_modified_since.is_some_and(unchanged);
        if if_none_match.map_or(unchanged, has) {
            let mut error = S3Error::new(S3ErrorCode::NotModified);
            error.set_headers(not_modified_headers(&found));
            return Err(error);
        }
        if let Some(Range::Suffix { length }) = &mut request.input.range {
            *length =
                (*length).min(found.content_length.and_then(|length| length.try_into().ok()).unwrap_or(0));
        }
        self.0.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.0.head_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.0.list_objects_v2(request).await
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.0.put_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.0.delete_object(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.0.create_multipart_upload(request).await
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.0.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let answer = self.0.complete_multipart_upload(request).await;
        answer.map_err(no_such_upload)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let answer = self.0.abort_multipart_upload(request).await;
        answer.map_err(no_such_upload)
    }
}

/// The store says of an upload that it does not know that it belongs to somebody else.
fn no_such_upload(error: S3Error) -> S3Error {
    match error.code() {
        S3ErrorCode::AccessDenied => S3ErrorCode::NoSuchUpload.into(),
        _ => error,
    }
}

fn asking<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: Method::HEAD,
        uri: Uri::default(),
        headers: HeaderMap::new(),
        extensions: Extensions::new(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

fn not_modified_headers(found: &HeadObjectOutput) -> HeaderMap {
    let tag = found.e_tag.as_ref().and_then(|tag| tag.to_http_header().ok());
    tag.into_iter().map(|tag| (header::ETAG, tag)).collect()
}
