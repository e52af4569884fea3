//! Keys in SQL.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

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
        let insert = sqlx::query(
            "INSERT INTO keys (id, kind, name, secret_sha256, secret, scopes, origins, any_origin, sha1, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        let outcome = insert
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
            .execute(&self.writer)
            .await;
        match outcome {
            Ok(_) => Ok(issued),
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
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM keys WHERE id = ?)");
        Ok(query.bind(id).fetch_one(&self.readers).await?)
    }

    /// Every key, revoked ones too, oldest first.
    ///
    /// # Errors
    /// That of the database.
    pub async fn keys(&self) -> Result<Vec<Key>, Error> {
        let query = sqlx::query("SELECT * FROM keys ORDER BY created_at, rowid");
        query.fetch_all(&self.readers).await?.iter().map(key).collect()
    }

    /// Every key that is not revoked, newest first, with what is needed to recognise it.
    ///
    /// # Errors
    /// That of the database.
    pub async fn active_keys(&self) -> Result<Vec<ActiveKey>, Error> {
        let query =
            sqlx::query("SELECT * FROM keys WHERE revoked_at IS NULL ORDER BY created_at DESC, rowid DESC");
        query.fetch_all(&self.readers).await?.iter().map(active_key).collect()
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
        let update =
            sqlx::query("UPDATE keys SET revoked_at = ?, secret = NULL WHERE id = ? AND revoked_at IS NULL");
        let done = update.bind(now.cast_signed()).bind(id).execute(&self.writer).await?;
        if done.rows_affected() == 0 { Err(Error::NoSuchKey(id.to_owned())) } else { Ok(()) }
    }
}

fn key(row: &SqliteRow) -> Result<Key, Error> {
    Ok(Key {
        kind: row.try_get::<&str, _>("kind")?.parse()?,
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        scopes: list(row, "scopes")?,
        origins: list(row, "origins")?,
        any_origin: row.try_get("any_origin")?,
        sha1: row.try_get("sha1")?,
        created_at: row.try_get::<i64, _>("created_at")?.cast_unsigned(),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(i64::cast_unsigned),
    })
}

fn active_key(row: &SqliteRow) -> Result<ActiveKey, Error> {
    let Key { kind, id, scopes, origins, any_origin, sha1, .. } = key(row)?;
    Ok(match kind {
        KeyKind::Api => ActiveKey::Api { id, secret_sha256: hash(row)?, scopes },
        KeyKind::Upload => ActiveKey::Upload { id, secret_sha256: hash(row)?, origins, any_origin },
        KeyKind::Signing => {
            let secret = Secret::new(row.try_get::<String, _>("secret")?);
            ActiveKey::Signing { access_id: id, secret, sha1 }
        }
    })
}

fn hash(row: &SqliteRow) -> Result<[u8; 32], Error> {
    let bytes: &[u8] = row.try_get("secret_sha256")?;
    bytes.try_into().map_err(|_| Error::Damaged("the hash of a key is not one of SHA-256".to_owned()))
}

fn list_to_text(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

fn list(row: &SqliteRow, column: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| Error::Damaged(format!("{column}: {error}")))
}
