//! Operations on files and mounts.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{OFlags, XattrFlags};

use super::Args;

pub(super) fn perform(name: &str, args: &Args<'_>) -> Option<Result<()>> {
    Some(match name {
        "open" => open(args),
        "create" => create(args),
        "tmpfile" => tmpfile(args),
        "mkdir" => args.path(0).and_then(|p| fs::create_dir(p).context("mkdir")),
        "write" => write(args),
        "truncate" => truncate(args),
        "rename" => rename(args),
        "unlink" => args.path(0).and_then(|p| fs::remove_file(p).context("unlink")),
        "rmdir" => args.path(0).and_then(|p| fs::remove_dir(p).context("rmdir")),
        "link" => link(args),
        "symlink" => symlink(args),
        "chmod" => chmod(args),
        "chown" => chown(args),
        "touch" => touch(args),
        "setxattr" => setxattr(args),
        "stat" => args.path(0).and_then(|p| fs::metadata(p).map(|_| ()).context("stat")),
        "mount" => mount_tmpfs(args),
        "umount" => args.path(0).and_then(|p| umount2(p, MntFlags::empty()).context("umount")),
        _ => return None,
    })
}

fn open(args: &Args<'_>) -> Result<()> {
    let mut bytes = Vec::new();
    let file = File::open(args.path(0)?).context("open")?;
    file.take(64).read_to_end(&mut bytes).map(|_| ()).context("read")
}

/// Opens with O_CREAT; whether that creates depends on the file.
fn create(args: &Args<'_>) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o640);
    options.open(args.path(0)?).map(|_| ()).context("creat")
}

/// A file without a name.
fn tmpfile(args: &Args<'_>) -> Result<()> {
    let flags = i32::try_from(OFlags::TMPFILE.bits()).context("O_TMPFILE")?;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(flags);
    options.open(args.path(0)?).map(|_| ()).context("O_TMPFILE")
}

fn write(args: &Args<'_>) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(args.path(0)?).context("open")?;
    file.write_all(b"provoked\n").context("write")
}

fn truncate(args: &Args<'_>) -> Result<()> {
    nix::unistd::truncate(args.path(0)?, 3).context("truncate")
}

fn rename(args: &Args<'_>) -> Result<()> {
    fs::rename(args.path(0)?, args.path(1)?).context("rename")
}

fn link(args: &Args<'_>) -> Result<()> {
    fs::hard_link(args.path(0)?, args.path(1)?).context("link")
}

fn symlink(args: &Args<'_>) -> Result<()> {
    std::os::unix::fs::symlink(args.path(0)?, args.path(1)?).context("symlink")
}

/// FILE MODE, the mode in octal.
fn chmod(args: &Args<'_>) -> Result<()> {
    let mode = u32::from_str_radix(args.text(1)?, 8).context("mode")?;
    fs::set_permissions(args.path(0)?, Permissions::from_mode(mode)).context("chmod")
}

fn chown(args: &Args<'_>) -> Result<()> {
    let (uid, gid) = (args.number(1)?, args.number(2)?);
    std::os::unix::fs::chown(args.path(0)?, Some(uid), Some(gid)).context("chown")
}

/// Sets the times of a file to the year 2001.
fn touch(args: &Args<'_>) -> Result<()> {
    let file = File::open(args.path(0)?).context("open")?;
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    // Both: the kernel calls a change of one of them an access or a modification.
    file.set_times(FileTimes::new().set_accessed(then).set_modified(then)).context("utimens")
}

fn setxattr(args: &Args<'_>) -> Result<()> {
    let name = args.text(1)?;
    rustix::fs::setxattr(args.path(0)?, name, b"1", XattrFlags::empty()).context("setxattr")
}

/// DIRECTORY SOURCE
fn mount_tmpfs(args: &Args<'_>) -> Result<()> {
    let (target, source) = (args.path(0)?, args.text(1)?);
    mount(Some(source), target, Some("tmpfs"), MsFlags::empty(), None::<&str>).context("mount")
}
