//! An origin whose requests are counted.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderName;

use crate::origin::{Answer, Ask, Error, ObjectInfo, ObjectKey, Origin};
use crate::telemetry::Metrics;

struct Counted {
    origin: Arc<dyn Origin>,
    metrics: Arc<Metrics>,
}

/// The same origin; every request to it is counted.
pub fn counted(origin: Arc<dyn Origin>, metrics: Arc<Metrics>) -> Arc<dyn Origin> {
    Arc::new(Counted { origin, metrics })
}

#[async_trait]
impl Origin for Counted {
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, Error> {
        let result = self.origin.head(key).await;
        self.metrics.origin_request("head", if result.is_ok() { "ok" } else { "failed" });
        result
    }

    async fn get(&self, key: &ObjectKey, ask: &Ask) -> Result<Answer, Error> {
        let result = self.origin.get(key, ask).await;
        let outcome = match &result {
            Ok(Answer::Object(_)) => "ok",
            Ok(Answer::NotModified(_)) => "not_modified",
            Err(_) => "failed",
        };
        self.metrics.origin_request("get", outcome);
        result
    }

    fn sees(&self, name: &HeaderName) -> bool {
        self.origin.sees(name)
    }

    async fn ready(&self) -> Result<(), Error> {
        self.origin.ready().await
    }
}
