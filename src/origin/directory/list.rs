//! All objects of a directory, one folder at a time.

use std::path::Path;

use futures::stream;

use crate::origin::directory::{Directory, is_hidden};
use crate::origin::{Error, Keys, ObjectKey};

/// What is to be looked at next.
enum Next {
    File(ObjectKey),
    /// Relative to the root, empty for the root itself.
    Folder(String),
}

impl Directory {
    /// What [`crate::origin::Bucket::keys`] promises, in the order of the names.
    pub(super) fn walk<'a>(&'a self, prefix: &'a str) -> Keys<'a> {
        let top = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let begin = vec![Next::Folder(top.to_owned())];
        Box::pin(stream::try_unfold(begin, move |mut next| async move {
            loop {
                match next.pop() {
                    None => return Ok(None),
                    Some(Next::File(key)) if key.as_str().starts_with(prefix) => {
                        return Ok(Some((key, next)));
                    }
                    Some(Next::File(_)) => {}
                    Some(Next::Folder(folder)) => {
                        let root = self.root.clone();
                        next.extend(self.disk.access(move || inside(&root, &folder)).await?);
                    }
                }
            }
        }))
    }
}

/// Files and folders in a folder, the last one first.
fn inside(root: &Path, folder: &str) -> Result<Vec<Next>, Error> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        // Gone meanwhile, or a prefix under which there is nothing.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let Some(key) = ObjectKey::new(path).ok().filter(|key| !is_hidden(key)) else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.push(Next::Folder(key.as_str().to_owned()));
        } else if kind.is_file() {
            found.push(Next::File(key));
        }
    }
    found.sort_by(|a, b| b.name().cmp(a.name()));
    Ok(found)
}

impl Next {
    fn name(&self) -> &str {
        match self {
            Self::File(key) => key.as_str(),
            Self::Folder(path) => path,
        }
    }
}
