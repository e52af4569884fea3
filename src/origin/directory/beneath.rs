//! Opens a file by its key without ever leaving the directory.
//!
//! `openat2` makes the kernel refuse every way out, links and races included; a link that stays
//! inside is followed. Where it is missing (kernels before 5.6, some sandboxes), the key is walked
//! one segment at a time and no link is followed at all.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{self, Errno};

/// `NONBLOCK`: opening a pipe without a writer would wait for one for ever.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// One that can be synced.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The kernel gives up when a directory moves while it climbs through it; that is rare and passes.
const ATTEMPTS: u32 = 16;

/// Opens the directory itself, by whatever its path means now: it may be a link that is swapped.
pub(super) fn open_root(root: &Path) -> io::Result<OwnedFd> {
    fs::open(root, DIRECTORY, Mode::empty())
}

/// Opens the file named by `key` for reading.
pub(super) fn open(root: &Path, key: &str) -> io::Result<File> {
    let root = open_root(root)?;
    match open_by_kernel(&root, key) {
        // Some sandboxes answer EPERM for a call they do not know.
        Err(Errno::NOSYS | Errno::PERM) => open_by_steps(root, key),
        outcome => outcome,
    }
}

fn open_by_kernel(root: &OwnedFd, key: &str) -> io::Result<File> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut outcome = Err(Errno::AGAIN);
    for _ in 0..ATTEMPTS {
        outcome = fs::openat2(root, key, READ, Mode::empty(), resolve);
        if !matches!(outcome, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    outcome.map(File::from)
}

fn open_by_steps(root: OwnedFd, key: &str) -> io::Result<File> {
    let mut directory = root;
    let mut name = key;
    while let Some((segment, rest)) = name.split_once('/') {
        directory = fs::openat(&directory, segment, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        name = rest;
    }
    // With NOFOLLOW a link is an error of its own; a pipe or device is not even opened.
    let found = fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Errno::NOENT);
    }
    fs::openat(&directory, name, READ | OFlags::NOFOLLOW, Mode::empty()).map(File::from)
}

/// A directory in another, made and synced if it is not there. No link is followed: whoever writes
/// must know where.
pub(super) fn make(parent: impl AsFd, name: &str) -> io::Result<File> {
    let parent = parent.as_fd();
    match fs::openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {}
        outcome => return outcome.map(File::from),
    }
    match fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => fs::fsync(fs::openat(parent, ".", FOLDER, Mode::empty())?)?,
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    fs::openat(parent, name, FOLDER, Mode::empty()).map(File::from)
}

/// The directory that holds `key`, made with all above it if need be, and the last segment.
pub(super) fn make_parents<'a>(root: &OwnedFd, key: &'a str) -> io::Result<(File, &'a str)> {
    let (mut directory, mut name) = (None::<File>, key);
    while let Some((segment, rest)) = name.split_once('/') {
        directory = Some(match &directory {
            Some(parent) => make(parent, segment)?,
            None => make(root, segment)?,
        });
        name = rest;
    }
    match directory {
        Some(directory) => Ok((directory, name)),
        None => Ok((fs::openat(root, ".", FOLDER, Mode::empty())?.into(), name)),
    }
}

/// The directories on the way to `key` with their names, and the last segment.
pub(super) fn open_parents<'a>(root: &OwnedFd, key: &'a str) -> io::Result<Parents<'a>> {
    let (mut found, mut name) = (Vec::<(&str, File)>::new(), key);
    while let Some((segment, rest)) = name.split_once('/') {
        let parent = found.last().map_or(root.as_fd(), |(_, parent)| parent.as_fd());
        let directory = fs::openat(parent, segment, FOLDER, Mode::empty())?;
        found.push((segment, directory.into()));
        name = rest;
    }
    Ok((found, name))
}

/// Directories from the root downward, each with its name, and the last segment of a key.
type Parents<'a> = (Vec<(&'a str, File)>, &'a str);

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, mkfifoat};

    use super::*;

    fn text(opened: io::Result<File>) -> io::Result<String> {
        let mut text = String::new();
        opened?.read_to_string(&mut text).expect("a readable file");
        Ok(text)
    }

    #[test]
    fn both_ways_of_opening_stay_inside() {
        let temporary = tempfile::tempdir().expect("a directory");
        let root = temporary.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).expect("made");
        std::fs::write(temporary.path().join("secret"), "secret").expect("written");
        std::fs::write(root.join("a/b/file"), "inside").expect("written");
        symlink("../../secret", root.join("a/out")).expect("linked");
        symlink(temporary.path(), root.join("up")).expect("linked");
        symlink("/proc/self/root", root.join("magic")).expect("linked");
        symlink("loop", root.join("loop")).expect("linked");
        symlink("b/file", root.join("a/within")).expect("linked");
        symlink("b", root.join("a/c")).expect("linked");
        mkfifoat(CWD, root.join("pipe"), Mode::RUSR | Mode::WUSR).expect("made");

        let by_kernel = |key: &str| text(open_by_kernel(&open_root(&root).expect("opened"), key));
        let by_steps = |key: &str| text(open_by_steps(open_root(&root).expect("opened"), key));
        for key in ["a/out", "up/secret", "magic/etc/passwd", "loop", "a/nothing", "a/b/file/x"] {
            assert!(by_kernel(key).is_err(), "{key} must not be opened by the kernel");
            assert!(by_steps(key).is_err(), "{key} must not be opened by steps");
        }
        assert_eq!(by_kernel("a/b/file").as_deref(), Ok("inside"));
        assert_eq!(by_steps("a/b/file").as_deref(), Ok("inside"));
        for key in ["a/within", "a/c/file"] {
            assert_eq!(by_kernel(key).as_deref(), Ok("inside"), "a link inside is followed");
            assert!(by_steps(key).is_err(), "by steps no link is followed");
        }
        assert!(by_steps("pipe").is_err(), "a pipe is no object");
    }
}
