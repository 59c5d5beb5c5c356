//! Rules deny reading, writing and mapping code: by memory that shows a file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kernel::deeds::map;
use nix::sys::mman::ProtFlags;

use super::Case;
use super::file::{given_read, input};

const READ: ProtFlags = ProtFlags::PROT_READ;
const WRITE: ProtFlags = ProtFlags::PROT_WRITE;
const CODE: ProtFlags = ProtFlags::PROT_EXEC;

fn given_both(at: &Path) -> io::Result<std::process::Stdio> {
    let file = at.join("unwritable/f");
    Ok(OpenOptions::new().read(true).write(true).open(file)?.into())
}

/// Any shared object of this host, put somewhere.
pub(super) fn library(to: PathBuf) -> io::Result<()> {
    let found = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/x86_64-linux-gnu/libgcc_s.so.1"];
    let found = found.iter().find(|path| Path::new(path).exists());
    let found = found.ok_or_else(|| io::Error::other("no library to copy"))?;
    fs::copy(found, to).map(drop)
}

/// Starts a program with a library before all others; the loader says so if it could not, and goes on.
pub(super) fn preload(program: &Path, library: &Path) -> io::Result<()> {
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library).args(["do", "exec/nothing", "/"]);
    let said = command.stderr(Stdio::piped()).stdout(Stdio::null()).output()?.stderr;
    if said.is_empty() { Ok(()) } else { Err(io::Error::from_raw_os_error(1)) }
}

const ASKED: &str = "the kernel does not ask when a file is mapped";

pub(super) const CASES: &[Case] = &[
    Case::new("memory", "a descriptor from another process, mapped", "no-read", |_| {
        map(Some(&input()?), READ, false, None)
    })
    .given(given_read)
    .beyond(ASKED),
    Case::new("memory", "mapped for writing, shared", "no-write", |_| {
        map(Some(&input()?), READ | WRITE, true, None)
    })
    .given(given_both),
    Case::new("memory", "mapped shared, then made writable", "no-write", |_| {
        map(Some(&input()?), READ, true, Some(READ | WRITE))
    })
    .given(given_both),
    Case::new("memory", "mapped as code", "no-code", |at| {
        map(Some(&File::open(at.join("uncode/f"))?), READ | CODE, false, None)
    }),
    Case::new("memory", "mapped, then made code", "no-code", |at| {
        map(Some(&File::open(at.join("uncode/f"))?), READ, false, Some(READ | CODE))
    }),
    Case::new("memory", "what may not run, mapped as code", "no-run", |at| {
        map(Some(&File::open(at.join("unrunnable/f"))?), READ | CODE, false, None)
    })
    .beyond(ASKED),
    Case::new("memory", "no file's memory as code", "only-listed", |_| {
        map(None, READ | CODE, false, None)
    })
    .limited(),
    Case::new("memory", "no file's memory, then made code", "only-listed", |_| {
        map(None, READ | WRITE, false, Some(READ | CODE))
    })
    .limited(),
    Case::new("memory", "a library from where anybody writes", "only-listed", |at| {
        preload(&std::env::current_exe()?, &at.join("open/library.so"))
    })
    .after(|at| library(at.join("open/library.so")))
    .limited(),
];
