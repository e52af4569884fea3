//! Deleting: into the trash, back, and for good; and conversions alone.

use crate::metadata::asset::store::{changed, held};
use crate::metadata::db::on;
use crate::metadata::{Asset, Catalog, Conversion, Error, EventKind, outbox};
use crate::request::AssetId;

impl Catalog {
    /// Puts an asset into the trash at `now` (Unix seconds), with its conversions.
    ///
    /// # Errors
    /// [`Error::NoSuchAsset`], [`Error::AssetDeleted`] if it lies there, or that of the database.
    pub async fn delete_asset(&self, id: &AssetId, by: Option<&str>, now: u64) -> Result<Asset, Error> {
        let change = |asset: &mut Asset| match asset.deleted_at.replace(now) {
            Some(_) => Err(Error::AssetDeleted(*id)),
            None => Ok(()),
        };
        self.trash(id, EventKind::FileDeleted, by, now, change).await
    }

    /// Takes an asset out of the trash.
    ///
    /// # Errors
    /// [`Error::NoSuchAsset`], [`Error::NotDeleted`], or that of the database.
    pub async fn undelete_asset(&self, id: &AssetId, by: Option<&str>, now: u64) -> Result<Asset, Error> {
        let change = |asset: &mut Asset| asset.deleted_at.take().map(drop).ok_or(Error::NotDeleted(*id));
        self.trash(id, EventKind::FileUndeleted, by, now, change).await
    }

    async fn trash(
        &self,
        id: &AssetId,
        event: EventKind,
        by: Option<&str>,
        now: u64,
        change: impl FnOnce(&mut Asset) -> Result<(), Error>,
    ) -> Result<Asset, Error> {
        let mut tx = self.db.begin().await?;
        let asset = changed(&mut tx, id, None, now, |asset| {
            asset.update_user_id = by.map(str::to_owned);
            change(asset)
        })
        .await?;
        let body = asset.contents_body(event, &asset.contents());
        outbox::record(&mut tx, event, id, asset.version, &body, now).await?;
        self.commit_change(tx, [id]).await?;
        Ok(asset)
    }

    /// Forgets an asset for good, wherever it lies, and gives what it was: its objects are still in the bucket.
    ///
    /// # Errors
    /// [`Error::NoSuchAsset`] or that of the database.
    pub async fn purge_asset(&self, id: &AssetId, now: u64) -> Result<Asset, Error> {
        let mut tx = self.db.begin().await?;
        let asset = held(&mut tx, id).await?;
        for statement in [
            "DELETE FROM asset_words WHERE rowid = (SELECT seq FROM assets WHERE id = $1)",
            "DELETE FROM assets WHERE id = $1",
        ] {
            on!(tx.connection(), connection => sqlx::query(statement)
                .bind(id.to_string())
                .execute(connection)
                .await
                .map(drop))?;
        }
        let event = EventKind::FileDeleted;
        let body = asset.contents_body(event, &asset.contents());
        outbox::record(&mut tx, event, id, asset.version + 1, &body, now).await?;
        self.commit_change(tx, [id]).await?;
        Ok(asset)
    }

    /// Takes conversions away from an asset and gives what they were: their objects are still in the bucket.
    /// Names that it does not have are left out; if all are, nothing happens.
    ///
    /// # Errors
    /// [`Error::NoSuchAsset`], [`Error::AssetDeleted`], or that of the database.
    pub async fn remove_conversions(
        &self,
        id: &AssetId,
        names: &[String],
        by: Option<&str>,
        now: u64,
    ) -> Result<Vec<Conversion>, Error> {
        let mut tx = self.db.begin().await?;
        let mut removed = Vec::new();
        let asset = changed(&mut tx, id, None, now, |asset| {
            if asset.deleted_at.is_some() {
                return Err(Error::AssetDeleted(*id));
            }
            asset.update_user_id = by.map(str::to_owned);
            removed = asset.conversions.extract_if(.., |one| names.contains(&one.name)).collect();
            Ok(())
        })
        .await?;
        if removed.is_empty() {
            // Dropped with the transaction: nothing has happened.
            return Ok(removed);
        }
        let event = EventKind::FileDeleted;
        let names: Vec<_> = removed.iter().map(|one| one.name.clone()).collect();
        let body = asset.contents_body(event, &names);
        outbox::record(&mut tx, event, id, asset.version, &body, now).await?;
        self.commit_change(tx, [id]).await?;
        Ok(removed)
    }
}

impl Asset {
    /// The original and every conversion, by their names.
    pub fn contents(&self) -> Vec<String> {
        let conversions = self.conversions.iter().map(|conversion| conversion.name.clone());
        ["original".to_owned()].into_iter().chain(conversions).collect()
    }
}
