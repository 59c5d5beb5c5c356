//! Which post is asked about a file: by what its filesystem does to open it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::statfs::{self, FsType, statfs};

use super::DEADLINE;
use super::fanotify::On;
use super::layers::layers_of;
use super::post::{Common, Post};
use crate::error::Error;

/// How long threads have to answer who still waits; those that wait for a filesystem that does not
/// answer are left to it.
const PATIENCE: Duration = DEADLINE.saturating_mul(2);

/// What opening a file of a filesystem takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Nothing but itself.
    Direct,
    /// The kernel opens files of other filesystems.
    Layered,
    /// The kernel opens files of filesystems that are made of others: it stacks no higher than that.
    Stacked,
    /// A process or a server answers, late or never.
    Served,
}

/// Filesystems made of others.
const LAYERED: &[FsType] = &[statfs::OVERLAYFS_SUPER_MAGIC, statfs::ECRYPTFS_SUPER_MAGIC];
/// Filesystems that somebody serves, who may be on this host: FUSE, NFS, SMB (three), 9P, Ceph, AFS.
const SERVED: &[FsType] = &[
    statfs::FUSE_SUPER_MAGIC,
    statfs::NFS_SUPER_MAGIC,
    statfs::SMB_SUPER_MAGIC,
    FsType(0xff53_4d42),
    FsType(0xfe53_4d42),
    FsType(0x0102_1997),
    FsType(0x00c3_6400),
    FsType(libc::AFS_SUPER_MAGIC),
];

impl Way {
    fn of(path: &Path) -> Way {
        match statfs(path).map(|about| about.filesystem_type()) {
            Ok(kind) if LAYERED.contains(&kind) && is_stacked(path) => Way::Stacked,
            Ok(kind) if LAYERED.contains(&kind) => Way::Layered,
            Ok(kind) if SERVED.contains(&kind) => Way::Served,
            // What is gone needs no mark.
            _ => Way::Direct,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Way::Direct => "guard",
            Way::Layered => "guard-layers",
            Way::Stacked => "guard-stacked",
            Way::Served => "guard-served",
        }
    }
}

/// Whether a directory that an overlay is made of is itself in one, or may be.
fn is_stacked(path: &Path) -> bool {
    let layers = layers_of(path);
    let kind = |layer: &PathBuf| statfs(layer).map(|about| about.filesystem_type());
    layers.is_empty() || layers.iter().any(|one| kind(one).is_ok_and(|it| LAYERED.contains(&it)))
}

/// The posts of a guard: that of all usual files, others from the first mark of their kind on.
pub(super) struct Posts {
    common: Arc<Common>,
    direct: Arc<Post>,
    others: BTreeMap<Way, Arc<Post>>,
    threads: Vec<JoinHandle<()>>,
}

impl Posts {
    pub(super) fn new(direct: &Arc<Post>) -> Posts {
        let (common, direct) = (Arc::clone(&direct.common), Arc::clone(direct));
        Posts { common, direct, others: BTreeMap::new(), threads: Vec::new() }
    }

    /// Adds events to a mark.
    pub(super) fn mark(&mut self, on: On, mask: u64, path: &Path) -> io::Result<()> {
        let way = Way::of(path);
        let post = match self.others.get(&way) {
            _ if way == Way::Direct => &self.direct,
            Some(post) => post,
            None => {
                let (post, threads) = self.open(way).map_err(io::Error::other)?;
                self.threads.extend(threads);
                self.others.entry(way).or_insert(post)
            }
        };
        post.group.mark(on, mask, path)
    }

    fn open(&self, way: Way) -> Result<(Arc<Post>, [JoinHandle<()>; 2]), Error> {
        let post = Post::new(&self.common)?;
        let threads = post.start(way.name(), Post::serve)?;
        Ok((post, threads))
    }
}

impl Drop for Posts {
    fn drop(&mut self) {
        let groups = self.others.values();
        end(&mut self.threads, groups.map(|post| &**post));
    }
}

/// Ends threads that were told to.
pub(super) fn end<'a>(threads: &mut Vec<JoinHandle<()>>, posts: impl Iterator<Item = &'a Post>) {
    let from = Instant::now();
    while threads.iter().any(|one| !one.is_finished()) && from.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    if threads.iter().any(|one| !one.is_finished()) {
        // Their group stays as long as they do: nobody new is to wait for it.
        for post in posts {
            let _nothing_left = post.group.forget();
        }
    }
    for thread in threads.drain(..).filter(JoinHandle::is_finished) {
        // A thread that panicked has nothing left to do.
        let _ended = thread.join();
    }
}
