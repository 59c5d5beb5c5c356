//! Quarantine on real files of real filesystems. Most of it needs root: what is set back is root's to set.

mod exact;
mod refusals;
mod settled;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::meta::{Meta, Time};
use super::{Expected, Identity, Limits, Record, Refusal, Vault, content};

/// Whether the test can run; says so when it cannot.
fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIP {test}: files of others are root's to move");
    }
    root
}

/// A scratch directory with a vault, and one with files.
struct Lab {
    dir: TempDir,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::Builder::new().prefix("quarantine-").tempdir_in("/tmp").unwrap();
        fs::create_dir(dir.path().join("files")).unwrap();
        Lab { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("files").join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn vault(&self) -> Vault {
        let (vault, left) = self.open(Limits::default());
        assert_eq!(left, [], "nothing was cut off");
        vault
    }

    fn open(&self, limits: Limits) -> (Vault, Vec<super::Leftover>) {
        Vault::open(&self.path("state"), limits).unwrap()
    }

    /// Takes a file, looks whether it is away, and gives it back: it must be what it was.
    fn there_and_back(&self, path: &Path) -> Record {
        let vault = self.vault();
        let before = Seen::of(path);
        let record = vault.take("a", path, before.expected()).unwrap();
        assert!(!path.exists(), "it is away");
        let (held, unreadable) = vault.list().unwrap();
        assert_eq!((held.as_slice(), unreadable.len()), ([record.clone()].as_slice(), 0));
        let (_, to) = vault.restore("a", None, false).unwrap();
        assert_eq!(to, path);
        before.is_again(path, &record);
        assert!(vault.list().unwrap().0.is_empty(), "nothing stays in the vault");
        record
    }
}

/// All that there is to see of a file.
struct Seen {
    meta: Meta,
    digest: String,
    identity: Identity,
    parent: Time,
}

impl Seen {
    fn of(path: &Path) -> Seen {
        let file = super::place::Place::hold(path).unwrap().file().unwrap();
        let parent = fs::metadata(path.parent().unwrap()).unwrap();
        Seen {
            meta: Meta::read(&file, path).unwrap(),
            digest: content::digest(&file).unwrap(),
            identity: Identity::of(&file.metadata().unwrap()),
            parent: (parent.mtime(), parent.mtime_nsec()),
        }
    }

    fn expected(&self) -> Expected {
        Expected { file: Some(self.identity), size: Some(self.meta.size) }
    }

    fn is_again(&self, path: &Path, record: &Record) {
        let now = Seen::of(path);
        assert_eq!(now.digest, self.digest, "content");
        // How many blocks a copy has is for the filesystem to say.
        let meta = Meta { allocated: self.meta.allocated, ..now.meta.clone() };
        assert_eq!(meta, self.meta, "owner, mode, times, attributes, flags, names");
        assert_eq!(now.parent, self.parent, "time of the directory");
        if record.way == super::record::Way::Moved {
            assert_eq!(now.identity, self.identity, "the inode");
        }
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> (&'static str, String) {
    let refusal = outcome.unwrap_err();
    (refusal.code(), refusal.to_string())
}

/// Something on another filesystem: a tmpfs in a mount namespace of this test's own thread.
fn elsewhere<T: Send>(lab: &Lab, act: impl FnOnce(&Path) -> T + Send) -> T {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    let other = lab.path("other");
    fs::create_dir(&other).unwrap();
    std::thread::scope(|scope| {
        let run = || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some("none"), &other, Some("tmpfs"), MsFlags::empty(), none).unwrap();
            act(&other)
        };
        scope.spawn(run).join().unwrap()
    })
}

/// The access control list of a file as the kernel takes it: an entry for user 1234 beside the mode.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 5, 1234),
        (0x04, 4, u32::MAX),
        (0x10, 5, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    let file = File::open(path).unwrap();
    rustix::fs::fsetxattr(&file, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}
