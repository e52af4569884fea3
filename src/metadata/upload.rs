//! Uploads: what is on its way into the bucket, and who may work on it.
//!
//! Whoever works on an upload holds it until a time that is put off again and again. Every change proves the
//! hold by its [`Fence`], so somebody who was held up for longer than that changes nothing any more.

use sqlx::FromRow;

use crate::metadata::db::{Tx, on};
use crate::metadata::key::{HEX, draw};
use crate::metadata::{Asset, Catalog, Error, EventKind, asset};
use crate::request::AssetId;

/// What becomes of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// It ends with its request.
    Form,
    /// It goes on with other requests until it expires.
    Tus,
    /// As [`UploadKind::Tus`], but it becomes a piece of another.
    Partial,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// Bytes may come.
    Open,
    /// All bytes are durable; the asset is being made.
    Sealing,
    /// The asset is there, or the piece is whole.
    Done,
}

/// Proves a hold. Nobody else has the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence(String);

/// An upload as the catalogue has it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// 32 hex digits.
    pub id: String,
    /// What becomes of it.
    pub kind: UploadKind,
    /// How far it is.
    pub state: UploadState,
    /// The length that was announced.
    pub length: Option<u64>,
    /// Bytes that outlive the process.
    pub durable: u64,
    /// The draft in the bucket, as JSON.
    pub draft: String,
    /// How far its checksums are.
    pub digests: String,
    /// What else is known of it, as JSON.
    pub about: String,
    /// The asset that was made of it.
    pub asset_id: Option<String>,
    /// Unix seconds.
    pub expires_at: u64,
}

#[derive(FromRow)]
struct Row {
    id: String,
    kind: String,
    state: String,
    length: Option<i64>,
    durable: i64,
    draft: String,
    digests: String,
    about: String,
    asset_id: Option<String>,
    expires_at: i64,
}

/// What came of asking for a hold.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Held(Box<Upload>, Fence),
    /// Somebody has it, and was told that another waits.
    Busy,
    /// There is no such upload.
    Missing,
}

impl UploadKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Tus => "tus",
            Self::Partial => "partial",
        }
    }
}

impl UploadState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealing => "sealing",
            Self::Done => "done",
        }
    }
}

impl Fence {
    /// A new one.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn new() -> Result<Self, Error> {
        Ok(Self(draw(HEX, 32)?))
    }
}

impl Row {
    fn upload(self) -> Result<Upload, Error> {
        let unknown = |what, text: &str| Error::Damaged(format!("unknown {what} of an upload {text:?}"));
        let kinds = [UploadKind::Form, UploadKind::Tus, UploadKind::Partial];
        let states = [UploadState::Open, UploadState::Sealing, UploadState::Done];
        let kind = kinds.into_iter().find(|kind| kind.as_str() == self.kind);
        let state = states.into_iter().find(|state| state.as_str() == self.state);
        Ok(Upload {
            kind: kind.ok_or_else(|| unknown("kind", &self.kind))?,
            state: state.ok_or_else(|| unknown("state", &self.state))?,
            id: self.id,
            length: self.length.map(i64::cast_unsigned),
            durable: self.durable.cast_unsigned(),
            draft: self.draft,
            digests: self.digests,
            about: self.about,
            asset_id: self.asset_id,
            expires_at: self.expires_at.cast_unsigned(),
        })
    }
}

impl Catalog {
    /// Records a new upload, held by `fence` until then (Unix seconds).
    ///
    /// # Errors
    /// That of the database.
    pub async fn create_upload(
        &self,
        upload: &Upload,
        fence: &Fence,
        now: u64,
        until: u64,
    ) -> Result<(), Error> {
        let insert =
            "INSERT INTO uploads (id, kind, state, fence, held_until, length, durable, draft, digests,
                                           about, created_at, expires_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        on!(self.db.writer(), pool => sqlx::query(insert)
            .bind(&upload.id)
            .bind(upload.kind.as_str())
            .bind(upload.state.as_str())
            .bind(&fence.0)
            .bind(until.cast_signed())
            .bind(upload.length.map(u64::cast_signed))
            .bind(upload.durable.cast_signed())
            .bind(&upload.draft)
            .bind(&upload.digests)
            .bind(&upload.about)
            .bind(now.cast_signed())
            .bind(upload.expires_at.cast_signed())
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    /// An upload, whoever holds it.
    ///
    /// # Errors
    /// That of the database.
    pub async fn upload(&self, id: &str) -> Result<Option<Upload>, Error> {
        let query = "SELECT * FROM uploads WHERE id = $1";
        let row: Option<Row> =
            on!(self.db.reader(), pool => sqlx::query_as(query).bind(id).fetch_optional(pool).await)?;
        row.map(Row::upload).transpose()
    }

    /// Takes an upload that nobody holds at `now`. Who holds it learns from [`Catalog::keep_uploads`] that
    /// another waits.
    ///
    /// # Errors
    /// That of the database.
    pub async fn take_upload(&self, id: &str, now: u64, until: u64) -> Result<Taken, Error> {
        let fence = Fence::new()?;
        let take = "UPDATE uploads SET fence = $2, held_until = $3, wanted = FALSE
                    WHERE id = $1 AND held_until <= $4 RETURNING *";
        let row: Option<Row> = on!(self.db.writer(), pool => sqlx::query_as(take)
            .bind(id)
            .bind(&fence.0)
            .bind(until.cast_signed())
            .bind(now.cast_signed())
            .fetch_optional(pool)
            .await)?;
        if let Some(row) = row {
            return Ok(Taken::Held(Box::new(row.upload()?), fence));
        }
        let ask = "UPDATE uploads SET wanted = TRUE WHERE id = $1";
        let found = on!(self.db.writer(), pool => sqlx::query(ask)
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(if found > 0 { Taken::Busy } else { Taken::Missing })
    }

    /// Holds everything behind this fence until then. `false` if nothing is held any more, or if somebody waits
    /// for it.
    ///
    /// # Errors
    /// That of the database.
    pub async fn keep_uploads(&self, fence: &Fence, until: u64) -> Result<bool, Error> {
        let keep = "UPDATE uploads SET held_until = $2 WHERE fence = $1 RETURNING wanted";
        let wanted: Vec<bool> = on!(self.db.writer(), pool => sqlx::query_scalar(keep)
            .bind(&fence.0)
            .bind(until.cast_signed())
            .fetch_all(pool)
            .await)?;
        Ok(!wanted.is_empty() && !wanted.contains(&true))
    }

    /// Writes down how far an upload is. `false` if it is not held by this fence any more.
    ///
    /// # Errors
    /// That of the database.
    pub async fn save_upload(&self, upload: &Upload, fence: &Fence) -> Result<bool, Error> {
        let save =
            "UPDATE uploads SET state = $3, length = $4, durable = $5, draft = $6, digests = $7, about = $8,
                                       expires_at = $9
                    WHERE id = $1 AND fence = $2";
        let saved = on!(self.db.writer(), pool => sqlx::query(save)
            .bind(&upload.id)
            .bind(&fence.0)
            .bind(upload.state.as_str())
            .bind(upload.length.map(u64::cast_signed))
            .bind(upload.durable.cast_signed())
            .bind(&upload.draft)
            .bind(&upload.digests)
            .bind(&upload.about)
            .bind(upload.expires_at.cast_signed())
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(saved > 0)
    }

    /// Gives up the hold.
    ///
    /// # Errors
    /// That of the database.
    pub async fn release_uploads(&self, fence: &Fence) -> Result<(), Error> {
        let release = "UPDATE uploads SET fence = '', held_until = 0, wanted = FALSE WHERE fence = $1";
        on!(self.db.writer(), pool => sqlx::query(release).bind(&fence.0).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets an upload that is held.
    ///
    /// # Errors
    /// That of the database.
    pub async fn forget_upload(&self, id: &str, fence: &Fence) -> Result<(), Error> {
        let delete = "DELETE FROM uploads WHERE id = $1 AND fence = $2";
        on!(self.db.writer(), pool => sqlx::query(delete)
            .bind(id)
            .bind(&fence.0)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Forgets everything behind this fence.
    ///
    /// # Errors
    /// That of the database.
    pub async fn forget_uploads(&self, fence: &Fence) -> Result<(), Error> {
        let delete = "DELETE FROM uploads WHERE fence = $1";
        on!(self.db.writer(), pool => sqlx::query(delete).bind(&fence.0).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Uploads that a sweep has to look at: expired ones, forms that nobody works on any more, and assets that
    /// were being made when their maker ended.
    ///
    /// # Errors
    /// That of the database.
    pub async fn stray_uploads(&self, now: u64, limit: u32) -> Result<Vec<String>, Error> {
        let query = "SELECT id FROM uploads
                     WHERE held_until <= $1 AND (expires_at <= $1 OR kind = 'form' OR state = 'sealing')
                     ORDER BY expires_at LIMIT $2";
        Ok(on!(self.db.reader(), pool => sqlx::query_scalar(query)
            .bind(now.cast_signed())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?)
    }
}

/// Ends everything behind this fence, in the transaction that makes assets of it: what ends with its request is
/// forgotten, what others may still ask about is done.
async fn settle(tx: &mut Tx, fence: &Fence, asset: &AssetId, expected: usize) -> Result<(), Error> {
    let forget = "DELETE FROM uploads WHERE fence = $1 AND kind = 'form'";
    let mut settled = on!(tx.connection(), connection => sqlx::query(forget)
        .bind(&fence.0)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
    let done =
        "UPDATE uploads SET state = 'done', asset_id = $2, fence = '', held_until = 0 WHERE fence = $1";
    settled += on!(tx.connection(), connection => sqlx::query(done)
        .bind(&fence.0)
        .bind(asset.to_string())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
    if settled == expected as u64 { Ok(()) } else { Err(Error::UploadLost) }
}

impl Catalog {
    /// Makes assets of uploads: all of it, with its events, or nothing. The assets are stored and, since a picture
    /// has been looked at by then, processed.
    ///
    /// # Errors
    /// [`Error::UploadLost`] if they are not held by this fence any more, or that of the database.
    pub async fn settle_uploads(&self, fence: &Fence, assets: &[Asset], now: u64) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        if let Some(asset) = assets.first() {
            settle(&mut tx, fence, &asset.id, assets.len()).await?;
        }
        for asset in assets {
            asset::insert(&mut tx, asset, Some(EventKind::FileSaved), now).await?;
            let processed = Some(EventKind::FileProcessed);
            asset::change_in::<Error>(&mut tx, &asset.id, None, processed, now, |_| Ok(())).await?;
        }
        self.commit_change(tx, assets.iter().map(|asset| &asset.id)).await
    }

    /// Makes an upload part of an asset that there is, as [`Catalog::change_asset`] does.
    ///
    /// # Errors
    /// [`Error::UploadLost`], and those of [`Catalog::change_asset`].
    pub async fn settle_upload_into<E: From<Error>>(
        &self,
        fence: &Fence,
        id: &AssetId,
        event: EventKind,
        now: u64,
        change: impl FnOnce(&mut Asset) -> Result<(), E>,
    ) -> Result<Asset, E> {
        let mut tx = self.db.begin().await?;
        settle(&mut tx, fence, id, 1).await?;
        let asset = asset::change_in(&mut tx, id, None, Some(event), now, change).await?;
        self.commit_change(tx, [id]).await?;
        Ok(asset)
    }
}

#[cfg(test)]
mod tests {
    use crate::metadata::on_both::{Place, on_both_databases};

    use super::*;

    on_both_databases!(one_holds_it_at_a_time, what_was_saved_is_found, strays_are_found);

    fn upload(id: &str, kind: UploadKind) -> Upload {
        Upload {
            id: id.to_owned(),
            kind,
            state: UploadState::Open,
            length: Some(10),
            durable: 0,
            draft: "{}".to_owned(),
            digests: String::new(),
            about: "{}".to_owned(),
            asset_id: None,
            expires_at: 1000,
        }
    }

    async fn one_holds_it_at_a_time(place: Place) {
        let catalog = place.open().await;
        let first = Fence::new().expect("drawn");
        catalog.create_upload(&upload("a", UploadKind::Tus), &first, 0, 10).await.expect("made");
        assert!(catalog.keep_uploads(&first, 20).await.expect("kept"), "nobody waits");
        assert!(matches!(catalog.take_upload("a", 19, 40).await, Ok(Taken::Busy)));
        assert!(!catalog.keep_uploads(&first, 30).await.expect("kept"), "somebody waits");
        let Ok(Taken::Held(held, second)) = catalog.take_upload("a", 30, 50).await else { panic!("free") };
        assert!(!catalog.keep_uploads(&first, 99).await.expect("answered"), "it was lost");
        assert!(!catalog.save_upload(&held, &first).await.expect("answered"), "nothing is changed");
        assert!(catalog.keep_uploads(&second, 60).await.expect("kept"), "nobody waits any more");
        assert!(catalog.save_upload(&held, &second).await.expect("saved"));
        catalog.forget_upload("a", &first).await.expect("answered");
        catalog.release_uploads(&second).await.expect("released");
        let Ok(Taken::Held(_, third)) = catalog.take_upload("a", 31, 50).await else { panic!("free") };
        catalog.forget_upload("a", &third).await.expect("forgotten");
        assert!(matches!(catalog.take_upload("a", 99, 100).await, Ok(Taken::Missing)));
        assert!(!catalog.keep_uploads(&third, 200).await.expect("answered"), "nothing is there");
    }

    async fn what_was_saved_is_found(place: Place) {
        let catalog = place.open().await;
        let fence = Fence::new().expect("drawn");
        let mut wanted = upload("a", UploadKind::Partial);
        catalog.create_upload(&wanted, &fence, 0, 10).await.expect("made");
        wanted.state = UploadState::Sealing;
        wanted.length = None;
        wanted.durable = 7;
        wanted.draft = r#"{"x":1}"#.to_owned();
        wanted.digests = "00ff".to_owned();
        wanted.expires_at = 2000;
        assert!(catalog.save_upload(&wanted, &fence).await.expect("saved"));
        let found = catalog.upload("a").await.expect("read").expect("there");
        assert_eq!(format!("{found:?}"), format!("{wanted:?}"));
        assert!(catalog.upload("b").await.expect("read").is_none());
        wanted.length = Some(6);
        assert!(catalog.save_upload(&wanted, &fence).await.is_err(), "more than there can be");
    }

    async fn strays_are_found(place: Place) {
        let catalog = place.open().await;
        let cases = [
            ("form", UploadKind::Form, UploadState::Open, 1000),
            ("tus", UploadKind::Tus, UploadState::Open, 1000),
            ("sealing", UploadKind::Tus, UploadState::Sealing, 1001),
            ("expired", UploadKind::Partial, UploadState::Done, 50),
        ];
        for (id, kind, state, expires_at) in cases {
            let upload = Upload { state, expires_at, ..upload(id, kind) };
            catalog.create_upload(&upload, &Fence::new().expect("drawn"), 0, 60).await.expect("made");
        }
        assert_eq!(catalog.stray_uploads(59, 9).await.expect("read"), Vec::<String>::new(), "all are held");
        assert_eq!(catalog.stray_uploads(60, 9).await.expect("read"), ["expired", "form", "sealing"]);
        assert_eq!(catalog.stray_uploads(60, 1).await.expect("read"), ["expired"]);
    }
}
