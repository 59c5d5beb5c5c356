//! Which files and directories get a mark: those that a policy protects, and the directories in
//! which protected files may appear. Whole filesystems only if protected names may be anywhere.
//!
//! What is to be looked at waits in a list and is taken from it one by one, so that whoever asks
//! meanwhile is answered in between.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::Judge;
use super::fanotify::{EXECUTE, News, OPEN, On, READ};
use super::posts::Posts;
use super::request::Identity;
use crate::error::Error;
use crate::source::mountinfo::MountInfo;

/// Marks of one guard, and places that wait to be looked at: each mark holds an inode in memory.
const MARKS_MAX: usize = 1 << 18;
/// Filesystems without files of their own: what is named there by its whole path has a mark, what
/// may be anywhere is not looked for.
const WITHOUT: &[&str] = &[
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "bpf",
    "tracefs",
    "debugfs",
    "securityfs",
    "devpts",
    "mqueue",
    "pstore",
    "configfs",
    "fusectl",
    "binfmt_misc",
    "autofs",
    "nsfs",
    "hugetlbfs",
    "devtmpfs",
    "efivarfs",
];

/// The marks.
#[derive(Debug)]
pub(super) struct Marks {
    news: News,
    mounts: MountInfo,
    /// Mounts that were seen: id, filesystem and place.
    mounted: BTreeSet<(u32, u64, PathBuf)>,
    /// Filesystems without files of their own.
    without: BTreeSet<u64>,
    /// Filesystems that have a mark as a whole.
    whole: BTreeSet<u64>,
    waiting: Vec<PathBuf>,
    made: usize,
    failed: u64,
}

impl Marks {
    pub(super) fn new() -> Result<Marks, Error> {
        let mounts = MountInfo::open();
        Ok(Marks {
            news: News::new()?,
            mounts: mounts.map_err(|error| Error::io("open /proc/self/mountinfo", error))?,
            mounted: BTreeSet::new(),
            without: BTreeSet::new(),
            whole: BTreeSet::new(),
            waiting: Vec::new(),
            made: 0,
            failed: 0,
        })
    }

    /// Files, directories and filesystems that could not be marked.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Looks for everything that is there from now on.
    pub(super) fn begin(&mut self, judge: &mut dyn Judge) -> Result<(), Error> {
        self.mounts(judge)?;
        self.waiting = judge.named();
        self.waiting.push(PathBuf::from("/"));
        Ok(())
    }

    /// Marks whole filesystems, if names anywhere may be protected, or programs by what they hold.
    pub(super) fn filesystems(
        &mut self,
        posts: &mut Posts,
        judge: &dyn Judge,
    ) -> Result<(), Error> {
        for (_, device, point) in &self.mounted {
            let without = self.without.contains(device);
            let mask = match (judge.everywhere() && !without, judge.executables()) {
                (true, _) => OPEN | EXECUTE,
                // A program can be anywhere.
                (false, true) => EXECUTE,
                (false, false) => continue,
            };
            if self.whole.contains(device) {
                continue;
            }
            match posts.mark(On::Filesystem, mask, point) {
                Ok(()) => self.whole.insert(*device),
                // Mounted over: another place of it can be marked, or nobody can reach it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                // Some of these have no files at all.
                Err(_) if without => continue,
                Err(error) => {
                    let what = format!("mark the filesystem at {}", point.display());
                    return Err(Error::io(what, error));
                }
            };
        }
        Ok(())
    }

    /// Takes note of new names and mounts.
    pub(super) fn look(&mut self, posts: &mut Posts, judge: &mut dyn Judge) -> Result<(), Error> {
        match self.news.names()? {
            Some(names) => self.waiting.extend(names),
            None => self.waiting.push(PathBuf::from("/")),
        }
        if self.mounts.changed() {
            let new = self.mounts(judge)?;
            self.waiting.extend(new);
            if self.filesystems(posts, judge).is_err() {
                self.failed += 1;
            }
        }
        Ok(())
    }

    /// Reads which filesystems are mounted; the places that are new.
    fn mounts(&mut self, judge: &mut dyn Judge) -> Result<Vec<PathBuf>, Error> {
        let all = self.mounts.read();
        let all = all.map_err(|error| Error::io("read /proc/self/mountinfo", error))?;
        let is_without = |kind: &[u8]| WITHOUT.iter().any(|one| one.as_bytes() == kind);
        self.without = all.iter().filter(|one| is_without(&one.kind)).map(|one| one.dev).collect();
        let now: BTreeSet<_> = all.into_iter().map(|one| (one.id, one.dev, one.point)).collect();
        let new = now.difference(&self.mounted).map(|one| one.2.clone()).collect();
        // A filesystem that went and comes again is another one.
        self.whole.retain(|device| now.iter().any(|one| one.1 == *device));
        self.mounted = now;
        judge.remounted();
        Ok(new)
    }

    /// Whether something waits to be looked at.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Looks at one place: marks a file, or a directory, and lets what is in it wait as far as it may
    /// be protected.
    pub(super) fn step(&mut self, posts: &mut Posts, judge: &mut dyn Judge) -> Result<(), Error> {
        let Some(path) = self.waiting.pop() else { return Ok(()) };
        let Ok(about) = fs::symlink_metadata(&path) else { return Ok(()) };
        let file = Identity::of(&about);
        if about.is_file() && judge.concerns(&path) {
            judge.known(file, &path);
            let marked = self.mark(posts, On::File, OPEN | EXECUTE | READ, &path);
            self.failed += u64::from(marked.is_err());
        } else if about.is_dir() {
            let everywhere = judge.everywhere();
            if everywhere && !self.without.contains(&file.device)
                || !everywhere && judge.below(&path)
            {
                if !everywhere {
                    self.directory(posts, judge, &path);
                }
                self.inside(judge, &path);
            }
        }
        if self.made >= MARKS_MAX || self.waiting.len() >= MARKS_MAX {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(Error::io(format!("mark more than {MARKS_MAX} files"), full));
        }
        Ok(())
    }

    /// Before its entries are read: what is made in between is told of.
    fn directory(&mut self, posts: &mut Posts, judge: &mut dyn Judge, path: &Path) {
        if judge.children(path) {
            let marked = self.mark(posts, On::Children, OPEN | EXECUTE, path);
            self.failed += u64::from(marked.is_err());
        }
        self.failed += u64::from(self.news.watch(path).is_err());
    }

    /// Directories, and files that are protected; others need not wait.
    fn inside(&mut self, judge: &mut dyn Judge, path: &Path) {
        let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        for entry in entries {
            let path = entry.path();
            let waits = match entry.file_type() {
                Ok(kind) => kind.is_dir() || kind.is_file() && judge.concerns(&path),
                Err(_) => true,
            };
            if waits {
                self.waiting.push(path);
            }
        }
    }

    fn mark(&mut self, posts: &mut Posts, on: On, mask: u64, path: &Path) -> io::Result<()> {
        self.made += 1;
        posts.mark(on, mask, path)
    }
}

impl AsFd for Marks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}
