//! Objects on their way into the directory.
//!
//! A draft is a file in [`FOLDER`], which no key reaches because its name begins with a dot. It gets
//! its name as an object when it is whole and on the disk; then the directory that has the name is
//! synced too, and before that every directory that had to be made for it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tokio::task::JoinHandle;

use crate::origin::bucket::{Place, draw_name};
use crate::origin::directory::{Directory, Found, beneath, is_hidden, system_error};
use crate::origin::{Body, Bucket, Draft, Error, Keys, ObjectKey};

/// Where drafts are, below the root.
const FOLDER: &str = ".kinora-drafts";

/// So many bytes may be on their way to the disk: the sync at the end of a large object is short then.
const MOST_UNSYNCED: u64 = 32 << 20;

const DRAFT: OFlags = OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[async_trait]
impl Bucket for Directory {
    fn storage_type(&self) -> &'static str {
        "DIRECTORY"
    }

    fn name(&self) -> &str {
        self.root.file_name().and_then(|name| name.to_str()).unwrap_or("bucket")
    }

    fn begin(&self, key: &ObjectKey, _: Option<&str>, length: Option<u64>) -> Result<Draft, Error> {
        if is_hidden(key) {
            return Err(Error::Refused("no part of an object's name may begin with a dot".to_owned()));
        }
        // The type is nothing that a file could keep.
        Ok(Draft::new(key, None, length, Place::File(draw_name()?)))
    }

    async fn write(&self, draft: &mut Draft, mut body: Body) -> Result<(), Error> {
        let file = self.draft_file(draft).await?;
        let mut syncing = Syncing::default();
        while let Some(piece) = body.next().await {
            let piece = piece?;
            let (length, at) = (piece.len(), draft.written());
            let target = Arc::clone(&file);
            self.disk.access(move || Ok(target.write_all_at(&piece, at)?)).await?;
            draft.wrote(length);
            syncing.after(length as u64, &file).await?;
        }
        syncing.ended().await
    }

    async fn sync(&self, draft: &mut Draft) -> Result<(), Error> {
        if draft.written() > draft.durable() {
            let (file, root, is_new) =
                (self.draft_file(draft).await?, self.root.clone(), draft.durable() == 0);
            let work = move || {
                file.sync_data()?;
                if is_new { Ok(drafts(&root)?.sync_all()?) } else { Ok(()) }
            };
            self.disk.access(work).await?;
            draft.synced();
        }
        Ok(())
    }

    async fn finish(&self, draft: &mut Draft) -> Result<(), Error> {
        let (root, key, length) = (self.root.clone(), draft.key.clone(), draft.written());
        let name = file_name(draft)?.to_owned();
        let is_empty = length == 0;
        self.disk.access(move || finish(&root, &name, is_empty, key.as_str(), length)).await?;
        draft.synced();
        Ok(())
    }

    async fn abandon(&self, draft: &Draft) -> Result<(), Error> {
        let (root, name) = (self.root.clone(), file_name(draft)?.to_owned());
        let work = move || gone(fs::unlinkat(drafts(&root)?, &name, AtFlags::empty()));
        self.disk.access(work).await
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> Keys<'a> {
        self.walk(prefix)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        if is_hidden(key) {
            return Ok(());
        }
        let (root, key) = (self.root.clone(), key.clone());
        self.disk.access(move || delete(&root, key.as_str())).await
    }
}

impl Directory {
    /// The file of a draft, which its first writer makes.
    async fn draft_file(&self, draft: &Draft) -> Result<Arc<File>, Error> {
        let (root, name) = (self.root.clone(), file_name(draft)?.to_owned());
        let is_new = draft.written() == 0;
        self.disk.access(move || Ok(Arc::new(open_draft(&drafts(&root)?, &name, is_new)?))).await
    }
}

fn file_name(draft: &Draft) -> Result<&str, Error> {
    match &draft.place {
        Place::File(name) => Ok(name),
        Place::Parts(_) => Err(Error::NotFound(Box::default())),
    }
}

/// The folder of drafts, made if there is none.
fn drafts(root: &Path) -> Result<File, Error> {
    let root = beneath::open_root(root).map_err(system_error)?;
    beneath::make(&root, FOLDER).map_err(system_error)
}

fn open_draft(folder: &File, name: &str, is_new: bool) -> Result<File, Error> {
    let flags = if is_new { DRAFT | OFlags::CREATE } else { DRAFT };
    let mode = Mode::from_raw_mode(0o644);
    fs::openat(folder, name, flags, mode).map(File::from).map_err(system_error)
}

fn finish(root: &Path, name: &str, is_empty: bool, key: &str, length: u64) -> Result<(), Error> {
    let folder = drafts(root)?;
    let file = match open_draft(&folder, name, is_empty) {
        // Finished before, or abandoned.
        Err(Error::NotFound(_)) => {
            let found = Found::open(root, key)?;
            return if found.stamp.size == length { Ok(()) } else { Err(Error::Exists) };
        }
        file => file?,
    };
    // A writer that was cut off may have got further than was told.
    file.set_len(length)?;
    file.sync_all()?;
    let root = beneath::open_root(root).map_err(system_error)?;
    let (parent, last) = beneath::make_parents(&root, key).map_err(system_error)?;
    match put_in_place(&folder, name, &parent, last) {
        Ok(()) => Ok(parent.sync_all()?),
        Err(Errno::EXIST) => Err(Error::Exists),
        Err(errno) => Err(system_error(errno)),
    }
}

/// Gives the draft its name, unless that is taken.
fn put_in_place(folder: &File, name: &str, parent: &File, last: &str) -> rustix::io::Result<()> {
    match fs::renameat_with(folder, name, parent, last, RenameFlags::NOREPLACE) {
        // Some file systems rename only as they always did.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::linkat(folder, name, parent, last, AtFlags::empty())?;
            fs::unlinkat(folder, name, AtFlags::empty())
        }
        outcome => outcome,
    }
}

/// Removes an object, and the directories that are empty without it.
fn delete(root: &Path, key: &str) -> Result<(), Error> {
    let root = beneath::open_root(root).map_err(system_error)?;
    let (mut parents, last) = match beneath::open_parents(&root, key) {
        Ok(found) => found,
        Err(errno) => return gone(Err(errno)),
    };
    let Some((_, parent)) = parents.last() else {
        return gone(fs::unlinkat(&root, last, AtFlags::empty()));
    };
    gone(fs::unlinkat(parent, last, AtFlags::empty()))?;
    parent.sync_all()?;
    while let (Some((name, _)), Some((_, above))) = (parents.pop(), parents.last()) {
        // One that is not empty refuses, which ends it.
        if fs::unlinkat(above, name, AtFlags::REMOVEDIR).is_err() {
            break;
        }
    }
    Ok(())
}

/// What is not there needs no removing.
fn gone(outcome: rustix::io::Result<()>) -> Result<(), Error> {
    match outcome.map_err(system_error) {
        Err(Error::NotFound(_)) => Ok(()),
        outcome => outcome,
    }
}

/// Sends what was written to the disk while more is being written.
#[derive(Default)]
struct Syncing {
    unsynced: u64,
    under_way: Option<JoinHandle<std::io::Result<()>>>,
}

impl Syncing {
    async fn after(&mut self, bytes: u64, file: &Arc<File>) -> Result<(), Error> {
        self.unsynced += bytes;
        if self.unsynced >= MOST_UNSYNCED {
            self.unsynced = 0;
            let file = Arc::clone(file);
            let next = tokio::task::spawn_blocking(move || file.sync_data());
            wait(self.under_way.replace(next)).await?;
        }
        Ok(())
    }

    async fn ended(&mut self) -> Result<(), Error> {
        wait(self.under_way.take()).await
    }
}

async fn wait(sync: Option<JoinHandle<std::io::Result<()>>>) -> Result<(), Error> {
    match sync {
        Some(sync) => Ok(sync.await.map_err(std::io::Error::other)??),
        None => Ok(()),
    }
}
