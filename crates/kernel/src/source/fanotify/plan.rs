//! Which inodes must be marked so that opens and writes of a watched path are seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::interest::Watch;
use model::op::{Kind, KindSet};
use nix::libc;

/// Marks of all watches together: what `fs.fanotify.max_user_marks` allows everywhere, and about
/// 8 MB of kernel memory for the inodes that they keep.
pub(crate) const MARKS_MAX: usize = 8192;
/// Directory entries looked at in one walk below a recursive watch, so that a huge tree cannot
/// keep the guard busy for more than some tenths of a second.
const WALK_ENTRIES_MAX: usize = 100_000;

/// The directory itself goes away.
pub(crate) const SELF: u64 = libc::FAN_DELETE_SELF | libc::FAN_MOVE_SELF;
/// Names appear in a directory.
pub(crate) const APPEAR: u64 = libc::FAN_CREATE | libc::FAN_MOVED_TO;
/// Names appear in a directory or vanish from it.
pub(crate) const NAMES: u64 = APPEAR | libc::FAN_DELETE | libc::FAN_MOVED_FROM;
/// What a write is told by.
pub(crate) const WRITTEN: u64 = libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;
/// What opens and writes are told by, of a file or of the children of a directory.
pub(crate) const USES: u64 = libc::FAN_OPEN | WRITTEN | libc::FAN_EVENT_ON_CHILD;

/// What to mark, and with which events.
pub(crate) type Marks = BTreeMap<PathBuf, u64>;

/// Events on the file itself that the kinds need.
fn uses(kinds: KindSet) -> u64 {
    let open = if kinds.contains(Kind::Open) { libc::FAN_OPEN } else { 0 };
    let write = if kinds.contains(Kind::Write) { WRITTEN } else { 0 };
    open | write
}

/// The marks that a watch needs now; they change when the path appears, vanishes or is replaced.
/// `room` is how many marks may be made; the second value says whether that was enough.
///
/// A file that is there is marked itself, which costs no other file anything. Its directory is
/// marked for changes of names only. A file that is not there yet is seen through its directory.
pub(crate) fn plan(watch: &Watch, room: usize) -> (Marks, bool) {
    let path = Path::new(&watch.path);
    let uses = uses(watch.kinds);
    let mut marks = Marks::new();
    let mut whole = true;
    let mut add = |path: &Path, mask| *marks.entry(path.to_path_buf()).or_insert(0) |= mask;
    if let Ok(real) = fs::canonicalize(path) {
        for parent in [path.parent(), real.parent()].into_iter().flatten() {
            add(parent, NAMES | SELF | libc::FAN_ONDIR);
        }
        if real.is_dir() {
            whole = below(&real, watch, room, &mut marks);
        } else {
            add(&real, uses);
        }
    } else if let Some(there) = path.ancestors().skip(1).find(|above| above.is_dir()) {
        let next = path.parent() == Some(there);
        let children = if next { uses | libc::FAN_EVENT_ON_CHILD } else { 0 };
        add(there, NAMES | SELF | libc::FAN_ONDIR | children);
    }
    (marks, whole)
}

/// Adds the marks of a watched directory and, for a recursive watch, of all below it. Symbolic
/// links are not followed. Says whether there was room for all.
pub(crate) fn below(top: &Path, watch: &Watch, room: usize, marks: &mut Marks) -> bool {
    let children = uses(watch.kinds) | libc::FAN_EVENT_ON_CHILD | SELF | libc::FAN_ONDIR;
    let mask = if watch.recursive { children | APPEAR } else { children };
    let mut waiting = vec![top.to_path_buf()];
    let mut looked = 0;
    while let Some(dir) = waiting.pop() {
        if marks.len() >= room || looked >= WALK_ENTRIES_MAX {
            return false;
        }
        if watch.recursive {
            for entry in fs::read_dir(&dir).into_iter().flatten().take(WALK_ENTRIES_MAX).flatten() {
                looked += 1;
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push(entry.path());
                }
            }
        }
        *marks.entry(dir).or_insert(0) |= mask;
    }
    true
}
