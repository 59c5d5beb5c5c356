//! What a process that waits for an answer wants, as far as the kernel tells.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use nix::libc;

use super::fanotify::{Asked, EXECUTE, READ};
use super::layers::Layers;
use crate::source::mountinfo::{self, Mount};

/// What is wanted of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// To open it.
    Open {
        /// For reading.
        read: bool,
        /// For writing, or to cut it.
        write: bool,
    },
    /// To execute it.
    Execute,
    /// To read it, having it open.
    Read,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its filesystem, in the kernel's encoding.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// When it was made, where the filesystem knows: another file may get its inode later.
    pub born: Option<SystemTime>,
}

impl Identity {
    /// Of a file that this was said of.
    pub fn of(about: &fs::Metadata) -> Identity {
        let (device, inode) = (kernel_device(about.dev()), about.ino());
        Identity { device, inode, born: about.created().ok() }
    }
}

/// A request that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The thread that asks.
    pub tid: u32,
    /// What it wants.
    pub wanted: Wanted,
    /// Of what.
    pub file: Identity,
    /// Where it is, under the name by which it is opened; none if that could not be found out.
    pub inside: Option<Inside>,
}

/// A place in a filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The filesystem, as mounts tell it: files of an overlay may tell of another one.
    pub device: u64,
    /// The path from its root on.
    pub path: PathBuf,
}

impl Request {
    /// Looks at the file and at the thread, which waits meanwhile.
    pub(super) fn of(asked: &Asked, layers: &Mutex<Layers>) -> Option<Request> {
        let number = asked.file.as_raw_fd();
        let about = fs::metadata(format!("/proc/self/fd/{number}")).ok()?;
        let wanted = match asked.mask {
            mask if mask & EXECUTE != 0 => Wanted::Execute,
            mask if mask & READ != 0 => Wanted::Read,
            _ => opened(asked.tid),
        };
        Some(Request {
            tid: asked.tid,
            wanted,
            file: Identity::of(&about),
            inside: inside(number, asked.tid, &about, layers),
        })
    }
}

/// A device as the kernel writes it in its own structures.
pub(super) fn kernel_device(device: u64) -> u64 {
    u64::from(libc::major(device)) << 20 | u64::from(libc::minor(device))
}

/// How a thread opens a file, from the system call it waits in: its registers, which nobody can
/// change now. Where they do not tell (a structure in memory, a ring), it may be for anything.
fn opened(tid: u32) -> Wanted {
    const ANYTHING: Wanted = Wanted::Open { read: true, write: true };
    let Ok(text) = fs::read_to_string(format!("/proc/{tid}/syscall")) else { return ANYTHING };
    let mut words = text.split_whitespace();
    let Some(Ok(call)) = words.next().map(str::parse::<libc::c_long>) else { return ANYTHING };
    let at = match call {
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => 1,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat => return Wanted::Open { read: false, write: true },
        libc::SYS_openat | libc::SYS_open_by_handle_at => 2,
        libc::SYS_execve | libc::SYS_execveat => return Wanted::Open { read: true, write: false },
        _ => return ANYTHING,
    };
    let flags = words.nth(at).and_then(|word| word.strip_prefix("0x"));
    let Some(Ok(flags)) = flags.map(|word| u64::from_str_radix(word, 16)) else { return ANYTHING };
    let flags = i32::from_ne_bytes(u32::try_from(flags & 0xffff_ffff).unwrap_or(0).to_ne_bytes());
    let mode = flags & libc::O_ACCMODE;
    Wanted::Open {
        read: mode != libc::O_WRONLY,
        write: mode != libc::O_RDONLY || flags & libc::O_TRUNC != 0,
    }
}

/// Where an open file is: its path as the kernel writes it, without that of the mount it was opened
/// through, behind the directory that this mount shows.
fn inside(number: i32, tid: u32, about: &fs::Metadata, layers: &Mutex<Layers>) -> Option<Inside> {
    let path = named(number)?;
    if let Some(mount) = shown(number, tid) {
        return behind(mount, &path);
    }
    let layers = &mut layers.lock().unwrap_or_else(PoisonError::into_inner);
    let file = layers.find(tid, &path, about)?;
    behind(shown(file.as_raw_fd(), tid)?, &named(file.as_raw_fd())?)
}

fn named(number: i32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    (!path.as_os_str().as_bytes().ends_with(b" (deleted)")).then_some(path)
}

fn behind(mount: Mount, path: &Path) -> Option<Inside> {
    let rest = path.strip_prefix(&mount.point).ok()?;
    let path = if rest.as_os_str().is_empty() { mount.root } else { mount.root.join(rest) };
    Some(Inside { device: mount.dev, path })
}

/// The mount that a file was opened through, if it is in a table of mounts.
fn shown(number: i32, tid: u32) -> Option<Mount> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
    let own = mounted("/proc/self/mountinfo", id);
    own.or_else(|| mounted(&format!("/proc/{tid}/mountinfo"), id))
}

fn mounted(table: &str, id: u32) -> Option<Mount> {
    let lines = mountinfo::lines(table);
    lines.iter().filter_map(|line| mountinfo::parse(line)).find(|mount| mount.id == id)
}
