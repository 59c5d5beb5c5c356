//! What a file is beside its content: read before it is taken, set and compared when it is given back.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{
    Gid, IFlags, Mode, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fgetxattr,
    flistxattr, fremovexattr, fsetxattr, futimens, ioctl_getflags, ioctl_setflags,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::record::Bytes;
use super::refusal::Refusal;

/// Bytes of all names of extended attributes: the kernel lists no more.
const NAMES_MAX: usize = 64 << 10;
/// Bytes of one value: the kernel takes no more.
const VALUE_MAX: usize = 64 << 10;
/// Bytes of all names and values of one file: they are part of its record, which is read at once.
const ATTRIBUTES_MAX: usize = 1 << 20;
/// Bits of a mode that can be set.
const MODE_BITS: u32 = 0o7777;

/// Flags that hold a file fast.
pub(super) const FIXED: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);
/// Flags that a new inode is given; the others say how a filesystem stores it.
const SETTABLE: IFlags = FIXED
    .union(IFlags::NODUMP)
    .union(IFlags::NOATIME)
    .union(IFlags::SYNC)
    .union(IFlags::NOTAIL)
    .union(IFlags::SECURE_REMOVAL)
    .union(IFlags::UNRM);

/// A time, as seconds and nanoseconds.
pub(crate) type Time = (i64, i64);

/// An extended attribute: name and value.
pub(super) type Attribute = (Bytes, Bytes);

/// What a file is beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Length in bytes, holes included.
    pub(crate) size: u64,
    /// Bytes that it has on disk.
    pub(crate) allocated: u64,
    /// Permissions, with set-user-ID and the like.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Names that lead to it.
    pub(crate) links: u64,
    /// Last access.
    pub(crate) atime: Time,
    /// Last change of the content.
    pub(crate) mtime: Time,
    /// Flags of the inode (immutable and so on), if the filesystem has such.
    pub(crate) flags: Option<u32>,
    /// Extended attributes of all namespaces, access control lists among them, sorted.
    pub(crate) xattrs: Vec<Attribute>,
}

impl Meta {
    /// That of an open file.
    pub(super) fn read(file: &File, path: &Path) -> Result<Meta, Refusal> {
        let about = file.metadata().map_err(|error| Refusal::std("look at", path, error))?;
        let flags = match ioctl_getflags(file) {
            Ok(flags) => Some(flags.bits()),
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => None,
            Err(error) => return Err(Refusal::io("read the flags of", path)(error)),
        };
        Ok(Meta {
            size: about.size(),
            allocated: about.blocks().saturating_mul(512),
            mode: about.mode() & MODE_BITS,
            uid: about.uid(),
            gid: about.gid(),
            links: about.nlink(),
            atime: (about.atime(), about.atime_nsec()),
            mtime: (about.mtime(), about.mtime_nsec()),
            flags,
            xattrs: attributes(file, path)?,
        })
    }

    /// Flags of the inode as they were.
    pub(super) fn flags(&self) -> Option<IFlags> {
        self.flags.map(IFlags::from_bits_retain)
    }

    /// Makes a file what this one was, but for the flags that would hold it fast where it is.
    /// Nothing is set that is so already: a change of owner takes capabilities away.
    pub(super) fn apply(&self, file: &File, path: &Path) -> Result<(), Refusal> {
        let failed = |what| Refusal::io(what, path);
        let now = Meta::read(file, path)?;
        if (now.uid, now.gid) != (self.uid, self.gid) {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            fchown(file, Some(uid), Some(gid)).map_err(failed("set the owner of"))?;
        }
        fchmod(file, Mode::from_raw_mode(self.mode)).map_err(failed("set the mode of"))?;
        self.apply_attributes(file, path)?;
        // An access control list that was inherited, and is away now, may have left its mask there.
        fchmod(file, Mode::from_raw_mode(self.mode)).map_err(failed("set the mode of"))?;
        set_times(file, self.atime, self.mtime).map_err(failed("set the times of"))
    }

    fn apply_attributes(&self, file: &File, path: &Path) -> Result<(), Refusal> {
        let now = attributes(file, path)?;
        for (name, _) in now.iter().filter(|(name, _)| !self.xattrs.iter().any(|(n, _)| n == name))
        {
            let removed = fremovexattr(file, name.0.as_slice());
            removed.map_err(Refusal::io("remove an extended attribute of", path))?;
        }
        for (name, value) in self.xattrs.iter().filter(|one| !now.contains(one)) {
            let set = fsetxattr(file, name.0.as_slice(), &value.0, XattrFlags::empty());
            set.map_err(Refusal::io("set an extended attribute of", path))?;
        }
        Ok(())
    }

    /// Sets the flags that the file had, also those that hold it fast.
    pub(super) fn apply_flags(&self, file: &File, path: &Path) -> Result<(), Refusal> {
        let Some(then) = self.flags() else { return Ok(()) };
        let failed = |what| Refusal::io(what, path);
        let now = ioctl_getflags(file).map_err(failed("read the flags of"))?;
        let wanted = (now - SETTABLE) | (then & SETTABLE);
        if wanted == now {
            return Ok(());
        }
        ioctl_setflags(file, wanted).map_err(failed("set the flags of"))
    }

    /// What of a file is not as it was, but for the flags: empty if all is.
    pub(super) fn differences(&self, now: &Meta) -> Vec<&'static str> {
        let same = [
            ("size", self.size == now.size),
            ("mode", self.mode == now.mode),
            ("owner", (self.uid, self.gid) == (now.uid, now.gid)),
            ("access time", self.atime == now.atime),
            ("modification time", self.mtime == now.mtime),
            ("extended attributes", self.xattrs == now.xattrs),
        ];
        same.iter().filter(|(_, same)| !same).map(|(what, _)| *what).collect()
    }
}

/// Takes away what holds a file fast, so that it can be moved.
pub(super) fn loosen(file: &File, path: &Path) -> Result<(), Refusal> {
    let Ok(now) = ioctl_getflags(file) else { return Ok(()) };
    if !now.intersects(FIXED) {
        return Ok(());
    }
    ioctl_setflags(file, now - FIXED).map_err(Refusal::io("clear the flags of", path))
}

/// Lets nobody but root open the file, by whatever name or descriptor, and nobody at all run it.
pub(super) fn shut(file: &File, path: &Path) -> Result<(), Refusal> {
    fchmod(file, Mode::empty()).map_err(Refusal::io("set the mode of", path))
}

/// Sets the times of a file or directory.
pub(super) fn set_times(file: &File, atime: Time, mtime: Time) -> Result<(), Errno> {
    let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
    futimens(file, &Timestamps { last_access: time(atime), last_modification: time(mtime) })
}

/// All extended attributes, sorted by name.
fn attributes(file: &File, path: &Path) -> Result<Vec<Attribute>, Refusal> {
    let failed = Refusal::io("read the extended attributes of", path);
    let mut names = vec![0; NAMES_MAX];
    let length = match flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    names.truncate(length);
    let mut found = Vec::new();
    let mut bytes = 0;
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; VALUE_MAX];
        let length = match fgetxattr(file, name, value.as_mut_slice()) {
            Ok(length) => length,
            // Removed since it was listed.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(failed(error)),
        };
        value.truncate(length);
        bytes += name.len() + value.len();
        if bytes > ATTRIBUTES_MAX {
            return Err(Refusal::Attributes { path: path.to_owned(), limit: ATTRIBUTES_MAX });
        }
        found.push((Bytes(name.to_vec()), Bytes(value)));
    }
    found.sort();
    Ok(found)
}
