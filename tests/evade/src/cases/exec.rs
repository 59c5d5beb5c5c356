//! Rules deny execution: of a path, of what is not listed, of code in libraries.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Case;
use super::memory::{library, preload};

const BUSYBOX: &str = "/bin/busybox";

/// A program of its own in a directory.
fn program(path: &Path) -> io::Result<()> {
    fs::copy(BUSYBOX, path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn prepared(at: &Path) -> io::Result<()> {
    program(&at.join("unrunnable/e"))
}

fn e(at: &Path) -> PathBuf {
    at.join("unrunnable/e")
}

/// Runs it; an error of the exec itself is the error.
pub(super) fn run(command: &mut Command) -> io::Result<()> {
    let status =
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ended with {status}"))) }
}

fn busybox(path: &Path) -> io::Result<()> {
    run(Command::new(path).arg0("busybox").arg("true"))
}

/// The loader of dynamic programs, by whatever name it has here.
fn loader() -> io::Result<PathBuf> {
    let names = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let found = names.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| io::Error::from_raw_os_error(95))
}

/// A program that is in memory only.
fn unnamed() -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::empty();
    let mut file = File::from(rustix::fs::memfd_create("program", flags)?);
    file.write_all(&fs::read(BUSYBOX)?)?;
    Ok(file)
}

/// Becomes the program behind a descriptor, which says for this process that all went well.
pub(super) fn execute(file: &File) -> io::Result<()> {
    let flags = nix::fcntl::AtFlags::AT_EMPTY_PATH;
    let words = [c"busybox", c"echo", c"ok"];
    let none: [&std::ffi::CStr; 0] = [];
    nix::unistd::execveat(file, c"", &words, &none, flags)?;
    Ok(())
}

pub(super) fn script(path: &Path) -> io::Result<()> {
    fs::write(path, "#!/bin/busybox sh\ntrue\n")?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

pub(super) const CASES: &[Case] = &[
    Case::new("exec", "run", "no-run", |at| busybox(&e(at))).after(prepared),
    Case::new("exec", "run through a symlink", "no-run", |at| busybox(&at.join("open/link")))
        .after(|at| {
            prepared(at)?;
            symlink(e(at), at.join("open/link"))
        }),
    Case::new("exec", "run a hard link made before the rule", "no-run", |at| {
        busybox(&at.join("open/name"))
    })
    .early(|at| {
        prepared(at)?;
        fs::hard_link(e(at), at.join("open/name"))
    }),
    Case::new("exec", "run under another first argument", "no-run", |at| {
        run(Command::new(e(at)).arg0("true"))
    })
    .after(prepared),
    Case::new("exec", "run by the loader of dynamic programs", "no-run", |at| {
        run(Command::new(loader()?).arg(at.join("unrunnable/evade")).args([
            "do",
            "exec/nothing",
            "/",
        ]))
        .map_err(|error| {
            if error.raw_os_error().is_some() { error } else { io::Error::from_raw_os_error(13) }
        })
    })
    .after(|at| fs::copy("/lab/bin/free", at.join("unrunnable/evade")).map(|_| ()))
    .beyond("what a loader is given as an argument is read, not executed"),
    Case::new("exec", "run by its descriptor", "no-run", |at| {
        let file = File::open(e(at))?;
        busybox(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
    })
    .after(prepared),
    Case::new("exec", "run a deleted file", "no-run", |at| {
        let file = File::open(e(at))?;
        fs::remove_file(e(at))?;
        busybox(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
    })
    .after(prepared),
    Case::new("exec", "run a script", "no-run", |at| {
        run(&mut Command::new(at.join("unrunnable/s")))
    })
    .after(|at| script(&at.join("unrunnable/s"))),
    Case::new("exec", "run a copy under another name", "only-listed", |at| {
        fs::copy(at.join("listed/e"), at.join("open/copy"))?;
        busybox(&at.join("open/copy"))
    })
    .after(|at| program(&at.join("listed/e")))
    .limited(),
    Case::new("exec", "run a file without a name", "only-listed", |_| {
        let file = unnamed()?;
        busybox(Path::new(&format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())))
    })
    .limited(),
    Case::new("exec", "run a script that is not listed", "only-listed", |at| {
        run(&mut Command::new(at.join("open/s")))
    })
    .after(|at| script(&at.join("open/s")))
    .limited(),
    Case::new("exec", "a library by LD_PRELOAD", "no-code", |at| {
        preload("/lab/bin/free".as_ref(), &at.join("uncode/library.so"))
    })
    .after(|at| library(at.join("uncode/library.so"))),
    Case::new("exec", "run under another name of the process", "no-run", |at| {
        rustix::thread::set_name(c"other")?;
        busybox(&e(at))
    })
    .after(prepared),
    Case::new("exec", "a program written after the rule", "no-run", |at| {
        busybox(&at.join("unrunnable/late"))
    })
    .after(|at| program(&at.join("unrunnable/late"))),
    Case::new("exec", "a program renamed over it", "no-run", |at| busybox(&e(at))).after(|at| {
        prepared(at)?;
        program(&at.join("open/e"))?;
        fs::rename(at.join("open/e"), e(at))
    }),
    Case::new("exec", "by a descriptor and no name", "no-run", |at| execute(&File::open(e(at))?))
        .after(prepared),
    Case::new("exec", "a file without a name, by a descriptor and no name", "only-listed", |_| {
        execute(&unnamed()?)
    })
    .limited(),
    Case::new("exec", "nothing", "no-run", |at| busybox(&e(at))).after(prepared),
];
