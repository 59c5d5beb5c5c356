//! An allow-list leaves the interpreter out: then no script runs, whichever way it is given.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Case;
use super::exec::{run, script};

const SHELL: &str = "/bin/busybox";
/// Where kinds of programs are told to the kernel.
const KINDS: &str = "/proc/sys/fs/binfmt_misc";

/// A script that is listed.
fn listed(at: &Path) -> PathBuf {
    at.join("listed/s")
}

fn shell(words: &[&str]) -> Command {
    let mut command = Command::new(SHELL);
    command.arg("sh").args(words);
    command
}

fn prepared(at: &Path) -> io::Result<()> {
    script(&listed(at))
}

/// Files that end so are given to the interpreter by the kernel.
fn kind(at: &Path) -> io::Result<()> {
    prepared(at)?;
    fs::copy(listed(at), at.join("listed/s.evade"))?;
    let register = Path::new(KINDS).join("register");
    if !register.exists() {
        let flags = nix::mount::MsFlags::empty();
        let (name, none) = (Some("binfmt_misc"), None::<&str>);
        // Without such a filesystem the case finds no kind and is absent.
        if nix::mount::mount(name, KINDS, name, flags, none).is_err() {
            return Ok(());
        }
    }
    if Path::new(KINDS).join("evade").exists() {
        return Ok(());
    }
    fs::write(register, ":evade:E::evade::/bin/sh:")
}

/// Another program that runs what it is told to.
fn by_env(at: &Path) -> io::Result<()> {
    let text = "#!/bin/env sh\ntrue\n";
    script(&at.join("listed/env"))?;
    fs::write(at.join("listed/env"), text)
}

pub(super) const CASES: &[Case] = &[
    Case::new("interpreter", "a listed script, run", "only-strict", |at| {
        run(&mut Command::new(listed(at)))
    })
    .after(prepared)
    .strict(),
    Case::new("interpreter", "given as an argument", "only-strict", |at| {
        run(shell(&[]).arg(listed(at)))
    })
    .after(prepared)
    .strict(),
    Case::new("interpreter", "given as standard input", "only-strict", |at| {
        let status = shell(&[]).stdin(File::open(listed(at))?).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    })
    .after(prepared)
    .strict(),
    Case::new("interpreter", "read by another script", "only-strict", |at| {
        run(&mut shell(&["-c", &format!(". {}", listed(at).display())]))
    })
    .after(prepared)
    .strict(),
    Case::new("interpreter", "text on the command line", "only-strict", |_| {
        run(&mut shell(&["-c", "true"]))
    })
    .strict(),
    Case::new("interpreter", "found by env", "only-strict", |at| {
        run(&mut Command::new(at.join("listed/env")))
    })
    .after(by_env)
    .strict(),
    Case::new("interpreter", "found by its ending", "only-strict", |at| {
        if !Path::new(KINDS).join("evade").exists() {
            return Err(io::Error::from_raw_os_error(38));
        }
        run(&mut Command::new(at.join("listed/s.evade")))
    })
    .after(kind)
    .strict()
    .guest("kinds of programs are told to the whole host"),
];
