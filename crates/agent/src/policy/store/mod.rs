//! Generations of policies on disk: what is in force, what was, and who changed it.
//!
//! ```text
//! STATE/policy/
//!   generations/7/           about.json, tables, sources/0, sources/1, …; never changed once it is there
//!   active                   "7"
//!   lock
//! ```
//! Who changed it stands in the audit log of the state directory.
//!
//! A generation is written beside its place, flushed, and renamed: it is there as a whole or not at
//! all. `active` is replaced in the same way. So whatever fails, and wherever a crash comes, what was
//! in force before stays in force.

mod about;
mod emergency;
mod journal;
pub(crate) mod write;

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::load::Ready;
use crate::exit::{Exit, Failure};

pub(crate) use about::{About, Rule, exact};
pub(crate) use emergency::Emergency;
pub(crate) use journal::{Change, REASON_MAX, Who, shortened};
pub(crate) use write::replace;

/// Generations that are kept, the one in force always.
const KEPT: usize = 16;
/// Bytes of tables that are read back: the largest that are ever made, and their head.
const TABLES_MAX: u64 = (policy::limits::BYTES_MAX as u64) * 2;
/// Bytes of `about.json`: places and names of all rules.
const ABOUT_MAX: u64 = 64 << 20;
/// Bytes of `active`.
const ACTIVE_MAX: u64 = 32;

/// The store of a state directory.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    state: PathBuf,
    root: PathBuf,
}

/// A store that nobody else changes meanwhile.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    store: &'a Store,
    _lock: File,
}

/// A generation that is on disk, and not in force.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Its number.
    pub(crate) generation: u64,
    /// What is known of it.
    pub(crate) about: About,
}

/// A generation that is in force.
#[derive(Debug)]
pub(crate) struct Active {
    /// Its number.
    pub(crate) generation: u64,
}

/// A generation read back.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// What is known of it.
    pub(crate) about: About,
    /// Its tables.
    pub(crate) tables: Vec<u8>,
}

pub(super) fn failed(what: &str, path: &Path, error: &(dyn Error + 'static)) -> Failure {
    let failure = Failure::cannot(&format!("{what} {}", path.display()), error);
    if failure.exit == Exit::Permission {
        return failure;
    }
    failure.help("what was in force before stays in force")
}

impl Store {
    /// The store of a state directory; it need not exist.
    pub(crate) fn at(state: &Path) -> Store {
        Store { state: state.to_owned(), root: state.join("policy") }
    }

    fn generations(&self) -> PathBuf {
        self.root.join("generations")
    }

    fn dir(&self, generation: u64) -> PathBuf {
        self.generations().join(generation.to_string())
    }

    /// Takes the store for oneself, for a change. Waits while somebody else changes it.
    pub(crate) fn lock(&self) -> Result<Locked<'_>, Failure> {
        let create = |dir: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let generations = self.generations();
        create(&generations).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let message = format!("{} may be changed by root only", self.root.display());
                Failure::new(Exit::Permission, message).help("run it with sudo")
            }
            _ => failed("create", &generations, &error),
        })?;
        let path = self.root.join("lock");
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(|error| failed("open", &path, &error))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", &path, &error))?;
        Ok(Locked { store: self, _lock: lock })
    }

    /// The number of the generation that is in force, or was when the agent ran.
    pub(crate) fn active(&self) -> Result<Option<u64>, Failure> {
        let path = self.root.join("active");
        match read(&path, ACTIVE_MAX) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let number = text.trim().parse();
                number
                    .map(Some)
                    .map_err(|_| failed("read", &path, &io::Error::other("it holds no number")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// A file beside the generations.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// All generations that are kept, the oldest first.
    pub(crate) fn list(&self) -> Result<Vec<u64>, Failure> {
        let dir = self.generations();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &dir, &error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut all: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
        all.sort_unstable();
        Ok(all)
    }

    /// What is known of a generation.
    pub(crate) fn about(&self, generation: u64) -> Result<About, Failure> {
        let path = self.dir(generation).join("about.json");
        let bytes = read(&path, ABOUT_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let message = format!("there is no generation {generation}");
                Failure::new(Exit::Failed, message).help("`aegisbpf policy history` lists them")
            }
            _ => failed("read", &path, &error),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| failed("read", &path, &error))
    }

    /// A generation with its tables, which are checked.
    pub(crate) fn read(&self, generation: u64) -> Result<Stored, Failure> {
        let about = self.about(generation)?;
        let path = self.dir(generation).join("tables");
        let tables = read(&path, TABLES_MAX).map_err(|error| failed("read", &path, &error))?;
        let parsed = policy::Tables::parse(&tables);
        let parsed = parsed.map_err(|error| failed("use", &path, &error))?;
        if parsed.generation != generation || about.generation != generation {
            let other = io::Error::other("it is of another generation");
            return Err(failed("use", &path, &other));
        }
        Ok(Stored { about, tables })
    }

    /// The texts of a generation: names and contents.
    pub(crate) fn sources(&self, about: &About) -> Result<Vec<files::Text>, Failure> {
        let dir = self.dir(about.generation).join("sources");
        let numbered = (0_usize..).zip(&about.sources);
        let texts = numbered.map(|(at, source)| {
            let path = dir.join(at.to_string());
            let text = read(&path, files::MAX_BYTES)
                .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
                .map_err(|error| failed("read", &path, &error))?;
            Ok(files::Text { name: source.name.clone(), text })
        });
        texts.collect()
    }

    /// The changes, the oldest first.
    pub(crate) fn changes(&self) -> Result<Vec<serde_json::Value>, Failure> {
        journal::read(&self.state)
    }
}

/// Reads a file up to a limit, if nobody else can have written it.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    files::read_bytes(path, limit, files::Trust::Owner).map_err(|error| match error {
        files::ReadError::Io { source, .. } => source,
        other => io::Error::other(other),
    })
}

impl Locked<'_> {
    /// The number of the next generation. Numbers are never given twice while a generation that
    /// came later is kept or in force.
    pub(crate) fn next(&self) -> Result<u64, Failure> {
        let last = self.store.list()?.last().copied().unwrap_or_default();
        Ok(last.max(self.store.active()?.unwrap_or_default()) + 1)
    }

    /// Writes a generation; the tables must have been compiled with its number.
    pub(crate) fn stage(&self, ready: &Ready, who: &Who) -> Result<Staged, Failure> {
        let generation = ready.options.generation;
        let about = About::of(ready, who);
        let tables = ready.compiled.tables.encode();
        let tables = tables.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let place = self.store.dir(generation);
        write::generation(&self.store.generations(), &place, &about, &tables, &ready.texts)
            .map_err(|error| failed("write", &place, &error))?;
        Ok(Staged { generation, about })
    }

    /// Makes a generation the one in force. The caller has put it into the kernel, if an agent runs.
    pub(crate) fn activate(&self, staged: &Staged) -> Result<Active, Failure> {
        let path = self.store.root.join("active");
        write::replace(&path, format!("{}\n", staged.generation).as_bytes())
            .map_err(|error| failed("write", &path, &error))?;
        self.prune(staged.generation);
        Ok(Active { generation: staged.generation })
    }

    /// Says which generation is in force after a trial that failed; none if nothing is.
    pub(crate) fn point(&self, generation: Option<u64>) -> Result<(), Failure> {
        let path = self.store.root.join("active");
        let done = match generation {
            Some(generation) => write::replace(&path, format!("{generation}\n").as_bytes()),
            None => fs::remove_file(&path),
        };
        done.map_err(|error| failed("write", &path, &error))
    }

    /// Replaces a file beside the generations.
    pub(crate) fn replace(&self, name: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.store.root.join(name);
        write::replace(&path, bytes).map_err(|error| failed("write", &path, &error))
    }

    /// Throws away a generation that did not get into force.
    pub(crate) fn discard(&self, staged: &Staged) {
        self.remove(staged.generation);
    }

    /// Writes down a change. What is not written down is not done: the caller asks before.
    pub(crate) fn log(&self, change: &Change<'_>) -> Result<(), Failure> {
        journal::append(&self.store.state, change)
    }

    fn prune(&self, active: u64) {
        let Ok(all) = self.store.list() else { return };
        let many = all.len().saturating_sub(KEPT);
        all.into_iter().take(many).filter(|one| *one != active).for_each(|one| self.remove(one));
    }

    fn remove(&self, generation: u64) {
        let dir = self.store.dir(generation);
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::warn!(dir = %dir.display(), %error, "an old generation cannot be removed");
        }
    }
}
