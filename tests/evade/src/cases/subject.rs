//! Whom a rule is about: by user, group, cgroup, script, ancestors and deeds.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use super::{Case, hash};
use crate::lab::{self, FREE, PARENT, TOUCHER};

/// Whether this is the process that the rule is to be about.
pub(super) fn is_covered(at: &Path) -> bool {
    at.to_string_lossy().ends_with("-covered")
}

fn read(at: &Path) -> io::Result<()> {
    fs::read(at.join("unreadable/f")).map(|_| ())
}

/// The number that the rules name, or the next one.
fn number(at: &Path) -> u32 {
    if is_covered(at) { 1234 } else { 1235 }
}

/// Another program does the deed of a case; its error is the error.
fn have(program: &str, case: &str, at: &Path) -> io::Result<()> {
    let mut command = Command::new(program);
    let said = command.args(["do", case]).arg(at).stdin(Stdio::null()).output()?.stdout;
    let said = String::from_utf8_lossy(&said);
    match said.lines().last().unwrap_or_default() {
        "ok" => Ok(()),
        "errno 1" => Err(io::Error::from_raw_os_error(1)),
        other => Err(io::Error::other(other.to_owned())),
    }
}

fn in_child(at: &Path) -> io::Result<()> {
    have(FREE, "subject/a child, which reads", at)
}

fn touch(at: &Path) -> io::Result<()> {
    if is_covered(at) { fs::read(at.join("listed/f")).map(|_| ()) } else { Ok(()) }
}

/// Moves this process into a cgroup that is made now.
fn enter(at: &Path) -> io::Result<()> {
    let name = if is_covered(at) { "evade/later/still" } else { "evade-other/later/still" };
    let group = lab::cgroups().join(name);
    fs::create_dir_all(&group)?;
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())
}

fn in_thread(deed: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
    std::thread::scope(|scope| {
        let died = |_| Err(io::Error::other("a thread died"));
        scope.spawn(deed).join().unwrap_or_else(died)
    })
}

pub(super) const CASES: &[Case] = &[
    Case::new("subject", "a child, which reads", "no-read", read),
    Case::new("subject", "by user, changed while it runs", "no-user", |at| {
        fs::read(at.join("open/f"))?;
        setuid(Uid::from_raw(number(at)))?;
        read(at)
    })
    .by(FREE),
    Case::new("subject", "by group, changed while it runs", "no-group", |at| {
        fs::read(at.join("open/f"))?;
        setgid(Gid::from_raw(number(at)))?;
        read(at)
    })
    .by(FREE),
    Case::new("subject", "by a further group", "no-group", |at| {
        fs::read(at.join("open/f"))?;
        setgroups(&[Gid::from_raw(77), Gid::from_raw(number(at))])?;
        read(at)
    })
    .by(FREE),
    Case::new("subject", "by a cgroup that did not exist", "no-box", |at| {
        fs::read(at.join("open/f"))?;
        enter(at)?;
        read(at)
    })
    .by(FREE),
    Case::new("subject", "by an ancestor", "no-child", |at| {
        if is_covered(at) {
            return have(PARENT, "subject/through a child", at);
        }
        in_child(at)
    })
    .by(FREE),
    Case::new("subject", "through a child", "no-read", in_child),
    Case::new("subject", "by the hash of its program", "no-hashed", |at| {
        let name = if is_covered(at) { "open/e" } else { "open/other" };
        let mut command = Command::new(at.join(name));
        command.arg0("busybox").arg("cat").arg(at.join("unreadable/f"));
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = status.status()?;
        if status.success() { Ok(()) } else { Err(io::Error::from_raw_os_error(1)) }
    })
    .by(FREE)
    .after(hash::programs),
    Case::new("subject", "by a script", "no-script", |at| {
        let script = at.join(if is_covered(at) { "listed/s" } else { "open/s" });
        let status = Command::new(script).stdin(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::from_raw_os_error(1)) }
    })
    .by(FREE)
    .after(|at| {
        for name in ["listed/s", "open/s"] {
            let text = format!("#!/bin/busybox sh\nread line < {}/unreadable/f\n", at.display());
            fs::write(at.join(name), text)?;
            fs::set_permissions(at.join(name), Permissions::from_mode(0o755))?;
        }
        Ok(())
    }),
    Case::new("subject", "by a deed", "touched", |at| {
        read(at)?;
        touch(at)?;
        read(at)
    })
    .by(TOUCHER),
    Case::new("subject", "by a deed of another thread", "touched", |at| {
        in_thread(|| touch(at))?;
        in_thread(|| read(at))
    })
    .by(TOUCHER),
    Case::new("subject", "by a deed, then by another program", "touched", |at| {
        touch(at)?;
        in_child(at)
    })
    .by(TOUCHER),
    Case::new("subject", "exec by another thread", "no-read", |at| in_thread(|| in_child(at))),
];
