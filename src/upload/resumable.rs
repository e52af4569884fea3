//! Uploads that go on with other requests, on any node: what has been acknowledged is never lost.
//!
//! One request at a time works on an upload. Another that comes takes it over as soon as the first lets go, which
//! it does when it learns that somebody waits, since a client never sends two at once. What the catalogue says
//! has arrived is durable in the bucket; when all has arrived the upload is sealed, which is gone on with by
//! whoever comes by: another request, or the sweep.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metadata::{Asset, Fence, Taken, Upload, UploadKind, UploadState};
use crate::origin::{Answer, Ask, Body, ByteRange, Draft};
use crate::signature::UploadLimits;
use crate::upload::batch::{StoredFile, written_down};
use crate::upload::checksum::{Checking, Checksum};
use crate::upload::digests::Digests;
use crate::upload::hold::{Hold, now, until};
use crate::upload::kind::{HEAD_BYTES, kind};
use crate::upload::source::Source;
use crate::upload::transfer::{Progress, transfer};
use crate::upload::{About, Error, Uploads, name, new_asset_id};

/// So much is made durable and written down at once: what a killed process costs its client at most.
const STEP: u64 = 32 << 20;

/// How often, and how many times, an upload that somebody works on is asked for: a little longer than the hold of
/// a process that has died.
const ASK_EVERY: Duration = Duration::from_millis(200);
const ASKS: usize = 110;

/// What is wanted of a new upload.
#[derive(Debug, Clone, Default)]
pub struct NewUpload {
    /// The file's name.
    pub name: String,
    /// What it is said to be.
    pub declared_type: Option<String>,
    /// How long it will be, if that is known.
    pub length: Option<u64>,
    /// It becomes a piece of another.
    pub is_piece: bool,
    /// Who hands it over.
    pub about: About,
    /// The limits of the key that it is handed over with.
    pub limits: UploadLimits,
    /// What the client wants to hear again when it asks.
    pub note: String,
    /// How it belongs to others, in the client's words, to be heard again too.
    pub made_of: Option<String>,
}

/// How far an upload is.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Names it.
    pub id: String,
    /// Bytes that are durable.
    pub offset: u64,
    /// How long it will be, if that is known.
    pub length: Option<u64>,
    /// Unix seconds.
    pub expires_at: u64,
    /// The asset that has become of it.
    pub asset_id: Option<String>,
    /// What the client wanted to hear again.
    pub note: String,
    /// How it belongs to others, in the client's words.
    pub made_of: Option<String>,
}

/// What is kept of an upload beside its bytes.
#[derive(Clone, Serialize, Deserialize)]
struct Facts {
    asset: String,
    name: String,
    declared_type: Option<String>,
    about: About,
    limits: UploadLimits,
    note: String,
    made_of: Option<String>,
}

/// An upload that we hold.
struct Held {
    upload: Upload,
    facts: Facts,
    progress: Progress,
    hold: Hold,
}

impl Uploads {
    /// Makes an upload that has no bytes yet.
    ///
    /// # Errors
    /// [`Error`], if such a file would not be taken.
    pub async fn create(&self, wish: NewUpload) -> Result<Standing, Error> {
        let held = self.make(wish).await?;
        self.catalog.release_uploads(&held.hold.fence).await?;
        Ok(held.standing())
    }

    async fn make(&self, wish: NewUpload) -> Result<Held, Error> {
        name::check(&wish.name)?;
        let limit = self.most_bytes(&wish.limits);
        match wish.length {
            Some(0) => return Err(Error::Empty),
            Some(length) if length > limit => return Err(Error::TooLarge { limit }),
            _ => {}
        }
        let asset = new_asset_id()?;
        let key = self.key(&asset, "1", &wish.name)?;
        let content_type = wish.declared_type.as_deref();
        let draft = self.bucket()?.begin(&key, content_type, wish.length).map_err(Error::Bucket)?;
        let progress = Progress { draft, digests: Digests::default() };
        let facts = Facts {
            asset: asset.to_string(),
            name: wish.name,
            declared_type: wish.declared_type,
            about: wish.about,
            limits: wish.limits,
            note: wish.note,
            made_of: wish.made_of,
        };
        let upload = Upload {
            id: new_asset_id()?.to_string(),
            kind: if wish.is_piece { UploadKind::Partial } else { UploadKind::Tus },
            state: UploadState::Open,
            length: wish.length,
            durable: 0,
            draft: written_down(&progress.draft)?,
            digests: progress.digests.save(),
            about: serde_json::to_string(&facts).map_err(damaged)?,
            asset_id: None,
            expires_at: now() + self.config.expires_after.as_secs(),
        };
        let fence = Fence::new()?;
        self.catalog.create_upload(&upload, &fence, now(), until()).await?;
        Ok(Held { upload, facts, progress, hold: Hold::keep(&self.catalog, fence) })
    }

    /// How far an upload is. One that has all its bytes is sealed first, if nobody else is about to.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::Expired`], or that of sealing.
    pub async fn standing(&self, id: &str) -> Result<Standing, Error> {
        let upload = self.catalog.upload(id).await?.ok_or(Error::NoSuchUpload)?;
        check_time(&upload)?;
        let is_whole = upload.length == Some(upload.durable);
        if is_whole && upload.state != UploadState::Done {
            match self.take_within(id, 1).await {
                Ok(mut held) => {
                    let outcome = self.seal(&mut held).await;
                    return self.let_go(held, outcome).await;
                }
                Err(Error::Busy) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(standing(&upload, &facts(&upload)?))
    }

    /// The id of the key that an upload was begun with.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`].
    pub async fn creator_id(&self, id: &str) -> Result<Option<String>, Error> {
        let upload = self.catalog.upload(id).await?.ok_or(Error::NoSuchUpload)?;
        match upload.kind {
            UploadKind::Form => Err(Error::NoSuchUpload),
            UploadKind::Tus | UploadKind::Partial => Ok(facts(&upload)?.about.creator_id),
        }
    }

    /// Adds bytes at `offset`, and seals the upload when all have arrived. A length can be told now if it was not
    /// before. With a checksum all of these bytes count, or none.
    ///
    /// # Errors
    /// [`Error`]. What arrived before the bytes broke off is kept.
    pub async fn append(
        &self,
        id: &str,
        offset: u64,
        length: Option<u64>,
        body: Body,
        checksum: Option<Checksum>,
    ) -> Result<Standing, Error> {
        let mut held = self.take(id).await?;
        let outcome = self.extend(&mut held, offset, length, body, checksum).await;
        self.let_go(held, outcome).await
    }

    /// Gives the hold back, whatever has happened.
    async fn let_go(&self, held: Held, outcome: Result<(), Error>) -> Result<Standing, Error> {
        if let Err(error) = self.catalog.release_uploads(&held.hold.fence).await {
            tracing::debug!(%error, "a hold runs out by itself");
        }
        outcome.map(|()| held.standing())
    }

    async fn extend(
        &self,
        held: &mut Held,
        offset: u64,
        length: Option<u64>,
        body: Body,
        checksum: Option<Checksum>,
    ) -> Result<(), Error> {
        if offset != held.upload.durable {
            return Err(Error::OtherOffset { offset: held.upload.durable });
        }
        self.tell_length(held, length)?;
        let limit = held.upload.length.unwrap_or(self.most_bytes(&held.facts.limits));
        let mut source = Source::new(body, limit.saturating_sub(offset));
        if held.upload.state != UploadState::Open {
            // No byte more may come, and the draft may be gone: it had become an object when its maker was killed.
            source.batch(1).await?;
            return self.seal(held).await;
        }
        match checksum {
            Some(checksum) => self.receive_checked(held, source, checksum).await?,
            None => while self.receive(held, &mut source, STEP).await? {},
        }
        if held.upload.length == Some(held.upload.durable) { self.seal(held).await } else { Ok(()) }
    }

    fn tell_length(&self, held: &mut Held, length: Option<u64>) -> Result<(), Error> {
        let Some(length) = length else { return Ok(()) };
        let limit = self.most_bytes(&held.facts.limits);
        match held.upload.length {
            Some(known) if known != length => {
                return Err(Error::OtherLength { announced: known, came: length });
            }
            _ if length > limit => return Err(Error::TooLarge { limit }),
            _ if length < held.upload.durable => {
                return Err(Error::OtherLength { announced: length, came: held.upload.durable });
            }
            _ => held.upload.length = Some(length),
        }
        Ok(())
    }

    /// Takes at most so many bytes and makes them durable. Whether there may be more.
    async fn receive(&self, held: &mut Held, source: &mut Source, most: u64) -> Result<bool, Error> {
        let bucket = self.bucket()?.as_ref();
        let outcome = transfer(source, &mut held.progress, bucket, &held.hold, most).await;
        if let Err(Error::Bucket(_) | Error::Damaged(_)) = outcome {
            // What was hashed and what was written may differ: the next request begins where the last one ended.
            return outcome;
        }
        bucket.sync(&mut held.progress.draft).await.map_err(Error::Bucket)?;
        self.save(held).await?;
        outcome
    }

    /// Takes bytes that count only if their checksum is right.
    async fn receive_checked(
        &self,
        held: &mut Held,
        source: Source,
        checksum: Checksum,
    ) -> Result<(), Error> {
        let bucket = self.bucket()?.as_ref();
        let (mut source, checking) = Checking::around(source, &checksum);
        while transfer(&mut source, &mut held.progress, bucket, &held.hold, STEP).await? {}
        if !checking.is_right(&checksum) {
            return Err(Error::OtherChecksum);
        }
        bucket.sync(&mut held.progress.draft).await.map_err(Error::Bucket)?;
        self.save(held).await
    }

    /// Writes down how far the upload is.
    async fn save(&self, held: &mut Held) -> Result<(), Error> {
        let upload = &mut held.upload;
        upload.durable = held.progress.draft.durable();
        upload.draft = written_down(&held.progress.draft)?;
        upload.digests = held.progress.digests.save();
        upload.expires_at = now() + self.config.expires_after.as_secs();
        match self.catalog.save_upload(upload, &held.hold.fence).await? {
            true => Ok(()),
            false => Err(Error::Lost),
        }
    }

    /// Makes of a whole upload what it is to become.
    async fn seal(&self, held: &mut Held) -> Result<(), Error> {
        if held.upload.state == UploadState::Done {
            return Ok(());
        }
        if held.upload.state == UploadState::Open {
            held.upload.state = UploadState::Sealing;
            self.save(held).await?;
        }
        self.bucket()?.finish(&mut held.progress.draft).await.map_err(Error::Bucket)?;
        if held.upload.kind == UploadKind::Partial {
            held.upload.state = UploadState::Done;
            return self.save(held).await;
        }
        match self.asset(held).await {
            Ok(asset) => {
                let fence = &held.hold.fence;
                self.catalog.settle_uploads(fence, std::slice::from_ref(&asset), now()).await?;
                held.upload.state = UploadState::Done;
                held.upload.asset_id = Some(asset.id.to_string());
                Ok(())
            }
            Err(error) => {
                if error.is_final() {
                    self.clean(&held.progress.draft, &held.upload.id, &held.hold.fence).await;
                }
                Err(error)
            }
        }
    }

    /// Looks at the finished object as a form's file is looked at.
    async fn asset(&self, held: &Held) -> Result<Asset, Error> {
        let (facts, draft) = (&held.facts, &held.progress.draft);
        let head = self.head(draft).await?;
        let is_whole = (head.len() as u64) == draft.durable();
        let kind = kind(&facts.name, facts.declared_type.as_deref(), &head, is_whole)?;
        self.check_type(&kind.content_type, &facts.limits)?;
        let metadata = self.look(draft.key(), kind.is_picture).await?;
        let (md5, sha256) = held.progress.digests.clone().finish();
        let file = StoredFile {
            asset: facts.asset.parse().map_err(damaged)?,
            name: facts.name.clone(),
            size: draft.durable(),
            md5,
            sha256,
            content_type: kind.content_type,
            declared_type: facts.declared_type.clone(),
            key: draft.key().clone(),
            metadata,
        };
        Ok(file.asset(&facts.about, self.bucket()?.as_ref(), now()))
    }

    async fn head(&self, draft: &Draft) -> Result<Vec<u8>, Error> {
        let range = Some(ByteRange::Between(0, HEAD_BYTES as u64 - 1));
        let ask = Ask { range, ..Ask::default() };
        let Answer::Object(object) = self.origin.get(draft.key(), &ask).await.map_err(Error::Bucket)? else {
            return Err(Error::Damaged("a new object has not been modified".to_owned()));
        };
        let mut source = Source::new(object.body, u64::MAX);
        Ok(source.head(HEAD_BYTES).await?.to_vec())
    }

    /// Makes one upload of several that are whole, in this order; they are gone then.
    ///
    /// # Errors
    /// [`Error::NotWhole`] if one is no piece or not whole, and those of an upload.
    pub async fn join(&self, pieces: &[String], wish: NewUpload) -> Result<Standing, Error> {
        let mut held = Vec::new();
        let outcome = self.join_held(pieces, wish, &mut held).await;
        for piece in held {
            // Gone, or given back.
            let _ = self.catalog.release_uploads(&piece.hold.fence).await;
        }
        outcome
    }

    async fn join_held(
        &self,
        pieces: &[String],
        wish: NewUpload,
        held: &mut Vec<Held>,
    ) -> Result<Standing, Error> {
        for id in pieces {
            let piece = self.take(id).await?;
            let is_whole =
                piece.upload.kind == UploadKind::Partial && piece.upload.state == UploadState::Done;
            held.push(piece);
            if !is_whole {
                return Err(Error::NotWhole);
            }
        }
        let length = held.iter().map(|piece| piece.upload.durable).sum();
        let mut whole = self.make(NewUpload { length: Some(length), ..wish }).await?;
        let outcome = self.copy(&mut whole, held).await;
        if outcome.is_err() {
            self.clean(&whole.progress.draft, &whole.upload.id, &whole.hold.fence).await;
            return self.let_go(whole, outcome).await;
        }
        for piece in held.iter() {
            self.clean(&piece.progress.draft, &piece.upload.id, &piece.hold.fence).await;
        }
        self.let_go(whole, outcome).await
    }

    async fn copy(&self, whole: &mut Held, pieces: &[Held]) -> Result<(), Error> {
        for piece in pieces {
            let key = piece.progress.draft.key();
            let answer = self.origin.get(key, &Ask::default()).await.map_err(Error::Bucket)?;
            let Answer::Object(object) = answer else {
                return Err(Error::Damaged("a piece has not been modified".to_owned()));
            };
            let mut source = Source::new(object.body, piece.upload.durable);
            while self.receive(whole, &mut source, STEP).await? {}
        }
        if whole.upload.length != Some(whole.upload.durable) {
            return Err(Error::Damaged("the pieces are not as long as they were".to_owned()));
        }
        self.seal(whole).await
    }

    /// Removes an upload. The asset that it has become stays.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::Busy`], or that of the bucket or the catalogue.
    pub async fn terminate(&self, id: &str) -> Result<(), Error> {
        let held = self.take(id).await?;
        let outcome = self.clear(&held.upload, &held.hold.fence).await;
        self.let_go(held, outcome).await.map(drop)
    }

    /// Goes on with an upload whose maker ended while it was being sealed.
    pub(super) async fn seal_again(&self, upload: Upload, fence: Fence) -> Result<(), Error> {
        let mut held = self.held(upload, fence)?;
        let outcome = self.seal(&mut held).await;
        self.let_go(held, outcome).await.map(drop)
    }

    /// Waits for its turn.
    async fn take(&self, id: &str) -> Result<Held, Error> {
        self.take_within(id, ASKS).await
    }

    async fn take_within(&self, id: &str, asks: usize) -> Result<Held, Error> {
        self.bucket()?;
        for _ in 0..asks {
            match self.catalog.take_upload(id, now(), until()).await? {
                Taken::Held(upload, fence) => {
                    let outcome = check_time(&upload);
                    let held = self.held(*upload, fence)?;
                    return match outcome {
                        Ok(()) => Ok(held),
                        Err(error) => self.let_go(held, Err(error)).await.and(Err(Error::NoSuchUpload)),
                    };
                }
                Taken::Busy => tokio::time::sleep(ASK_EVERY).await,
                Taken::Missing => return Err(Error::NoSuchUpload),
            }
        }
        Err(Error::Busy)
    }

    fn held(&self, upload: Upload, fence: Fence) -> Result<Held, Error> {
        let draft = serde_json::from_str(&upload.draft).map_err(damaged)?;
        let digests = Digests::load(&upload.digests).ok_or_else(|| damaged("its checksums"))?;
        let facts = facts(&upload)?;
        let hold = Hold::keep(&self.catalog, fence);
        Ok(Held { upload, facts, progress: Progress { draft, digests }, hold })
    }
}

impl Held {
    fn standing(&self) -> Standing {
        standing(&self.upload, &self.facts)
    }
}

fn standing(upload: &Upload, facts: &Facts) -> Standing {
    Standing {
        id: upload.id.clone(),
        offset: upload.durable,
        length: upload.length,
        expires_at: upload.expires_at,
        asset_id: upload.asset_id.clone(),
        note: facts.note.clone(),
        made_of: facts.made_of.clone(),
    }
}

/// What ends with its request is nobody else's.
fn check_time(upload: &Upload) -> Result<(), Error> {
    match upload.kind {
        UploadKind::Form => Err(Error::NoSuchUpload),
        UploadKind::Tus | UploadKind::Partial if upload.expires_at <= now() => Err(Error::Expired),
        UploadKind::Tus | UploadKind::Partial => Ok(()),
    }
}

fn facts(upload: &Upload) -> Result<Facts, Error> {
    serde_json::from_str(&upload.about).map_err(damaged)
}

fn damaged(error: impl ToString) -> Error {
    Error::Damaged(error.to_string())
}
