//! A rule denies writing: each way to change, replace or remove.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, XattrFlags, fallocate, linkat, openat, setxattr,
};

use super::Case;

fn target(at: &Path) -> PathBuf {
    at.join("unwritable/f")
}

fn new(at: &Path) -> PathBuf {
    at.join("unwritable/new")
}

/// An access list that lets user 1 read, as the kernel takes it: version 2, then tag, rights and number
/// of owner, user, group, mask and others.
const ACCESS: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, //
    2, 0, 4, 0, 1, 0, 0, 0, //
    4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, //
    0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, //
    0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, //
];

fn given_write(at: &Path) -> io::Result<Stdio> {
    Ok(OpenOptions::new().read(true).write(true).open(target(at))?.into())
}

fn input() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

pub(super) const CASES: &[Case] = &[
    Case::new("write", "open for writing", "no-write", |at| {
        OpenOptions::new().write(true).open(target(at)).map(|_| ())
    }),
    Case::new("write", "open for appending", "no-write", |at| {
        OpenOptions::new().append(true).open(target(at)).map(|_| ())
    }),
    Case::new("write", "open for reading, cut to nothing", "no-write", |at| {
        openat(CWD, target(at), OFlags::RDONLY | OFlags::TRUNC, Mode::empty())?;
        Ok(())
    }),
    Case::new("write", "truncate", "no-write", |at| Ok(nix::unistd::truncate(&target(at), 1)?)),
    Case::new("write", "a descriptor from another process, truncate", "no-write", |_| {
        input()?.set_len(1)
    })
    .given(given_write),
    Case::new("write", "a descriptor from another process, write", "no-write", |_| {
        input()?.write_all(b"other")
    })
    .given(given_write),
    Case::new("write", "a descriptor from another process, fallocate", "no-write", |_| {
        Ok(fallocate(input()?, FallocateFlags::empty(), 0, 100)?)
    })
    .given(given_write),
    Case::new("write", "a descriptor from another process, copy into it", "no-write", |at| {
        let from = File::open(at.join("open/f"))?;
        rustix::fs::copy_file_range(from, None, input()?, None, 4)?;
        Ok(())
    })
    .given(given_write),
    Case::new("write", "mode", "no-write", |at| {
        fs::set_permissions(target(at), Permissions::from_mode(0o777))
    }),
    Case::new("write", "a descriptor from another process, mode", "no-write", |_| {
        input()?.set_permissions(Permissions::from_mode(0o777))
    })
    .given(given_write),
    Case::new("write", "owner", "no-write", |at| chown(target(at), Some(1), Some(1))),
    Case::new("write", "times", "no-write", |at| {
        // Opened for reading only: that is allowed.
        File::open(target(at))?.set_modified(SystemTime::UNIX_EPOCH)
    }),
    Case::new("write", "extended attribute", "no-write", |at| {
        Ok(setxattr(target(at), "trusted.evade", b"x", XattrFlags::empty())?)
    }),
    Case::new("write", "remove an extended attribute", "no-write", |at| {
        Ok(rustix::fs::removexattr(target(at), "trusted.evade")?)
    })
    .after(|at| Ok(setxattr(target(at), "trusted.evade", b"x", XattrFlags::empty())?)),
    Case::new("write", "access list", "no-write", |at| {
        Ok(setxattr(target(at), "system.posix_acl_access", &ACCESS, XattrFlags::empty())?)
    }),
    Case::new("write", "unlink", "no-write", |at| fs::remove_file(target(at))),
    Case::new("write", "rename away", "no-write", |at| {
        fs::rename(target(at), at.join("open/moved"))
    }),
    Case::new("write", "rename over", "no-write", |at| fs::rename(at.join("open/f"), target(at))),
    Case::new("write", "rename into", "no-write", |at| fs::rename(at.join("open/f"), new(at))),
    Case::new("write", "change places with another", "no-write", |at| {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        Ok(rustix::fs::renameat_with(CWD, at.join("open/f"), CWD, target(at), flags)?)
    }),
    Case::new("write", "another name", "no-write", |at| {
        fs::hard_link(target(at), at.join("open/name"))
    }),
    Case::new("write", "a link into the directory", "no-write", |at| {
        fs::hard_link(at.join("open/f"), new(at))
    }),
    Case::new("write", "create", "no-write", |at| File::create(new(at)).map(|_| ())),
    Case::new("write", "make a directory", "no-write", |at| fs::create_dir(new(at))),
    Case::new("write", "make a symlink", "no-write", |at| symlink("f", new(at))),
    Case::new("write", "make a pipe", "no-write", |at| {
        Ok(nix::unistd::mkfifo(&new(at), nix::sys::stat::Mode::S_IRWXU)?)
    }),
    Case::new("write", "a file without a name, then a name", "no-write", |at| {
        let flags = OFlags::WRONLY | OFlags::TMPFILE;
        let file = openat(CWD, at.join("open"), flags, Mode::from_raw_mode(0o600))?;
        Ok(linkat(&file, "", CWD, new(at), AtFlags::EMPTY_PATH)?)
    }),
    Case::new("write", "remove the directory", "no-write", |at| {
        fs::remove_dir(at.join("unwritable/empty"))
    })
    .after(|at| fs::create_dir(at.join("unwritable/empty"))),
    Case::new("write", "move the directory", "no-write", |at| {
        fs::rename(at.join("unwritable"), at.join("open/moved"))
    }),
    Case::new("write", "mount over it", "no-write", |at| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        let flags = MsFlags::empty();
        Ok(mount(Some("t"), &at.join("unwritable"), Some("tmpfs"), flags, None::<&str>)?)
    }),
    Case::new("write", "a file that did not exist", "no-write", |at| {
        OpenOptions::new().write(true).open(new(at)).map(|_| ())
    })
    .after(|at| fs::write(new(at), "text\n")),
    Case::new("write", "through a bind mount", "no-write", |at| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        let (from, to) = (at.join("unwritable"), at.join("open"));
        mount(Some(&from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        fs::write(to.join("f"), "other")
    }),
];
