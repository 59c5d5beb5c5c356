//! Where packs are: directories of packs, or packs themselves.

use std::path::{Path, PathBuf};

use ::packs::{Code, Level, Refusal};

/// Where packs are unless said otherwise, and what a pack is there without any signature: those that
/// came with this program, and those of the host.
pub(crate) const DIRECTORIES: &[(&str, Level)] =
    &[("/usr/lib/aegisbpf/packs", Level::Shipped), ("/etc/aegisbpf/packs.d", Level::Local)];
/// Packs of all directories together.
const PACKS_MAX: usize = 1_000;

/// A pack that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where.
    pub(crate) path: PathBuf,
    /// What it is there without a signature.
    pub(crate) place: Level,
}

/// All packs in these directories, or in the usual ones.
pub(crate) fn places(named: &[PathBuf]) -> Result<Vec<Found>, Vec<Refusal>> {
    let mut all = Vec::new();
    if named.is_empty() {
        for (path, place) in DIRECTORIES.iter().map(|(path, place)| (Path::new(path), *place)) {
            if files::exists(path) {
                below(path, place, &mut all)?;
            }
        }
        return Ok(all);
    }
    for path in named {
        if ::packs::is_pack(path) {
            all.push(Found { path: path.clone(), place: Level::Local });
        } else {
            below(path, Level::Local, &mut all)?;
        }
    }
    Ok(all)
}

/// The packs of a directory, sorted by name. Whatever else lies there is refused: a pack that lost its
/// manifest is not to be overlooked.
fn below(path: &Path, place: Level, all: &mut Vec<Found>) -> Result<(), Vec<Refusal>> {
    let shown = path.display().to_string();
    let unread = |error: std::io::Error| vec![Refusal::new(Code::Unreadable, &shown, error)];
    // Whoever can write here decides which packs there are.
    files::Directory::open(path, files::Trust::Owner)
        .map_err(|error| vec![::packs::unread(&error)])?;
    let mut found = Vec::new();
    let entries = files::list(path).map_err(unread)?;
    let entries = entries.filter(|entries| all.len() + entries.len() <= PACKS_MAX);
    let too_many =
        || vec![Refusal::new(Code::TooMany, &shown, format!("more than {PACKS_MAX} packs"))];
    for (entry, kind) in entries.ok_or_else(too_many)? {
        if kind == files::Kind::Link {
            let what = "a link; put the pack itself here";
            return Err(vec![Refusal::new(Code::NotRegular, &entry.display().to_string(), what)]);
        }
        found.push(Found { path: entry, place });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    all.extend(found);
    Ok(())
}
