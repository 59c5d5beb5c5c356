//! Generations and what is in force, on disk.
//!
//! A generation is written beside its place, flushed, and renamed: it is there as a whole or not at all.
//! `standing.json` is replaced in the same way, after it. So whatever fails, and wherever a kill comes,
//! what was in force before is still known and still there.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use packs::Sha256;
use rustix::fs::FlockOperation;

use super::{About, Content, Standing};
use crate::policy::store::write;
use crate::state::read;

/// Generations that are kept, those that are needed always.
pub(crate) const KEPT: usize = 16;
/// Bytes of files of all generations together, those that are needed always: all public rules of Sigma
/// and Elastic have some 25 MB.
const BYTES_KEPT: u64 = 512 << 20;
/// Bytes of `about.json`: ids of all rules, and of all files.
const ABOUT_MAX: u64 = 64 << 20;
/// Bytes of `standing.json`.
const STANDING_MAX: u64 = 1 << 20;
/// Bytes of a file of a generation: a pack is the largest.
const FILE_MAX: u64 = packs::limits::MAX_PACK;
/// Letters of a reason that is kept.
const REASON_MAX: usize = 1_000;

/// The store of a state directory.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store of a state directory; it need not exist.
    pub(crate) fn at(state: &Path) -> Store {
        Store { root: state.join("rules") }
    }

    fn generations(&self) -> PathBuf {
        self.root.join("generations")
    }

    /// Where a generation is.
    pub(crate) fn place(&self, generation: u64) -> PathBuf {
        self.generations().join(generation.to_string())
    }

    /// What is in force.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        match read(&self.root.join("standing.json"), STANDING_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Standing::default()),
            Err(error) => Err(error),
        }
    }

    /// All generations that are kept, the oldest first.
    pub(crate) fn list(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(self.generations()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut all: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
        all.sort_unstable();
        Ok(all)
    }

    /// What is known of a generation.
    pub(crate) fn about(&self, generation: u64) -> io::Result<About> {
        let bytes = read(&self.place(generation).join("about.json"), ABOUT_MAX)?;
        let about: About = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if about.generation != generation {
            return Err(io::Error::other("it is of another generation"));
        }
        Ok(about)
    }

    /// What a generation is made of. A file that is not as it was written is an error.
    pub(crate) fn contents(&self, about: &About) -> io::Result<Vec<Content>> {
        let dir = self.place(about.generation).join("files");
        let contents = about.files.iter().enumerate().map(|(at, entry)| {
            let path = dir.join(at.to_string());
            let bytes = read(&path, FILE_MAX)?;
            if Sha256::of(&bytes) != entry.sha256 {
                let what = format!("{} is not as it was written", path.display());
                return Err(io::Error::other(what));
            }
            Ok(Content { kind: entry.kind.clone(), name: entry.name.clone(), bytes })
        });
        contents.collect()
    }

    /// The store, while nobody else changes it.
    pub(crate) fn lock(&self) -> io::Result<Locked<'_>> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.generations())?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = lock.open(self.root.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Locked { store: self, standing: self.standing().unwrap_or_default(), _lock: lock })
    }
}

/// A store that nobody else changes meanwhile.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    store: &'a Store,
    /// What is in force; [`Locked::save`] makes it so.
    pub(crate) standing: Standing,
    _lock: File,
}

impl Locked<'_> {
    /// The number of the next generation: it is never one that was there already.
    pub(crate) fn next(&self) -> io::Result<u64> {
        let last = self.store.list()?.last().copied().unwrap_or_default();
        Ok(last.max(self.standing.last) + 1)
    }

    /// Writes a generation, whose number is the next.
    pub(crate) fn put(&mut self, about: &About, contents: &[Content]) -> io::Result<()> {
        self.tidy();
        let bytes = serde_json::to_vec(about)?;
        let place = self.store.place(about.generation);
        write::directory(&self.store.generations(), &place, |new| {
            let contents = contents.iter().map(|content| &content.bytes[..]);
            write::numbered(&new.join("files"), contents)?;
            write::file(&new.join("about.json"), &bytes)
        })?;
        self.standing.last = about.generation;
        Ok(())
    }

    /// Makes what [`Locked::standing`] says what is in force, and forgets what is kept no longer.
    pub(crate) fn save(mut self) -> io::Result<()> {
        for broken in self.standing.reverted.values_mut() {
            shorten(&mut broken.reason);
        }
        let gone = self.surplus();
        let kept = self.store.list().unwrap_or_default();
        self.standing.reverted.retain(|one, _| kept.contains(one) && !gone.contains(one));
        let bytes = serde_json::to_vec_pretty(&self.standing)?;
        write::replace(&self.store.root.join("standing.json"), &bytes)?;
        for generation in gone {
            let place = self.store.place(generation);
            if let Err(error) = fs::remove_dir_all(&place) {
                tracing::warn!(place = %place.display(), %error, "old rules cannot be removed");
            }
        }
        Ok(())
    }

    /// Generations that are too many or too large, the oldest first. What is in force, and what that may
    /// have to go back to, stays.
    fn surplus(&self) -> Vec<u64> {
        let Ok(all) = self.store.list() else { return Vec::new() };
        let Standing { active, trial, held, .. } = &self.standing;
        let needed = [*active, *trial, held.as_ref().map(|held| held.generation)];
        let sizes: BTreeMap<u64, u64> = all.iter().map(|one| (*one, self.size(*one))).collect();
        let (mut many, mut bytes) = (all.len(), sizes.values().sum::<u64>());
        let mut gone = Vec::new();
        for (generation, size) in sizes {
            if (many > KEPT || bytes > BYTES_KEPT) && !needed.contains(&Some(generation)) {
                gone.push(generation);
                (many, bytes) = (many - 1, bytes - size);
            }
        }
        gone
    }

    fn size(&self, generation: u64) -> u64 {
        let Ok(files) = fs::read_dir(self.store.place(generation).join("files")) else { return 0 };
        files.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }

    /// Removes what a kill left half written: nobody else writes here now.
    fn tidy(&self) {
        for dir in [self.store.generations(), self.store.root.clone()] {
            write::sweep(&dir);
        }
    }
}

fn shorten(reason: &mut String) {
    if let Some((end, _)) = reason.char_indices().nth(REASON_MAX) {
        reason.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::about::{Changes, Kind, Why, digest};
    use super::*;

    fn put(store: &Store, text: &str) -> u64 {
        let mut locked = store.lock().unwrap();
        let generation = locked.next().unwrap();
        let content = Content { kind: Kind::Rules, name: "r.toml".to_owned(), bytes: text.into() };
        let files = vec![(&content).into()];
        let about = About {
            generation,
            made: String::new(),
            cause: Why::Start.into(),
            before: None,
            sha256: digest(&files, false),
            rules_sha256: String::new(),
            refused: 0,
            rules: BTreeMap::new(),
            changes: Changes::default(),
            keys: Vec::new(),
            revoked: Vec::new(),
            files,
        };
        locked.put(&about, &[content]).unwrap();
        locked.standing.active = Some(generation);
        locked.save().unwrap();
        generation
    }

    #[test]
    fn the_newest_are_kept_and_what_is_needed_and_numbers_never_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        assert_eq!(store.standing().unwrap(), Standing::default());
        assert_eq!(put(&store, "one"), 1);
        let mut locked = store.lock().unwrap();
        locked.standing.trial = Some(1);
        locked.save().unwrap();
        for number in 2..40 {
            assert_eq!(put(&store, &number.to_string()), number);
        }
        let kept = store.list().unwrap();
        assert_eq!((kept.len(), kept[0], kept[1]), (KEPT, 1, 25), "{kept:?}");
        let about = store.about(1).unwrap();
        assert_eq!(store.contents(&about).unwrap()[0].bytes, b"one");
        fs::remove_dir_all(store.place(39)).unwrap();
        assert_eq!(store.lock().unwrap().next().unwrap(), 40);
    }

    #[test]
    fn what_is_not_as_it_was_written_is_found_and_half_written_things_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        put(&store, "one");
        fs::create_dir(store.generations().join(".new-x")).unwrap();
        put(&store, "two");
        assert!(!store.generations().join(".new-x").exists());
        assert_eq!(store.list().unwrap(), [1, 2]);
        let about = store.about(2).unwrap();
        fs::write(store.place(2).join("files/0"), "tw0").unwrap();
        let error = store.contents(&about).unwrap_err().to_string();
        assert!(error.contains("files/0 is not as it was written"), "{error}");
        assert!(store.contents(&store.about(1).unwrap()).is_ok());
    }
}
