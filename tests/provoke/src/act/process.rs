//! Operations of a process on itself: exec in its shapes, exit, threads, credentials.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::unistd::{self, Gid, Pid, Uid};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::{Args, tell, wait};

pub(super) fn perform(name: &str, args: &Args<'_>) -> Option<Result<()>> {
    Some(match name {
        "noop" => Ok(()),
        "wait" => tell("ready", true).and_then(|()| wait()).map(|_| ()),
        "exit" => exit(args),
        "thread" => thread(),
        "veteran" => veteran(),
        "memfd" => memfd(args).map(|_| ()),
        "exec-memfd" => exec_memfd(args),
        "exec-deleted" => exec_deleted(args),
        "in-cgroup" => in_cgroup(args),
        "setuid" => setuid(args),
        "setgid" => setgid(args),
        "as" => run_as(args),
        "regain" => regain(args),
        "on-socket" => on_socket(args),
        "setsid" => setsid(),
        "setpgid" => unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).context("setpgid"),
        "capset" => capset(),
        "capget" => capabilities(None).map(|_| ()).context("capget"),
        _ => return None,
    })
}

/// Ends with a status that the other side chose.
#[expect(clippy::exit, reason = "the exit status is what is tested")]
fn exit(args: &Args<'_>) -> Result<()> {
    std::process::exit(args.number(0)?)
}

/// A thread that ends before its process does.
fn thread() -> Result<()> {
    std::thread::spawn(|| ()).join().map_err(|_| anyhow::anyhow!("the thread panicked"))
}

/// Starts a child for each line that comes in, and says its pid.
fn veteran() -> Result<()> {
    while !wait()?.is_empty() {
        let exe = std::env::current_exe().context("own path")?;
        let mut child = Command::new(exe)
            .args(["act", "noop"])
            .stdin(Stdio::null())
            .spawn()
            .context("spawn")?;
        tell("child", child.id())?;
        child.wait().context("waiting for the child")?;
    }
    Ok(())
}

/// An anonymous memory file of that name.
fn memfd(args: &Args<'_>) -> Result<File> {
    let flags = rustix::fs::MemfdFlags::empty();
    let fd = rustix::fs::memfd_create(args.text(0)?, flags).context("memfd_create")?;
    Ok(File::from(fd))
}

/// Runs a program from an anonymous memory file: NAME PROGRAM ARGV0.
fn exec_memfd(args: &Args<'_>) -> Result<()> {
    let mut file = memfd(args)?;
    let program = fs::read(args.path(1)?).context("reading the program")?;
    file.write_all(&program).context("filling the memory file")?;
    exec_fd(&file, args.text(2)?)
}

/// Runs a program that has no name any more: FILE ARGV0.
fn exec_deleted(args: &Args<'_>) -> Result<()> {
    let path = args.path(0)?;
    let file = File::open(path).context("opening the program")?;
    fs::remove_file(path).context("deleting the program")?;
    exec_fd(&file, args.text(1)?)
}

fn exec_fd(file: impl AsFd, argv0: &str) -> Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    Err(Command::new(path).arg0(argv0).exec()).context("exec")
}

/// Enters a cgroup and starts anew there: DIRECTORY.
fn in_cgroup(args: &Args<'_>) -> Result<()> {
    fs::write(args.path(0)?.join("cgroup.procs"), "0").context("entering the cgroup")?;
    let exe = std::env::current_exe().context("own path")?;
    Err(Command::new(&exe).args(["act", "noop"]).exec()).context("exec")
}

fn setuid(args: &Args<'_>) -> Result<()> {
    let uid = Uid::from_raw(args.number(0)?);
    unistd::setresuid(uid, uid, uid).context("setresuid")
}

/// Becomes another user, or root if it may, and runs a program: UID PROGRAM ARGS.
fn run_as(args: &Args<'_>) -> Result<()> {
    setuid(args)?;
    Err(Command::new(args.os(1)?).args(args.from(2)).exec()).context("exec")
}

/// Gives up root for a while: UID.
fn regain(args: &Args<'_>) -> Result<()> {
    // Some sources look at the process only after they were told of it: it must still be so.
    let rest = || std::thread::sleep(std::time::Duration::from_secs(1));
    unistd::seteuid(Uid::from_raw(args.number(0)?)).context("seteuid")?;
    rest();
    unistd::seteuid(Uid::from_raw(0)).context("seteuid 0")?;
    rest();
    Ok(())
}

/// Runs a program whose standard input and output are a socket: PROGRAM ARGS.
fn on_socket(args: &Args<'_>) -> Result<()> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().context("socketpair")?;
    let output = theirs.try_clone().context("dup")?;
    let mut command = Command::new(args.os(0)?);
    command.args(args.from(1)).stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(output));
    let status = command.status().context("spawn")?;
    drop(ours);
    anyhow::ensure!(status.success(), "the program ended with {status}");
    Ok(())
}

fn setgid(args: &Args<'_>) -> Result<()> {
    let gid = Gid::from_raw(args.number(0)?);
    unistd::setresgid(gid, gid, gid).context("setresgid")
}

fn setsid() -> Result<()> {
    unistd::setsid().map(|_| ()).context("setsid")
}

/// Gives up one effective capability.
fn capset() -> Result<()> {
    let mut sets = capabilities(None).context("capget")?;
    sets.effective.remove(CapabilitySet::SYS_ADMIN);
    set_capabilities(None, sets).context("capset")
}
