//! Where a file is: its directory held by a descriptor, no link followed on the way, and what the file
//! itself is before anything is done with it.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, IFlags, Mode, OFlags, RenameFlags, ResolveFlags, ioctl_getflags, openat, openat2,
    renameat_with, statat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// Tries of a look-up that a rename anywhere above the file disturbed.
const TRIES: usize = 16;

/// Filesystems that hold no files: what the kernel shows of itself.
const PSEUDO: &[(u64, &str)] = &[
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0xcafe_4a11, "bpf"),
    (0x7363_6673, "securityfs"),
    (0x1cd1, "devpts"),
    (0x6165_676c, "pstore"),
    (0xde5e_81e4, "efivarfs"),
    (0x6265_6570, "configfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4249_4e4d, "binfmt_misc"),
    (0x1980_0202, "mqueue"),
    (0x9584_58f6, "hugetlbfs"),
    (0x6e73_6673, "nsfs"),
    (0x5049_5045, "pipefs"),
    (0x534f_434b, "sockfs"),
    (0x0904_1934, "anon_inodefs"),
    (0x0187, "autofs"),
    (0x6573_5543, "fusectl"),
];

/// Filesystems whose answers another machine or a process gives, when it likes.
const FOREIGN: &[(u64, &str)] = &[
    (0x6573_5546, "fuse"),
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
];

/// Which file: the same for all of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Number of the device, as `stat` tells it.
    pub(crate) dev: u64,
    /// Number of the inode.
    pub(crate) ino: u64,
}

impl Identity {
    /// That of a file that was looked at.
    pub(crate) fn of(about: &Metadata) -> Identity {
        Identity { dev: about.dev(), ino: about.ino() }
    }
}

/// Whether two paths lead to one file. Links are followed: these are paths of our own.
pub(crate) fn same(path: &Path, identity: Identity) -> bool {
    std::fs::metadata(path).is_ok_and(|about| Identity::of(&about) == identity)
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory.
    pub(super) parent: File,
    /// The name in it.
    pub(super) name: OsString,
    /// The whole path, for messages.
    pub(super) path: PathBuf,
}

impl Place {
    /// Holds the directory of a path. No link is followed, and none of `/proc` either.
    pub(super) fn hold(path: &Path) -> Result<Place, Refusal> {
        let plain = |part: Component| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(plain) {
            return Err(Refusal::NotPlain(path.to_owned()));
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Refusal::Root);
        };
        let below = parent.strip_prefix("/").unwrap_or(parent);
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let root =
            openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(Refusal::io("open", Path::new("/")))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
        let mut opened = Err(Errno::AGAIN);
        for _ in 0..TRIES {
            opened = openat2(&root, below, flags, Mode::empty(), how);
            if !matches!(opened, Err(Errno::AGAIN)) {
                break;
            }
        }
        let parent = opened.map_err(|error| match error {
            Errno::LOOP => Refusal::Link(path.to_owned()),
            Errno::NOENT | Errno::NOTDIR => Refusal::ParentGone(path.to_owned()),
            other => Refusal::io("reach the directory of", path)(other),
        })?;
        Ok(Place { parent: parent.into(), name: name.to_owned(), path: path.to_owned() })
    }

    /// What has the name now, if anything has.
    pub(super) fn identity(&self) -> Result<Option<Identity>, Refusal> {
        identity_at(&self.parent, self.name.as_bytes()).map_err(Refusal::io("look at", &self.path))
    }

    /// The file, for reading, if it is a regular one on a filesystem that holds files.
    pub(super) fn file(&self) -> Result<File, Refusal> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(&self.parent, &self.name, flags, Mode::empty());
        let held = File::from(held.map_err(|error| match error {
            Errno::NOENT => Refusal::NoFile(self.path.clone()),
            other => Refusal::io("reach", &self.path)(other),
        })?);
        let about = held.metadata().map_err(|e| Refusal::std("look at", &self.path, e))?;
        let system = rustix::fs::fstatfs(&held).map_err(Refusal::io("look at", &self.path))?;
        self.judge_filesystem(system.f_type.cast_unsigned())?;
        self.judge_kind(&about)?;
        readable(&held).map_err(Refusal::io("open", &self.path))
    }

    fn judge_filesystem(&self, magic: u64) -> Result<(), Refusal> {
        let path = || self.path.clone();
        let known = |list: &[(u64, &'static str)]| {
            list.iter().find(|(known, _)| *known == magic & 0xffff_ffff).map(|(_, name)| *name)
        };
        if let Some(name) = known(PSEUDO) {
            return Err(Refusal::Pseudo { path: path(), name });
        }
        known(FOREIGN).map_or(Ok(()), |name| Err(Refusal::Foreign { path: path(), name }))
    }

    fn judge_kind(&self, about: &Metadata) -> Result<(), Refusal> {
        let kind = about.file_type();
        let kind = match kind {
            _ if kind.is_file() => return Ok(()),
            _ if kind.is_symlink() => return Err(Refusal::Link(self.path.clone())),
            _ if kind.is_dir() => "directory",
            _ if kind.is_char_device() || kind.is_block_device() => "device",
            _ if kind.is_fifo() => "fifo",
            _ if kind.is_socket() => "socket",
            _ => "thing of no known kind",
        };
        Err(Refusal::NotRegular { path: self.path.clone(), kind })
    }

    /// Gives the file of one name another one, in this directory or elsewhere, if nothing has that.
    pub(super) fn rename_to(&self, dir: &impl std::os::fd::AsFd, name: &str) -> Result<(), Errno> {
        renameat_with(&self.parent, &self.name, dir, name, RenameFlags::NOREPLACE)
    }

    /// The other way round.
    pub(super) fn rename_from(
        &self,
        dir: &impl std::os::fd::AsFd,
        name: &str,
    ) -> Result<(), Errno> {
        renameat_with(dir, name, &self.parent, &self.name, RenameFlags::NOREPLACE)
    }

    /// Whether a refused rename is due to the flags of the directory.
    pub(super) fn is_fixed(&self) -> bool {
        let fixed = IFlags::IMMUTABLE | IFlags::APPEND;
        ioctl_getflags(&self.parent).is_ok_and(|flags| flags.intersects(fixed))
    }
}

/// What has a name in a directory.
pub(super) fn identity_at(
    dir: &impl std::os::fd::AsFd,
    name: &[u8],
) -> Result<Option<Identity>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(about) => Ok(Some(Identity { dev: about.st_dev, ino: about.st_ino })),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The very file of a descriptor that only holds it, for reading; times stay as they are.
pub(super) fn readable(held: &File) -> Result<File, Errno> {
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map(|fd: OwnedFd| fd.into())
}

/// A file in a directory of our own, for reading.
pub(super) fn open_own(dir: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty()).map(File::from)
}
