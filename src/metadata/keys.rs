//! Keys in SQL.

use crate::metadata::db::on;
use crate::metadata::key::sha256;
use crate::metadata::{ActiveKey, Catalog, Error, IssuedKey, Key, KeyKind, NewKey};
use crate::setting::Secret;
use crate::signature::{KeyRing, Scope, SigningKey};

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
            "INSERT INTO keys (id, kind, name, secret_sha256, secret, scopes, origins, any_origin, sha1, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
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

    /// Every key that is not revoked, newest first, with what is needed to recognise it.
    ///
    /// # Errors
    /// That of the database.
    pub async fn active_keys(&self) -> Result<Vec<ActiveKey>, Error> {
        let query = "SELECT * FROM keys WHERE revoked_at IS NULL ORDER BY created_at DESC, rowid DESC";
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query).fetch_all(pool).await)?;
        rows.into_iter().map(Row::active_key).collect()
    }

    /// What requests are verified with: every active signing key and API key.
    ///
    /// # Errors
    /// That of the database.
    pub async fn key_ring(&self) -> Result<KeyRing, Error> {
        let (mut signing, mut api) = (Vec::new(), Vec::new());
        for key in self.active_keys().await? {
            match key {
                ActiveKey::Signing { access_id, secret, sha1 } => {
                    signing.push(SigningKey { access_id, secret, sha1 })
                }
                ActiveKey::Api { secret_sha256, scopes, .. } => {
                    api.push((secret_sha256, scopes.iter().flat_map(|word| Scope::of_word(word)).collect()));
                }
                ActiveKey::Upload { .. } => {}
            }
        }
        Ok(KeyRing::new(signing, api))
    }

    /// Revokes a key at `now` (Unix seconds). The id stays taken; a signing secret is wiped.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] or that of the database.
    pub async fn revoke_key(&self, id: &str, now: u64) -> Result<(), Error> {
        let update = "UPDATE keys SET revoked_at = $1, secret = NULL WHERE id = $2 AND revoked_at IS NULL";
        let count = on!(self.db.writer(), pool => sqlx::query(update)
            .bind(now.cast_signed())
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
        })
    }

    fn active_key(self) -> Result<ActiveKey, Error> {
        let Key { kind, id, scopes, origins, any_origin, sha1, .. } = self.key()?;
        Ok(match kind {
            KeyKind::Api => ActiveKey::Api { id, secret_sha256: self.hash()?, scopes },
            KeyKind::Upload => ActiveKey::Upload { id, secret_sha256: self.hash()?, origins, any_origin },
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
