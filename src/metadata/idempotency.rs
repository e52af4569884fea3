//! Requests that are to be done once, however often they are sent.

use crate::metadata::db::on;
use crate::metadata::{Catalog, Error};

/// An answer is remembered so long, in seconds.
const REMEMBERED: u64 = 24 * 60 * 60;

/// A request whose process has died with it may be sent again after so long, in seconds.
const UNDER_WAY: u64 = 600;

/// A request under the name that its sender gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRequest {
    /// The id of the key that it was sent with.
    pub key_id: String,
    /// Its `Idempotency-Key`.
    pub name: String,
    /// What it says.
    pub sha256: [u8; 32],
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct GivenAnswer {
    /// Its HTTP status.
    pub status: i64,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// What is known of a request under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: whoever asks does it, and no one else.
    First,
    /// Somebody does it right now.
    UnderWay,
    /// The name was given to another request.
    Other,
    /// It was done, and this was the answer.
    Done(GivenAnswer),
}

#[derive(sqlx::FromRow)]
struct Row {
    request_sha256: Vec<u8>,
    status: Option<i64>,
    content_type: Option<String>,
    body: Option<Vec<u8>>,
}

impl Catalog {
    /// Takes a request to do it, at `now` (Unix seconds), if nobody has.
    ///
    /// # Errors
    /// That of the database.
    pub async fn claim_request(&self, request: &NamedRequest, now: u64) -> Result<Claim, Error> {
        let mut tx = self.db.begin().await?;
        let over = "DELETE FROM idempotency WHERE expires_at <= $1";
        on!(tx.connection(), connection => sqlx::query(over)
            .bind(now.cast_signed())
            .execute(connection)
            .await
            .map(drop))?;
        let insert =
            "INSERT INTO idempotency (key_id, name, request_sha256, expires_at) VALUES ($1, $2, $3, $4)
                      ON CONFLICT (key_id, name) DO NOTHING";
        let count = on!(tx.connection(), connection => sqlx::query(insert)
            .bind(&request.key_id)
            .bind(&request.name)
            .bind(request.sha256.as_slice())
            .bind((now + UNDER_WAY).cast_signed())
            .execute(connection)
            .await
            .map(|done| done.rows_affected()))?;
        if count > 0 {
            tx.commit().await?;
            return Ok(Claim::First);
        }
        let query = "SELECT request_sha256, status, content_type, body FROM idempotency
                     WHERE key_id = $1 AND name = $2";
        let row: Row = on!(tx.connection(), connection => sqlx::query_as(query)
            .bind(&request.key_id)
            .bind(&request.name)
            .fetch_one(connection)
            .await)?;
        Ok(match row {
            Row { request_sha256, .. } if request_sha256 != request.sha256 => Claim::Other,
            Row { status: Some(status), content_type, body, .. } => {
                Claim::Done(GivenAnswer { status, content_type, body: body.unwrap_or_default() })
            }
            Row { .. } => Claim::UnderWay,
        })
    }

    /// Remembers the answer to a request that was taken.
    ///
    /// # Errors
    /// That of the database.
    pub async fn answer_request(
        &self,
        request: &NamedRequest,
        answer: &GivenAnswer,
        now: u64,
    ) -> Result<(), Error> {
        let update = "UPDATE idempotency SET status = $1, content_type = $2, body = $3, expires_at = $4
                      WHERE key_id = $5 AND name = $6 AND request_sha256 = $7";
        on!(self.db.writer(), pool => sqlx::query(update)
            .bind(answer.status)
            .bind(&answer.content_type)
            .bind(&answer.body)
            .bind((now + REMEMBERED).cast_signed())
            .bind(&request.key_id)
            .bind(&request.name)
            .bind(request.sha256.as_slice())
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Gives a request back that was taken and not done, so that it may be sent again.
    ///
    /// # Errors
    /// That of the database.
    pub async fn release_request(&self, request: &NamedRequest) -> Result<(), Error> {
        let delete = "DELETE FROM idempotency WHERE key_id = $1 AND name = $2 AND status IS NULL";
        on!(self.db.writer(), pool => sqlx::query(delete)
            .bind(&request.key_id)
            .bind(&request.name)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::on_both::{Place, on_both_databases};

    on_both_databases!(a_request_is_done_once_under_its_name);

    async fn a_request_is_done_once_under_its_name(place: Place) {
        let catalog = place.open().await;
        let request = |key: &str, name: &str, byte| NamedRequest {
            key_id: key.to_owned(),
            name: name.to_owned(),
            sha256: [byte; 32],
        };
        let claim =
            async |request: &NamedRequest, now| catalog.claim_request(request, now).await.expect("asked");
        let one = request("A", "n", 1);
        assert_eq!(claim(&one, 100).await, Claim::First);
        assert_eq!(claim(&one, 100).await, Claim::UnderWay);
        assert_eq!(claim(&request("A", "n", 2), 100).await, Claim::Other);
        assert_eq!(claim(&request("B", "n", 2), 100).await, Claim::First, "each key has its own names");
        catalog.release_request(&one).await.expect("released");
        assert_eq!(claim(&one, 200).await, Claim::First, "it was not done");
        assert_eq!(claim(&one, 800).await, Claim::First, "whoever did it has died");
        let answer = GivenAnswer { status: 201, content_type: Some("a/b".to_owned()), body: b"{}".to_vec() };
        catalog.answer_request(&one, &answer, 900).await.expect("remembered");
        catalog.release_request(&one).await.expect("nothing to release");
        assert_eq!(claim(&one, 900 + REMEMBERED - 1).await, Claim::Done(answer));
        assert_eq!(claim(&one, 900 + REMEMBERED).await, Claim::First);
    }
}
