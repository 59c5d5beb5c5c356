//! Which files and directories get a mark: those that a policy protects, and the directories in
//! which protected names may appear.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fanotify::{EXECUTE, Group, News, OPEN, On, READ};
use super::guard::Judge;
use super::guard_request::{kernel_device, unescaped};
use crate::error::Error;

/// Marks of one guard: each holds an inode in memory.
const MARKS_MAX: usize = 1 << 18;
/// Filesystems without files of their own, which no policy of files protects.
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
    made: usize,
    failed: u64,
}

impl Marks {
    pub(super) fn new() -> Result<Marks, Error> {
        Ok(Marks { news: News::new()?, made: 0, failed: 0 })
    }

    /// Files and directories that could not be marked.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Marks everything that is there.
    pub(super) fn all(&mut self, group: &Group, judge: &mut dyn Judge) -> Result<(), Error> {
        if judge.everywhere() {
            for point in filesystems()? {
                let marked = group.mark(On::Filesystem, OPEN | EXECUTE, &point);
                marked.map_err(|error| {
                    Error::io(format!("mark the filesystem at {}", point.display()), error)
                })?;
            }
        }
        self.walk(group, judge, PathBuf::from("/"))
    }

    /// Marks what is new since the last call.
    pub(super) fn news(&mut self, group: &Group, judge: &mut dyn Judge) -> Result<(), Error> {
        match self.news.names()? {
            Some(names) => names.into_iter().try_for_each(|name| self.walk(group, judge, name)),
            None => self.walk(group, judge, PathBuf::from("/")),
        }
    }

    /// Marks a file, or a directory and what is in it as far as something there may be protected.
    fn walk(&mut self, group: &Group, judge: &mut dyn Judge, from: PathBuf) -> Result<(), Error> {
        let mut open = vec![from];
        while let Some(path) = open.pop() {
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            if about.is_dir() && (judge.below(&path) || judge.concerns(&path)) {
                self.directory(group, &path);
                let entries = fs::read_dir(&path).into_iter().flatten();
                open.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
            } else if about.is_file() && judge.concerns(&path) {
                judge.known(kernel_device(about.dev()), about.ino(), &path);
                let marked = self.mark(group, On::File, OPEN | EXECUTE | READ, &path);
                self.failed += u64::from(marked.is_err());
            }
            if self.made >= MARKS_MAX {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                return Err(Error::io(format!("mark more than {MARKS_MAX} files"), full));
            }
        }
        Ok(())
    }

    /// Before its entries are read: what is made in between is told of.
    fn directory(&mut self, group: &Group, path: &Path) {
        let marked = self.mark(group, On::Children, OPEN | EXECUTE, path);
        self.failed += u64::from(marked.is_err()) + u64::from(self.news.watch(path).is_err());
    }

    fn mark(&mut self, group: &Group, on: On, mask: u64, path: &Path) -> io::Result<()> {
        self.made += 1;
        group.mark(on, mask, path)
    }
}

impl AsFd for Marks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}

/// Where each filesystem with files of its own is mounted.
fn filesystems() -> Result<Vec<PathBuf>, Error> {
    let text = fs::read_to_string("/proc/self/mountinfo");
    let text = text.map_err(|error| Error::io("read /proc/self/mountinfo", error))?;
    let mut seen = std::collections::BTreeSet::new();
    let mut points = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let kind = words.iter().position(|word| *word == "-").and_then(|at| words.get(at + 1));
        let (Some(kind), Some(device), Some(point)) = (kind, words.get(2), words.get(4)) else {
            continue;
        };
        if !WITHOUT.contains(kind) && seen.insert((*device).to_owned()) {
            points.push(unescaped(point));
        }
    }
    Ok(points)
}
