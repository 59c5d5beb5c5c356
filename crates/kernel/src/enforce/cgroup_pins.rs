//! Pins of the programs of cgroups: what lets them outlive who loaded them, and a successor find them.
//!
//! Below one directory there is one for each build, cgroup and size of tables, with the maps and the
//! links. A successor that fits goes on with them; another one attaches its own beside them, and takes
//! these away when its first generation is in force: who was denied stays denied meanwhile.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libbpf_rs::Link;

use super::pins::{self, below, named, remove};
use crate::error::Error;

/// What the pins of maps are called, with their names behind it.
const MAP: &str = "map-";

/// Pins of one build.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
    own: PathBuf,
}

impl Pins {
    /// Below a directory, for these programs and what else makes them differ.
    pub(super) fn new(root: &Path, object: &str, differs: &[u64]) -> Result<Pins, Error> {
        let mut hasher = DefaultHasher::new();
        hasher.write(object.as_bytes());
        for one in differs {
            hasher.write_u64(*one);
        }
        let own = root.join(format!("{:016x}", hasher.finish()));
        let pins = Pins { root: root.to_owned(), own };
        pins.make()?;
        Ok(pins)
    }

    /// Makes their directory, and what it lies on.
    pub(super) fn make(&self) -> Result<(), Error> {
        super::bpffs::provide(&self.own)?;
        fs::create_dir_all(&self.own).map_err(|error| named("create", &self.own, error))
    }

    /// Whether they are there: somebody may unmount what holds them.
    pub(super) fn are_there(&self) -> bool {
        self.own.is_dir()
    }

    /// Pins a map again.
    pub(super) fn put_map(&self, name: &str, map: BorrowedFd<'_>) -> Result<(), Error> {
        put(map, &self.map(name))
    }

    /// Pins a link again, which believes that it is pinned.
    pub(super) fn put_link(&self, program: &str, link: BorrowedFd<'_>) -> Result<(), Error> {
        put(link, &self.link(program))
    }

    /// Where a map is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.own.join(format!("{MAP}{name}"))
    }

    /// Where the link of a program is pinned.
    fn link(&self, program: &str) -> PathBuf {
        self.own.join(format!("link-{program}"))
    }

    /// The links that a predecessor left.
    pub(super) fn links(
        &self,
        programs: impl Iterator<Item = &'static str>,
    ) -> Result<BTreeMap<&'static str, Link>, Error> {
        let there = programs.filter(|program| self.link(program).exists());
        let open = |program: &'static str| match Link::open(self.link(program)) {
            Ok(link) => Ok((program, link)),
            Err(error) => {
                Err(Error::Refused { program: program.to_owned(), reason: error.to_string() })
            }
        };
        there.map(open).collect()
    }

    /// Keeps a link.
    pub(super) fn keep(&self, program: &str, link: &mut Link) -> Result<(), Error> {
        let kept = link.pin(self.link(program));
        kept.map_err(|error| Error::Refused {
            program: program.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Lets go of a link.
    pub(super) fn forget(&self, program: &str) -> Result<(), Error> {
        let path = self.link(program);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(named("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Takes away what other builds left.
    pub(super) fn forget_others(&self) -> Result<(), Error> {
        below(&self.root)?
            .iter()
            .filter(|path| **path != self.own)
            .try_for_each(|path| remove(path))
    }
}

fn put(fd: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    let fail = |error| named("pin", path, error);
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| fail(error.into()))?;
    // SAFETY: the name ends with a zero and lives until the call returns, and the descriptor is open.
    let done = unsafe { libbpf_sys::bpf_obj_pin(fd.as_raw_fd(), name.as_ptr()) };
    if done < 0 { Err(fail(io::Error::from_raw_os_error(-done))) } else { Ok(()) }
}

/// Takes everything below a directory away; false if nothing was there. Whoever still has the programs
/// loaded denies nothing any more, too.
pub(super) fn release(root: &Path) -> Result<bool, Error> {
    let all = below(root)?;
    for own in &all {
        pins::let_go(&own.join(format!("{MAP}epoch")))?;
    }
    all.iter().try_for_each(|path| remove(path))?;
    if root.exists() {
        fs::remove_dir(root).map_err(|error| named("remove", root, error))?;
    }
    Ok(!all.is_empty())
}
