//! Reads the files that a person or an operator names: bounded, sorted, without following links
//! found on the way.
//!
//! Both binaries load rules through this crate, so both see the same files in the same order.
#![forbid(unsafe_code)]

mod access;
mod beneath;
#[cfg(test)]
mod tests;

use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

pub use access::{Kind, Opener, exists, lend, list, metadata, open, open_by, real};
pub use beneath::{Directory, read_beside, read_bytes};

/// Bytes of one file. Callers may have lower limits of their own.
pub const MAX_BYTES: u64 = 4 << 20;
/// Files of one call.
pub const MAX_FILES: usize = 10_000;
/// Depth of directories.
pub const MAX_DEPTH: usize = 8;
/// Entries of one directory.
pub const MAX_ENTRIES: usize = 20_000;

/// Whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Anybody's: a person looks at files.
    Anyone,
    /// Only files and directories that belong to root or to us and that nobody else can write:
    /// what they say is obeyed.
    Owner,
    /// The same, and others than their group cannot read them either: they hold secrets.
    Private,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something other than a file or directory.
    #[error("{path}: not a regular file; links are not followed, give the file itself")]
    NotRegular {
        /// The file.
        path: String,
    },
    /// Others could change what it says.
    #[error(
        "{path}: others can write this (owner {owner}, mode {mode:o}); \
         make it belong to root and take away write permission of group and others"
    )]
    Untrusted {
        /// The file or directory.
        path: String,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Others could read a secret, or change it.
    #[error(
        "{path}: open to others (owner {owner}, mode {mode:o}); \
         make it belong to root, with mode 0600, or 0640 for a group that may read it"
    )]
    Open {
        /// The file.
        path: String,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Above a limit.
    #[error("{path}: more than {limit} {what}")]
    TooMuch {
        /// The file or directory.
        path: String,
        /// The limit.
        limit: u64,
        /// What of.
        what: &'static str,
    },
    /// Not text.
    #[error("{path}: not UTF-8 (byte {at})")]
    NotText {
        /// The file.
        path: String,
        /// First byte that is wrong.
        at: usize,
    },
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its path as it was given or found.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Reads all given files, and all files with any of these extensions below given directories, in
/// the order of `paths` and sorted within each. What cannot be read is reported; the rest is read.
pub fn read_all(
    paths: &[PathBuf],
    extensions: &[&str],
    trust: Trust,
) -> (Vec<Text>, Vec<ReadError>) {
    let mut walk = Walk { extensions, trust, root: None, files: Vec::new(), errors: Vec::new() };
    for path in paths {
        // A link that was named is meant; links that are found are not followed.
        match metadata(path) {
            Ok(about) if about.is_dir() => match Directory::open(path, trust) {
                Ok(directory) => {
                    walk.root = Some(directory);
                    walk.directory(path, 0);
                }
                Err(error) => walk.errors.push(error),
            },
            Ok(_) => {
                walk.root = None;
                walk.file(path);
            }
            Err(error) => walk.errors.push(access::failed(path, error)),
        }
    }
    (walk.files, walk.errors)
}

/// A number that changes when any of the files that [`read_all`] would read is changed, replaced,
/// added or removed. Reads no file: it looks at names, sizes, inodes and times of change.
pub fn fingerprint(paths: &[PathBuf], extensions: &[&str]) -> u64 {
    let mut hash = DefaultHasher::new();
    let mut left = MAX_FILES;
    for path in paths {
        look(path, extensions, (0, true), &mut left, &mut hash);
    }
    hash.finish()
}

/// Adds what is at a path; `named`: it need not have one of the extensions, and a link is meant.
fn look(
    path: &Path,
    extensions: &[&str],
    (depth, named): (usize, bool),
    left: &mut usize,
    hash: &mut DefaultHasher,
) {
    // Where another process opens files for this one, it opens no link on the way.
    let follows = named || access::is_lent();
    let about = if follows { metadata(path) } else { fs::symlink_metadata(path) };
    path.hash(hash);
    let Ok(about) = about else { return };
    (about.ino(), about.dev(), about.uid(), about.mode()).hash(hash);
    if !about.is_dir() {
        *left = left.saturating_sub(1);
        (about.len(), about.mtime(), about.mtime_nsec()).hash(hash);
        (about.ctime(), about.ctime_nsec()).hash(hash);
        return;
    }
    // Trust is judged when the files are read.
    let Ok(entries) = entries(path, depth, Trust::Anyone) else { return };
    for (entry, kind) in entries {
        let wanted = |wanted: &&str| entry.extension().is_some_and(|found| found == *wanted);
        if *left > 0 && (kind == Kind::Directory || extensions.iter().any(wanted)) {
            look(&entry, extensions, (depth + 1, false), left, hash);
        }
    }
}

struct Walk<'a> {
    extensions: &'a [&'a str],
    trust: Trust,
    /// The directory that was named; what is in it is reached from there. None: a file was named.
    root: Option<Directory>,
    files: Vec<Text>,
    errors: Vec<ReadError>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, depth: usize) {
        match entries(path, depth, self.trust) {
            Err(error) => self.errors.push(error),
            Ok(entries) => {
                for (entry, kind) in entries {
                    if kind == Kind::Directory {
                        self.directory(&entry, depth + 1);
                    } else if self.wanted(&entry) {
                        self.file(&entry);
                    }
                }
            }
        }
    }

    fn wanted(&self, path: &Path) -> bool {
        let has = |wanted: &&str| path.extension().is_some_and(|found| found == *wanted);
        self.extensions.iter().any(has)
    }

    fn file(&mut self, path: &Path) {
        if self.files.len() == MAX_FILES {
            // Said once: at the first file that is left out.
            let full =
                |error: &ReadError| matches!(error, ReadError::TooMuch { what: "files", .. });
            if !self.errors.iter().any(full) {
                self.errors.push(too_much(path, MAX_FILES, "files"));
            }
            return;
        }
        match read(path, self.root.as_ref(), self.trust) {
            Ok(text) => self.files.push(Text { name: shown(path), text }),
            Err(error) => self.errors.push(error),
        }
    }
}

/// Visible entries of a directory, sorted by name.
fn entries(path: &Path, depth: usize, trust: Trust) -> Result<Vec<(PathBuf, Kind)>, ReadError> {
    let failed = |error| access::failed(path, error);
    if depth > MAX_DEPTH {
        return Err(too_much(path, MAX_DEPTH, "levels of directories"));
    }
    check_trust(path, &metadata(path).map_err(failed)?, trust)?;
    let all = list(path).map_err(failed)?;
    let mut all = all.ok_or_else(|| too_much(path, MAX_ENTRIES, "entries"))?;
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(all)
}

/// Reads one file as text: from the directory in which it was found, or as it was named.
fn read(path: &Path, root: Option<&Directory>, trust: Trust) -> Result<String, ReadError> {
    let bytes = match root {
        None => read_bytes(path, MAX_BYTES, trust)?,
        Some(root) => {
            let below = path.strip_prefix(root.path()).ok().and_then(Path::to_str);
            // A name that is no text would have to be guessed.
            let below = below.ok_or_else(|| ReadError::NotText { path: shown(path), at: 0 })?;
            root.read(below, MAX_BYTES)?
        }
    };
    String::from_utf8(bytes).map_err(|error| ReadError::NotText {
        path: shown(path),
        at: error.utf8_error().valid_up_to(),
    })
}

/// Refuses what lies below a directory that others can write: they could put another thing in its
/// place. In a directory with the sticky bit (`/tmp`) they cannot: what is root's or ours stays.
pub(crate) fn check_way(path: &Path, trust: Trust) -> Result<(), ReadError> {
    if trust == Trust::Anyone || access::is_lent() {
        return Ok(());
    }
    let failed = |source| ReadError::Io { path: shown(path), source };
    let real = fs::canonicalize(path).map_err(failed)?;
    for above in real.ancestors().skip(1) {
        let about = fs::metadata(above).map_err(failed)?;
        let ours = about.uid() == 0 || about.uid() == geteuid().as_raw();
        if !ours || (about.mode() & OTHERS_WRITE != 0 && about.mode() & STICKY == 0) {
            let (owner, mode) = (about.uid(), about.mode() & 0o7777);
            return Err(ReadError::Untrusted { path: shown(above), owner, mode });
        }
    }
    Ok(())
}

/// Refuses what somebody can write, or read, who is not trusted with it. `about` is that of the file that is
/// open, so that nothing can be exchanged between this and its use.
pub fn check_trust(path: &Path, about: &Metadata, trust: Trust) -> Result<(), ReadError> {
    let ours = about.uid() == 0 || about.uid() == geteuid().as_raw();
    let (owner, mode) = (about.uid(), about.mode() & 0o7777);
    let path = || shown(path);
    match trust {
        Trust::Owner if !ours || mode & OTHERS_WRITE != 0 => {
            Err(ReadError::Untrusted { path: path(), owner, mode })
        }
        Trust::Private if !ours || mode & OPEN != 0 => {
            Err(ReadError::Open { path: path(), owner, mode })
        }
        Trust::Anyone | Trust::Owner | Trust::Private => Ok(()),
    }
}

/// Permission bits with which group or others can write.
const OTHERS_WRITE: u32 = 0o022;
/// Those of a file that is open to others: what is beyond 0640 but for bits of its owner.
const OPEN: u32 = 0o037;
/// The permission bit with which entries belong to their owners.
const STICKY: u32 = 0o1000;

fn too_much(path: &Path, limit: usize, what: &'static str) -> ReadError {
    ReadError::TooMuch { path: shown(path), limit: limit as u64, what }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
