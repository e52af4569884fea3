//! Clears away what uploads have left behind whose process ended, or that nobody went on with.

use crate::metadata::{Fence, Taken, Upload, UploadKind, UploadState};
use crate::origin::Draft;
use crate::upload::hold::until;
use crate::upload::{Error, Uploads};

/// The most that one sweep looks at.
const MOST: u32 = 1000;

impl Uploads {
    /// Looks at uploads that nobody holds at `now` (Unix seconds): forms that broke off with their process and
    /// uploads that have expired are removed. Says how many.
    ///
    /// # Errors
    /// That of the catalogue. What the bucket does not let go is tried again by the next sweep.
    pub async fn sweep(&self, now: u64) -> Result<usize, Error> {
        let mut swept = 0;
        if self.bucket.is_none() {
            return Ok(swept);
        }
        for id in self.catalog.stray_uploads(now, MOST).await? {
            // Another process may sweep too.
            let Taken::Held(upload, fence) = self.catalog.take_upload(&id, now, until()).await? else {
                continue;
            };
            let is_whole = upload.state == UploadState::Sealing && upload.kind != UploadKind::Form;
            let outcome = match is_whole {
                true => self.seal_again(*upload, fence).await,
                false => self.clear(&upload, &fence).await,
            };
            match outcome {
                Ok(()) => swept += 1,
                Err(error) => tracing::warn!(%error, upload = id, "what an upload left behind stays for now"),
            }
        }
        Ok(swept)
    }

    pub(super) async fn clear(&self, upload: &Upload, fence: &Fence) -> Result<(), Error> {
        let is_asset = upload.asset_id.is_some() && upload.kind != UploadKind::Partial;
        if is_asset {
            return Ok(self.catalog.forget_upload(&upload.id, fence).await?);
        }
        let draft: Draft =
            serde_json::from_str(&upload.draft).map_err(|error| Error::Damaged(error.to_string()))?;
        self.try_clean(&draft, &upload.id, fence).await
    }
}
