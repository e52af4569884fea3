//! Keys in SQL.

use crate::metadata::db::on;
use crate::metadata::key::sha256;
use crate::metadata::{ActiveKey, Catalog, Error, IssuedKey, Key, KeyKind, NewKey};
use crate::setting::Secret;
use crate::signature::{ApiKey, KeyRing, Scope, SigningKey, UploadKey};

impl Catalog {
    /// Records a new key at `now` (Unix seconds) and hands out its secret, which is not shown again.
    ///
    /// # Errors
    /// [`Error::InvalidKey`], [`Error::DuplicateId`], [`Error::DuplicateSecret`] or that of the database.
    pub async fn create_key(&self, wish: &NewKey, now: u64) -> Result<IssuedKey, Error> {
        let issued = wish.issue()?;
        let hash = (wish.kind != KeyKind::Signing).then(|| sha256(&issued.secret).to_vec());
        let secret = (wish.kind == KeyKind::Signing).then(|| issued.secret.expose());
        let insert =
            "INSERT INTO keys (id, kind, name, secret_sha256, secret, scopes, origins, any_origin, sha1, created_at,
                               expires_at, limits)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let limits =
            serde_json::to_string(&wish.limits).map_err(|error| Error::Damaged(error.to_string()))?;
        let outcome = on!(self.db.writer(), pool => sqlx::query(insert)
            .bind(&issued.id)
            .bind(wish.kind.as_str())
            .bind(&wish.name)
            .bind(hash)
            .bind(secret)
            .bind(list_to_text(&wish.granted_scopes()))
            .bind(list_to_text(&wish.origins))
            .bind(wish.any_origin)
            .bind(wish.sha1)
            .bind(now.cast_signed())
            .bind(wish.expires_at.map(u64::cast_signed))
            .bind(limits)
            .execute(pool)
            .await
            .map(drop));
        match outcome {
            Ok(()) => Ok(issued),
            Err(error) => Err(self.why_not_created(&issued, error).await),
        }
    }

    async fn why_not_created(&self, issued: &IssuedKey, error: sqlx::Error) -> Error {
        let is_duplicate = error.as_database_error().is_some_and(|error| error.is_unique_violation());
        match self.has_key(&issued.id).await {
            Ok(true) if is_duplicate => Error::DuplicateId(issued.id.clone()),
            Ok(false) if is_duplicate => Error::DuplicateSecret,
            _ => Error::Database(error),
        }
    }

    async fn has_key(&self, id: &str) -> Result<bool, Error> {
        let query = "SELECT EXISTS (SELECT 1 FROM keys WHERE id = $1)";
        Ok(on!(self.db.reader(), pool => sqlx::query_scalar(query).bind(id).fetch_one(pool).await)?)
    }

    /// Every key, revoked ones too, oldest first.
    ///
    /// # Errors
    /// That of the database.
    pub async fn keys(&self) -> Result<Vec<Key>, Error> {
        let query = "SELECT * FROM keys ORDER BY created_at, rowid";
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query).fetch_all(pool).await)?;
        rows.into_iter().map(|row| row.key()).collect()
    }

    /// Every key that is neither revoked nor over at `now` (Unix seconds), newest first, with what is needed to
    /// recognise it.
    ///
    /// # Errors
    /// That of the database.
    pub async fn active_keys(&self, now: u64) -> Result<Vec<ActiveKey>, Error> {
        let query = "SELECT * FROM keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
                     ORDER BY created_at DESC, rowid DESC";
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(now.cast_signed())
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(Row::active_key).collect()
    }

    /// When the next active key ends, in Unix seconds.
    ///
    /// # Errors
    /// That of the database.
    pub async fn next_expiry(&self, now: u64) -> Result<Option<u64>, Error> {
        let query = "SELECT MIN(expires_at) FROM keys WHERE revoked_at IS NULL AND expires_at > $1";
        let next: Option<i64> = on!(self.db.reader(), pool => sqlx::query_scalar(query)
            .bind(now.cast_signed())
            .fetch_one(pool)
            .await)?;
        Ok(next.map(i64::cast_unsigned))
    }

    /// What requests are verified with: every key that is active at `now` (Unix seconds).
    ///
    /// # Errors
    /// That of the database.
    pub async fn key_ring(&self, now: u64) -> Result<KeyRing, Error> {
        let (mut signing, mut api, mut upload) = (Vec::new(), Vec::new(), Vec::new());
        for key in self.active_keys(now).await? {
            match key {
                ActiveKey::Signing { access_id, secret, sha1 } => {
                    signing.push(SigningKey { access_id, secret, sha1 })
                }
                ActiveKey::Api { id, secret_sha256, scopes } => {
                    let scopes = scopes.iter().flat_map(|word| Scope::of_word(word)).collect();
                    api.push((secret_sha256, ApiKey { id, scopes }));
                }
                ActiveKey::Upload { secret_sha256, key } => upload.push((secret_sha256, key)),
            }
        }
        Ok(KeyRing::new(signing, api, upload))
    }

    /// The key of this id, also a revoked one.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] or that of the database.
    pub async fn key(&self, id: &str) -> Result<Key, Error> {
        let query = "SELECT * FROM keys WHERE id = $1";
        let row: Option<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(id)
            .fetch_optional(pool)
            .await)?;
        row.ok_or_else(|| Error::NoSuchKey(id.to_owned()))?.key()
    }

    /// Lets an active key end at this second (Unix), which has to be sooner than it does by itself.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] or that of the database.
    pub async fn end_key(&self, id: &str, at: u64) -> Result<(), Error> {
        let update = "UPDATE keys SET expires_at = $1
                      WHERE id = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)";
        self.one_key(update, id, at).await
    }

    /// Remembers when keys were used last.
    ///
    /// # Errors
    /// That of the database.
    pub async fn note_uses(&self, uses: &[(String, u64)]) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        for (id, at) in uses {
            let update = "UPDATE keys SET last_used_at = $1 WHERE id = $2 AND COALESCE(last_used_at, 0) < $1";
            on!(tx.connection(), connection => sqlx::query(update)
                .bind(at.cast_signed())
                .bind(id)
                .execute(connection)
                .await
                .map(drop))?;
        }
        tx.commit().await
    }

    /// Revokes a key at `now` (Unix seconds). The id stays taken; a signing secret is wiped.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] or that of the database.
    pub async fn revoke_key(&self, id: &str, now: u64) -> Result<(), Error> {
        let update = "UPDATE keys SET revoked_at = $1, secret = NULL WHERE id = $2 AND revoked_at IS NULL";
        self.one_key(update, id, now).await
    }

    async fn one_key(&self, update: &'static str, id: &str, at: u64) -> Result<(), Error> {
        let count = on!(self.db.writer(), pool => sqlx::query(update)
            .bind(at.cast_signed())
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        if count == 0 { Err(Error::NoSuchKey(id.to_owned())) } else { Ok(()) }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    id: String,
    name: String,
    secret_sha256: Option<Vec<u8>>,
    secret: Option<String>,
    scopes: String,
    origins: String,
    any_origin: bool,
    sha1: bool,
    created_at: i64,
    revoked_at: Option<i64>,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    limits: String,
}

impl Row {
    fn key(&self) -> Result<Key, Error> {
        Ok(Key {
            kind: self.kind.parse()?,
            id: self.id.clone(),
            name: self.name.clone(),
            scopes: list(&self.scopes)?,
            origins: list(&self.origins)?,
            any_origin: self.any_origin,
            sha1: self.sha1,
            created_at: self.created_at.cast_unsigned(),
            revoked_at: self.revoked_at.map(i64::cast_unsigned),
            expires_at: self.expires_at.map(i64::cast_unsigned),
            last_used_at: self.last_used_at.map(i64::cast_unsigned),
            limits: serde_json::from_str(&self.limits)
                .map_err(|error| Error::Damaged(format!("the limits of a key: {error}")))?,
        })
    }

    fn active_key(self) -> Result<ActiveKey, Error> {
        let Key { kind, id, scopes, origins, any_origin, limits, sha1, .. } = self.key()?;
        Ok(match kind {
            KeyKind::Api => ActiveKey::Api { id, secret_sha256: self.hash()?, scopes },
            KeyKind::Upload => {
                let key = UploadKey { id, origins, any_origin, limits };
                ActiveKey::Upload { secret_sha256: self.hash()?, key }
            }
            KeyKind::Signing => {
                let secret =
                    self.secret.ok_or_else(|| Error::Damaged("a signing key has no secret".to_owned()))?;
                ActiveKey::Signing { access_id: id, secret: Secret::new(secret), sha1 }
            }
        })
    }

    fn hash(&self) -> Result<[u8; 32], Error> {
        let bytes = self.secret_sha256.as_deref().unwrap_or_default();
        bytes.try_into().map_err(|_| Error::Damaged("the hash of a key is not one of SHA-256".to_owned()))
    }
}

fn list_to_text(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

fn list(text: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(format!("a list of a key: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::on_both::{Place, on_both_databases};
    use crate::signature::UploadLimits;

    on_both_databases!(
        a_key_ends_by_itself,
        uses_are_remembered_and_never_go_back,
        ids_and_secrets_are_taken_once_and_for_all,
    );

    async fn a_key_ends_by_itself(place: Place) {
        let catalog = place.open().await;
        let limits = UploadLimits { max_files: Some(3), ..UploadLimits::default() };
        let wish = NewKey { limits: limits.clone(), expires_at: Some(100), ..NewKey::of(KeyKind::Upload) };
        let short = catalog.create_key(&wish, 1).await.expect("made");
        let long = catalog.create_key(&NewKey::of(KeyKind::Api), 1).await.expect("made");
        let ids = async |now| {
            let ring = catalog.key_ring(now).await.expect("read");
            let upload = ring.upload_key(short.secret.expose()).map(|key| key.limits.clone());
            (upload, ring.has_api_key(long.secret.expose()))
        };
        assert_eq!(ids(99).await, (Some(limits), true));
        assert_eq!(ids(100).await, (None, true));
        assert_eq!(catalog.next_expiry(99).await.expect("read"), Some(100));
        assert_eq!(catalog.next_expiry(100).await.expect("read"), None);
        catalog.end_key(&long.id, 200).await.expect("set");
        assert!(
            matches!(catalog.end_key(&long.id, 300).await, Err(Error::NoSuchKey(_))),
            "no later than it does"
        );
        assert_eq!((ids(199).await.1, ids(200).await.1), (true, false));
        assert_eq!(catalog.key(&long.id).await.expect("read").expires_at, Some(200));
        assert!(matches!(catalog.key("NOBODY").await, Err(Error::NoSuchKey(_))));
    }

    async fn uses_are_remembered_and_never_go_back(place: Place) {
        let catalog = place.open().await;
        let key = catalog.create_key(&NewKey::of(KeyKind::Api), 1).await.expect("made");
        let used = async || catalog.key(&key.id).await.expect("read").last_used_at;
        assert_eq!(used().await, None);
        for (at, expected) in [(50, 50), (40, 50), (60, 60)] {
            catalog.note_uses(&[(key.id.clone(), at), ("NOBODY".to_owned(), at)]).await.expect("noted");
            assert_eq!(used().await, Some(expected), "{at}");
        }
    }

    async fn ids_and_secrets_are_taken_once_and_for_all(place: Place) {
        let catalog = place.open().await;
        let make = async |id: &str, secret: &str, kind| {
            let pair = Some((id.to_owned(), Secret::new(secret)));
            catalog.create_key(&NewKey { pair, ..NewKey::of(kind) }, 1).await
        };
        let (one, two) = ("0123456789abcdef", "another-secret-1");
        make("mine", one, KeyKind::Api).await.expect("made");
        for (id, secret) in [("mine", two), ("other", one)] {
            let refused = make(id, secret, KeyKind::Upload).await;
            let is_told = match id {
                "mine" => matches!(refused, Err(Error::DuplicateId(_))),
                _ => matches!(refused, Err(Error::DuplicateSecret)),
            };
            assert!(is_told, "{id}: {refused:?}");
        }
        make("signer", two, KeyKind::Signing).await.expect("made");
        for id in ["mine", "signer"] {
            catalog.revoke_key(id, 2).await.expect("revoked");
            let again = catalog.revoke_key(id, 3).await;
            assert!(matches!(again, Err(Error::NoSuchKey(_))), "{id}: {again:?}");
            let revived = make(id, "a-third-secret-1", KeyKind::Api).await;
            assert!(matches!(revived, Err(Error::DuplicateId(_))), "a revoked id stays taken: {revived:?}");
        }
        let listed: Vec<_> = catalog.keys().await.expect("listed").into_iter().map(|key| key.id).collect();
        assert_eq!(listed, ["mine", "signer"], "in the order of their making");
    }
}
