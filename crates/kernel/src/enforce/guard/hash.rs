//! What a file holds that is executed, as SHA-256, where no LSM program loads.
//!
//! The kernel keeps writers from a file only after it has asked whether it may be executed. So a lease is
//! taken before the file is read: who opens it for writing meanwhile waits until the lease is given up,
//! which is [`HOLD`] after the answer. Where a filesystem has no leases the file may be changed in between.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::statfs::{self, FsType};
use sha2::{Digest, Sha256};

use crate::source::sys;

/// How long a file stays as it is after the answer: far longer than from there to where the kernel itself
/// keeps writers off, and short enough for who waits to write.
const HOLD: Duration = Duration::from_millis(100);
/// Files that are held at the same moment; the oldest goes first.
const HELD_MAX: usize = 256;
/// Hashes that are remembered.
const REMEMBERED_MAX: usize = 4096;
/// A file that changed so shortly before it was read may change again without a later time of change:
/// the clock of files goes by ticks of up to 10 ms.
const SETTLED: Duration = Duration::from_millis(20);
/// Bytes read at once.
const CHUNK: usize = 128 << 10;
/// Filesystems on which every write leaves a time of change: ext2 to ext4, XFS, Btrfs, F2FS. What shows
/// tmpfs in memory changes it without.
const TIMED: &[i64] = &[0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

/// `FUSE_SUPER_MAGIC`.
const FUSE: FsType = FsType(0x6573_5546);

/// Which content of which file.
type Key = (u64, u64, u64, i64, i64);

/// Leases that are held a little longer, and what was hashed.
#[derive(Debug, Default)]
pub(super) struct Held {
    leases: VecDeque<(Instant, File)>,
    hashes: Hashes,
}

/// Hashes that are remembered.
#[derive(Debug, Default)]
pub(in crate::enforce) struct Hashes {
    known: BTreeMap<Key, [u8; 32]>,
}

impl Hashes {
    /// The SHA-256 of a file that nobody has open for writing, as it is while it runs. None if it cannot
    /// be read, or is in memory only and can still be written.
    pub(in crate::enforce) fn of(&mut self, file: &File) -> Option<[u8; 32]> {
        let about = file.metadata().ok()?;
        let key = (about.dev(), about.ino(), about.size(), about.ctime(), about.ctime_nsec());
        let kind = statfs::fstatfs(file).ok()?.filesystem_type();
        let timed = TIMED.iter().any(|one| kind == FsType(*one));
        // What was read before counts only if nobody could write since without leaving a trace.
        if let Some(known) = self.known.get(&key).filter(|_| timed) {
            return Some(*known);
        }
        // Whoever serves FUSE may give other bytes the next time.
        if kind == FUSE {
            return None;
        }
        if about.nlink() == 0 && kind == statfs::TMPFS_MAGIC && !is_sealed(file) {
            return None;
        }
        let hash = read(file)?;
        if timed && is_settled(&about) {
            if self.known.len() >= REMEMBERED_MAX {
                self.known.clear();
            }
            self.known.insert(key, hash);
        }
        Some(hash)
    }
}

impl Held {
    /// Gives up the leases that were held long enough.
    pub(super) fn let_go(&mut self, now: Instant) {
        while self.leases.front().is_some_and(|(since, _)| now.duration_since(*since) >= HOLD) {
            self.leases.pop_front();
        }
    }

    fn hold(&mut self, file: File) {
        if self.leases.len() >= HELD_MAX {
            self.leases.pop_front();
        }
        self.leases.push_back((Instant::now(), file));
    }
}

/// A file that somebody waits to use.
#[derive(Debug)]
pub struct Executed<'a> {
    file: &'a OwnedFd,
    held: &'a mut Held,
}

impl<'a> Executed<'a> {
    pub(super) fn of(file: &'a OwnedFd, held: &'a mut Held) -> Executed<'a> {
        Executed { file, held }
    }

    /// The SHA-256 of what it holds, which nobody changes until it runs. None if it cannot be had:
    /// it cannot be read, or somebody has it open for writing.
    pub fn hash(&mut self) -> Option<[u8; 32]> {
        let file = File::from(self.file.try_clone().ok()?);
        let leased = match sys::lease(file.as_fd()) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => false,
        };
        if !leased {
            // The race is told in the documentation: it is hashed anew each time.
            return Hashes::default().of(&file);
        }
        let hash = self.held.hashes.of(&file);
        self.held.hold(file);
        hash
    }
}

fn is_settled(about: &std::fs::Metadata) -> bool {
    let nanoseconds = u32::try_from(about.ctime_nsec()).unwrap_or_default();
    let seconds = u64::try_from(about.ctime()).unwrap_or_default();
    let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    SystemTime::now().duration_since(changed).is_ok_and(|since| since > SETTLED)
}

/// Whether nothing of a file in memory can be changed any more.
fn is_sealed(file: &File) -> bool {
    let all = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).unwrap_or_default();
    SealFlag::from_bits_truncate(seals).contains(all)
}

fn read(mut file: &File) -> Option<[u8; 32]> {
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Some(hash.finalize().into()),
            Ok(bytes) => hash.update(chunk.get(..bytes)?),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_file_is_hashed_as_it_is_and_no_writer_comes_in_between() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "aegisbpf\n").unwrap();
        let hashed = |held: &mut Held| {
            let file = OwnedFd::from(File::open(&path).unwrap());
            Executed::of(&file, held).hash()
        };
        let mut held = Held::default();
        let first = hashed(&mut held).unwrap();
        assert_eq!(first, <[u8; 32]>::from(Sha256::digest("aegisbpf\n")));
        assert_eq!(hashed(&mut held), Some(first), "remembered or not, it is the same");
        assert_eq!(held.leases.len(), 2, "writers wait");
        held.let_go(Instant::now());
        assert_eq!(held.leases.len(), 2, "a little longer");
        held.let_go(Instant::now() + HOLD);
        assert!(held.leases.is_empty());
        let mut writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(hashed(&mut held), None, "somebody has it open for writing");
        writer.write_all(b"x").unwrap();
        drop(writer);
        let other = hashed(&mut held).unwrap();
        assert_eq!(other, <[u8; 32]>::from(Sha256::digest("aegisbpf\nx")));
    }
}
