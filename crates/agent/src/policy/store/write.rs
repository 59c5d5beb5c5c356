//! Files that are there as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::About;

/// What the names of files begin with that are not whole yet.
pub(crate) const NEW: &str = ".new-";

/// Replaces a file: written beside it, flushed, renamed, and the directory flushed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// Takes away what somebody who was killed had begun to write in a directory. Nobody may be writing there now.
pub(crate) fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(NEW.as_bytes()) {
            continue;
        }
        let path = entry.path();
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = gone {
            tracing::debug!(path = %path.display(), %error, "it stays");
        }
    }
}

/// Makes a directory, whole, at a place that must be free in one that is there; `fill` puts files into
/// it.
pub(crate) fn directory(
    dir: &Path,
    place: &Path,
    fill: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut private = tempfile::Builder::new();
    private.permissions(fs::Permissions::from_mode(0o700));
    // It goes away by itself unless it got to its place.
    let new = private.prefix(NEW).tempdir_in(dir)?;
    fill(new.path())?;
    File::open(new.path())?.sync_all()?;
    fs::rename(new.path(), place)?;
    // What it was called is gone; there is nothing to clean up any more.
    let _moved = new.keep();
    File::open(dir)?.sync_all()
}

/// Writes a generation into its place among the others, which must be free.
pub(super) fn generation(
    dir: &Path,
    place: &Path,
    about: &About,
    tables: &[u8],
    texts: &[files::Text],
) -> io::Result<()> {
    directory(dir, place, |new| {
        let texts = texts.iter().map(|text| text.text.as_bytes());
        numbered(&new.join("sources"), texts)?;
        file(&new.join("tables"), tables)?;
        file(&new.join("about.json"), &serde_json::to_vec(about)?)
    })
}

/// Writes files into a new directory: 0, 1, 2 …
pub(crate) fn numbered<'b>(
    dir: &Path,
    contents: impl IntoIterator<Item = &'b [u8]>,
) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(dir)?;
    for (at, bytes) in contents.into_iter().enumerate() {
        file(&dir.join(at.to_string()), bytes)?;
    }
    File::open(dir)?.sync_all()
}

/// Writes a new file and flushes it.
pub(crate) fn file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
