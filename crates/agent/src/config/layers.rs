//! Which files count, and in which order.
//!
//! As systemd does it: of files with the same name in several directories only that of the strongest
//! directory counts, and a link to `/dev/null` there switches it off. What is left is read by name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Setting, read, wrong};
use crate::exit::Failure;

/// Drop-ins of the package, of this boot and of the host; the later the stronger.
const DROP_INS: [&str; 3] =
    ["usr/lib/aegisbpf/config.d", "run/aegisbpf/config.d", "etc/aegisbpf/config.d"];
/// The file of the host.
const MAIN: &str = "etc/aegisbpf/config.toml";
/// Instead of a file: none at all.
const NONE: &str = "/dev/null";
/// Files of one directory; nobody keeps an overview of more.
const FILES_MAX: usize = 100;

/// Where the files are.
#[derive(Debug)]
pub(crate) struct Layers {
    root: PathBuf,
    only: Option<PathBuf>,
}

impl Layers {
    /// The usual places, or one file alone.
    pub(crate) fn of(only: Option<&Path>) -> Layers {
        Layers { root: PathBuf::from("/"), only: only.map(Path::to_owned) }
    }

    /// The usual places below a directory.
    #[cfg(test)]
    pub(crate) fn below(root: &Path) -> Layers {
        Layers { root: root.to_owned(), only: None }
    }

    /// The files, the weakest first.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        if let Some(only) = &self.only {
            let only = Some(only.clone()).filter(|only| only != Path::new(NONE));
            return Ok(only.into_iter().collect());
        }
        // The file of the host is stronger than what the package brings, and weaker than all others.
        let [package, rest @ ..] = DROP_INS;
        let main = self.root.join(MAIN);
        let mut named: BTreeMap<OsString, (bool, PathBuf)> = BTreeMap::new();
        let directories = [(true, package)].into_iter().chain(rest.map(|one| (false, one)));
        for (packaged, directory) in directories {
            for path in drop_ins(&self.root.join(directory))? {
                let name = path.file_name().map(OsString::from).unwrap_or_default();
                named.insert(name, (packaged, path));
            }
        }
        let is_off = |path: &Path| fs::read_link(path).is_ok_and(|to| to == Path::new(NONE));
        let (weak, strong): (Vec<_>, Vec<_>) = named
            .into_values()
            .filter(|(_, path)| !is_off(path))
            .partition(|(packaged, _)| *packaged);
        let paths = |all: Vec<(bool, PathBuf)>| all.into_iter().map(|one| one.1);
        let main = Some(main).filter(|main| main.symlink_metadata().is_ok());
        Ok(paths(weak).chain(main).chain(paths(strong)).collect())
    }

    /// What all of them say: of each key what the strongest says.
    pub(super) fn read(&self) -> Result<Vec<Setting>, Failure> {
        let mut all: Vec<Setting> = Vec::new();
        for path in self.files()? {
            for setting in read::file(&path)? {
                all.retain(|one| one.key != setting.key);
                all.push(setting);
            }
        }
        Ok(all)
    }
}

fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: &std::io::Error| wrong(&directory.display(), error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let is_hidden =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|end| end == "toml") && !is_hidden {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(wrong(&directory.display(), &format_args!("more than {FILES_MAX} files")));
        }
    }
    Ok(paths)
}
