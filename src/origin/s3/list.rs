//! All objects of a bucket, a page at a time.

use futures::stream;
use http::{HeaderMap, Method};
use rusty_s3::S3Action;
use rusty_s3::actions::{ListObjectsV2, ListObjectsV2Response};

use crate::origin::s3::{EXPIRY, S3};
use crate::origin::{Error, Keys, ObjectKey};

/// A page has at most 1000 keys, each at most 1 KiB, with some facts.
const PAGE_BYTES: usize = 8 << 20;

/// Where a listing is: keys that were read and not handed out, the last one first, and what comes next.
struct Place {
    read: Vec<ObjectKey>,
    next: Next,
}

enum Next {
    First,
    Page(String),
    None,
}

impl S3 {
    /// What [`crate::origin::Bucket::keys`] promises, in the order of the bucket.
    pub(super) fn list<'a>(&'a self, prefix: &'a str) -> Keys<'a> {
        let begin = Place { read: Vec::new(), next: Next::First };
        Box::pin(stream::try_unfold(begin, move |mut place| async move {
            loop {
                if let Some(key) = place.read.pop() {
                    return Ok(Some((key, place)));
                }
                let token = match &place.next {
                    Next::None => return Ok(None),
                    Next::First => None,
                    Next::Page(token) => Some(token.as_str()),
                };
                let page = self.page(prefix, token).await?;
                // A name that we could not ask for is none of ours.
                let keys = page.contents.into_iter().filter_map(|object| ObjectKey::new(object.key).ok());
                place.read = keys.collect();
                place.read.reverse();
                place.next = page.next_continuation_token.map_or(Next::None, Next::Page);
            }
        }))
    }

    async fn page(&self, prefix: &str, token: Option<&str>) -> Result<ListObjectsV2Response, Error> {
        let mut list = self.bucket.list_objects_v2(self.credentials.as_ref());
        list.with_prefix(prefix);
        if let Some(token) = token {
            list.with_continuation_token(token);
        }
        let response = self.fetcher.send(&Method::GET, &list.sign(EXPIRY), &HeaderMap::new()).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let body = self.fetcher.body(response, PAGE_BYTES).await?;
        let text = String::from_utf8_lossy(&body);
        ListObjectsV2::parse_response(&text).map_err(|error| Error::BadAnswer(error.to_string()))
    }
}
