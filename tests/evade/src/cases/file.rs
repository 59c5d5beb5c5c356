//! A rule denies reading: each way to the bytes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{OpenOptionsExt, chroot, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::{Case, UNRESOLVED};

pub(super) fn secret(at: &Path) -> PathBuf {
    at.join("unreadable/f")
}

pub(super) fn read(path: &Path) -> io::Result<()> {
    let text = fs::read(path)?;
    if text.is_empty() { Err(io::Error::other("nothing was read")) } else { Ok(()) }
}

/// Mounts of this process are its own from here on.
pub(super) fn own_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?)
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

fn through_descriptor(path: &Path) -> io::Result<()> {
    let file = openat(CWD, path, OFlags::PATH, Mode::empty())?;
    read(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
}

fn deep(at: &Path) -> PathBuf {
    let mut path = at.join("unreadable");
    (0..25).for_each(|level| path.push(format!("level-{level}")));
    path
}

fn long(at: &Path) -> PathBuf {
    let mut path = at.join("unreadable");
    (0..15).for_each(|_| path.push("n".repeat(250)));
    path
}

fn odd(at: &Path) -> PathBuf {
    at.join("unreadable").join(OsString::from_vec(b"a \"name\"\n\xff\xfe'".to_vec()))
}

fn put(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, "text\n")
}

/// Paths that are too long to be named at once are entered step by step.
fn in_steps(path: &Path, make: bool) -> io::Result<()> {
    let mut directory = File::open("/")?;
    let mut parts: Vec<_> = path.strip_prefix("/").map_err(io::Error::other)?.iter().collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        if make {
            match rustix::fs::mkdirat(&directory, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let next = openat(&directory, part, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        directory = File::from(next);
    }
    let flags = if make { OFlags::WRONLY | OFlags::CREATE } else { OFlags::RDONLY };
    let mut file = File::from(openat(&directory, last, flags, Mode::from_raw_mode(0o644))?);
    if make { file.write_all(b"text\n") } else { file.read(&mut [0; 4]).map(|_| ()) }
}

pub(super) fn given_read(at: &Path) -> io::Result<Stdio> {
    Ok(File::open(secret(at))?.into())
}

/// Standard input, as a file.
pub(super) fn input() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn sink(at: &Path) -> io::Result<File> {
    File::create(at.join("open/sink"))
}

pub(super) fn bytes(count: usize) -> io::Result<()> {
    if count == 0 { Err(io::Error::other("nothing was copied")) } else { Ok(()) }
}

const LATER: &str = "a new directory gets its mark a moment after it was made";

pub(super) const CASES: &[Case] = &[
    Case::new("file", "open", "no-read", |at| read(&secret(at))),
    Case::new("file", "open by its ending, wherever it is", "no-secret", |at| {
        read(&at.join("open/a.secret"))
    })
    .after(|at| put(&at.join("open/a.secret"))),
    Case::new("file", "open through a symlink", "no-read", |at| read(&at.join("open/link")))
        .after(|at| symlink(secret(at), at.join("open/link"))),
    Case::new("file", "open through a symlink that changes", "no-read", |at| {
        read(&at.join("open/link"))?;
        fs::remove_file(at.join("open/link"))?;
        symlink(secret(at), at.join("open/link"))?;
        read(&at.join("open/link"))
    })
    .after(|at| symlink(at.join("open/f"), at.join("open/link"))),
    Case::new("file", "open through dot-dot", "no-read", |at| {
        read(&at.join("open/../unreadable/./f"))
    }),
    Case::new("file", "hard link made before the rule", "no-read", |at| {
        read(&at.join("open/other-name"))
    })
    .early(|at| fs::hard_link(secret(at), at.join("open/other-name"))),
    Case::new("file", "hard link made after the rule, by another", "no-read", |at| {
        read(&at.join("open/other-name"))
    })
    .after(|at| fs::hard_link(secret(at), at.join("open/other-name"))),
    Case::new("file", "make a hard link", "no-read", |at| {
        fs::hard_link(secret(at), at.join("open/other-name"))
    })
    .beyond(
        "the kernel does not ask when a file gets another name; what is protected stays so by it",
    ),
    Case::new("file", "rename the file away", "no-read", |at| {
        fs::rename(secret(at), at.join("open/moved"))?;
        read(&at.join("open/moved"))
    }),
    Case::new("file", "renamed away by another", "no-read", |at| read(&at.join("open/moved")))
        .after(|at| fs::rename(secret(at), at.join("open/moved"))),
    Case::new("file", "another file renamed over it", "no-read", |at| read(&secret(at)))
        .after(|at| fs::rename(at.join("open/f"), secret(at))),
    Case::new("file", "unlinked and created anew", "no-read", |at| read(&secret(at))).after(|at| {
        fs::remove_file(secret(at))?;
        put(&secret(at))
    }),
    Case::new("file", "rename the directory", "no-read", |at| {
        fs::rename(at.join("unreadable"), at.join("open/moved"))?;
        read(&at.join("open/moved/f"))
    }),
    Case::new("file", "rename a directory above", "no-read", |at| {
        fs::rename(at, at.with_extension("moved"))?;
        read(&secret(&at.with_extension("moved")))
    }),
    Case::new("file", "directory above renamed by another into the rule", "no-read", |at| {
        read(&at.join("unreadable/late/f"))
    })
    .after(|at| {
        put(&at.join("open/late/f"))?;
        read(&at.join("open/late/f"))?;
        fs::rename(at.join("open/late"), at.join("unreadable/late"))
    }),
    Case::new("file", "bind mount of the directory", "no-read", |at| {
        own_mounts()?;
        bind(&at.join("unreadable"), &at.join("open"))?;
        read(&at.join("open/f"))
    }),
    Case::new("file", "bind mount of the file", "no-read", |at| {
        own_mounts()?;
        bind(&secret(at), &at.join("open/f"))?;
        read(&at.join("open/f"))
    }),
    Case::new("file", "bind mount of a parent, elsewhere", "no-read", |at| {
        own_mounts()?;
        fs::create_dir_all("/tmp/elsewhere")?;
        bind(at, Path::new("/tmp/elsewhere"))?;
        read(Path::new("/tmp/elsewhere/unreadable/f"))
    }),
    Case::new("file", "bind mount in a user namespace", "no-read", |at| {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        bind(&at.join("unreadable"), &at.join("open"))?;
        read(&at.join("open/f"))
    }),
    Case::new("file", "chroot", "no-read", |at| {
        chroot(at)?;
        read(Path::new("/unreadable/f"))
    }),
    Case::new("file", "pivot_root", "no-read", |at| {
        own_mounts()?;
        // The first root of all cannot be exchanged, so this is not done from there.
        let root = Path::new("/tmp/root");
        fs::create_dir_all(root)?;
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some("/"), root, None::<&str>, flags, None::<&str>)?;
        chroot(root)?;
        std::env::set_current_dir("/")?;
        bind(at, at)?;
        std::env::set_current_dir(at)?;
        nix::unistd::pivot_root(".", ".")?;
        read(Path::new("/unreadable/f"))
    }),
    Case::new("file", "another name of the root", "no-read", |at| {
        read(Path::new(&format!("/proc/self/root{}", secret(at).display())))
    }),
    Case::new("file", "the working directory of a process", "no-read", |at| {
        std::env::set_current_dir(at.join("open"))?;
        read(Path::new(&format!("/proc/{}/cwd/../unreadable/f", std::process::id())))
    }),
    Case::new("file", "a descriptor opened for its path only", "no-read", |at| {
        through_descriptor(&secret(at))
    }),
    Case::new("file", "openat2", "no-read", |at| {
        let directory = File::open(at)?;
        let beneath = ResolveFlags::BENEATH;
        let path = "unreadable/f";
        openat2(&directory, path, OFlags::RDONLY, Mode::empty(), beneath)?;
        Ok(())
    }),
    Case::new("file", "open_tree", "no-read", |at| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE;
        let tree = open_tree(CWD, at.join("unreadable"), flags)?;
        openat(&tree, "f", OFlags::RDONLY, Mode::empty())?;
        Ok(())
    }),
    Case::new("file", "open_tree and move_mount", "no-read", |at| {
        own_mounts()?;
        let tree = open_tree(CWD, at.join("unreadable"), OpenTreeFlags::OPEN_TREE_CLONE)?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&tree, "", CWD, at.join("open"), empty)?;
        read(&at.join("open/f"))
    }),
    Case::new("file", "a path of many components", "no-read", |at| read(&deep(at).join("f")))
        .after(|at| put(&deep(at).join("f")))
        .beyond(LATER),
    Case::new("file", "a path near the longest", "no-read", |at| {
        in_steps(&long(at).join("f"), false)
    })
    .after(|at| in_steps(&long(at).join("f"), true))
    .beyond(LATER),
    Case::new("file", "a path longer than the longest", UNRESOLVED, |at| {
        in_steps(&long(at).join("m".repeat(250)).join("m".repeat(250)).join("f"), false)
    })
    .after(|at| in_steps(&long(at).join("m".repeat(250)).join("m".repeat(250)).join("f"), true))
    .beyond("a path of more than 4,095 bytes has no mark, since the kernel does not tell it"),
    Case::new("file", "a name that is no text", "no-read", |at| read(&odd(at)))
        .after(|at| put(&odd(at))),
    Case::new("file", "a file that did not exist", "no-read", |at| {
        read(&at.join("unreadable/late"))
    })
    .after(|at| put(&at.join("unreadable/late"))),
    Case::new("file", "a directory that did not exist", "no-read", |at| {
        read(&at.join("unreadable/late/later/f"))
    })
    .after(|at| put(&at.join("unreadable/late/later/f")))
    .beyond(LATER),
    Case::new("file", "list the directory", "no-read", |at| {
        fs::read_dir(at.join("unreadable")).map(|_| ())
    })
    .beyond("names are not protected, only what files hold"),
    Case::new("file", "a descriptor from another process, read", "no-read", |_| {
        bytes(input()?.read(&mut [0; 4])?)
    })
    .given(given_read),
    Case::new("file", "a descriptor from another process, sendfile", "no-read", |at| {
        bytes(rustix::fs::sendfile(sink(at)?, input()?, None, 4)?)
    })
    .given(given_read),
    Case::new("file", "a descriptor from another process, copy_file_range", "no-read", |at| {
        bytes(rustix::fs::copy_file_range(input()?, None, sink(at)?, None, 4)?)
    })
    .given(given_read),
    Case::new("file", "a descriptor from another process, splice", "no-read", |_| {
        let (_from, to) = rustix::pipe::pipe()?;
        let flags = rustix::pipe::SpliceFlags::empty();
        bytes(rustix::pipe::splice(input()?, None, to, None, 4, flags)?)
    })
    .given(given_read),
    Case::new("file", "a child of another program", "no-read", |at| {
        let status = std::process::Command::new("/bin/busybox")
            .arg("cat")
            .arg(secret(at))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        if status.success() { Ok(()) } else { Err(io::Error::from_raw_os_error(13)) }
    }),
    Case::new("file", "open without following, in other ways", "no-read", |at| {
        let mut options = fs::OpenOptions::new();
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME;
        options.read(true).custom_flags(i32::try_from(flags.bits()).map_err(io::Error::other)?);
        options.open(secret(at)).map(|_| ())
    }),
];
