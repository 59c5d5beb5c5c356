//! Files that are there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::About;

/// Replaces a file: written beside it, flushed, renamed, and the directory flushed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
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
    let mut private = tempfile::Builder::new();
    private.permissions(fs::Permissions::from_mode(0o700));
    // It goes away by itself unless it got to its place.
    let new = private.prefix(".new-").tempdir_in(dir)?;
    let sources = new.path().join("sources");
    fs::DirBuilder::new().mode(0o700).create(&sources)?;
    for (at, text) in texts.iter().enumerate() {
        file(&sources.join(at.to_string()), text.text.as_bytes())?;
    }
    File::open(&sources)?.sync_all()?;
    file(&new.path().join("tables"), tables)?;
    file(&new.path().join("about.json"), &serde_json::to_vec(about)?)?;
    File::open(new.path())?.sync_all()?;
    fs::rename(new.path(), place)?;
    // What it was called is gone; there is nothing to clean up any more.
    let _moved = new.keep();
    File::open(dir)?.sync_all()
}

fn file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
