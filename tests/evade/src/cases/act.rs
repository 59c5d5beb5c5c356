//! What processes do with capabilities, to other processes, and to the kernel itself.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kernel::deeds_act as deeds;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};
use rustix::net::{AddressFamily, SocketType, socket};

use super::Case;
use crate::lab::{FREE, VICTIM};

/// A process that rules name as what is acted on; it ends when its input does.
struct Victim(Child);

impl Victim {
    fn start() -> io::Result<Victim> {
        let mut command = Command::new(VICTIM);
        command.args(["wait"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        // It runs its own program now.
        let told = child.stdout.as_mut().map(|out| out.read(&mut [0; 16]));
        told.unwrap_or(Ok(0)).map(|_| Victim(child))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap_or_default())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It may be gone already.
        drop(self.0.wait());
    }
}

/// A victim that sleeps since before the policy was in force; its number is in a file.
fn sleeper(at: &Path) -> io::Result<()> {
    let victim = Command::new(VICTIM).args(["wait"]).stdin(Stdio::piped()).spawn()?;
    fs::write(at.join("open/victim"), victim.id().to_string())?;
    // It is to outlive us, and its input with it.
    std::mem::forget(victim);
    Ok(())
}

fn asleep(at: &Path) -> io::Result<Pid> {
    let number = fs::read_to_string(at.join("open/victim"))?;
    number.parse().map(Pid::from_raw).map_err(io::Error::other)
}

/// Stops a process and lets it go.
fn trace(pid: Pid) -> io::Result<()> {
    ptrace::seize(pid, ptrace::Options::empty())?;
    kill(pid, Signal::SIGSTOP)?;
    waitpid(pid, None)?;
    Ok(ptrace::detach(pid, Signal::SIGCONT)?)
}

/// Who asks to be traced is traced by its parent: so a child does.
fn traced(at: &Path) -> io::Result<()> {
    if std::env::current_exe()? == Path::new(FREE) {
        return Ok(ptrace::traceme()?);
    }
    let mut command = Command::new(FREE);
    command.args(["do", "act/be traced by who may not"]).arg(at).stdin(Stdio::null());
    let said = command.output()?.stdout;
    match String::from_utf8_lossy(&said).trim() {
        "ok" => Ok(()),
        "errno 1" => Err(io::Error::from_raw_os_error(1)),
        other => Err(io::Error::other(other.to_owned())),
    }
}

fn new_filesystem(at: &Path) -> io::Result<()> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::empty())?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let made =
        rustix::mount::fsmount(context.as_fd(), FsMountFlags::empty(), MountAttrFlags::empty())?;
    let (here, to) = (rustix::fs::CWD, at.join("open"));
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(made.as_fd(), "", here, &to, flags)?;
    drop(made);
    Ok(umount2(&to, MntFlags::empty())?)
}

fn tmpfs(at: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    Ok(mount(Some("tmpfs"), &at.join("open"), Some("tmpfs"), MsFlags::empty(), none)?)
}

fn again(at: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    Ok(mount(none, &at.join("open"), none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)?)
}

/// A directory that is a mount, with another mount below it.
fn two_roots(at: &Path) -> io::Result<()> {
    tmpfs(at)?;
    let below = at.join("open/new");
    fs::create_dir(&below)?;
    let none: Option<&str> = None;
    Ok(mount(Some("tmpfs"), &below, Some("tmpfs"), MsFlags::empty(), none)?)
}

/// The first root of all cannot be exchanged, so this is not done from there.
fn exchange_roots(at: &Path) -> io::Result<()> {
    nix::unistd::chroot(&at.join("open"))?;
    std::env::set_current_dir("/new")?;
    Ok(nix::unistd::pivot_root(".", ".")?)
}

/// Who asks for a module says here where it looks whether that came to something.
const ASKS: &str = "/lab/asks";

/// What the kernel starts when it lacks a module leaves a file.
fn loader(at: &Path) -> io::Result<()> {
    let script = at.join("open/loader");
    fs::write(&script, format!("#!/bin/busybox sh\nread at < {ASKS}\n: > $at\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    fs::write("/proc/sys/kernel/modprobe", script.as_os_str().as_bytes())
}

/// A family of protocols that no kernel has built in lets it ask for a module.
fn lacking(at: &Path) -> io::Result<()> {
    let called = at.join("open/called");
    fs::write(ASKS, format!("{}\n", called.display()))?;
    match socket(AddressFamily::from_raw(AX25), SocketType::DGRAM, None) {
        Err(_) if fs::exists(called)? => Ok(()),
        Err(_) => Err(io::Error::from_raw_os_error(110)),
        Ok(_) => Err(io::Error::other("this kernel has the family")),
    }
}

fn apart(flags: CloneFlags) -> io::Result<()> {
    Ok(unshare(flags)?)
}

/// `AF_AX25`.
const AX25: u16 = 3;
const MODULE: &str = "/lib/modules/dummy.ko";

fn module() -> io::Result<File> {
    File::open(MODULE).map_err(|_| io::Error::from_raw_os_error(95))
}

pub(super) const CASES: &[Case] = &[
    Case::new("act", "use a capability", "no-capability", |_| {
        std::net::TcpListener::bind("127.0.0.1:81").map(drop)
    })
    .confined(),
    Case::new("act", "trace", "no-trace", |_| trace(Victim::start()?.pid())).confined(),
    Case::new("act", "be traced by who may not", "no-trace-by", traced).confined(),
    Case::new("act", "read memory", "no-trace", |_| {
        deeds::read_memory(Victim::start()?.pid().as_raw())
    })
    .confined(),
    Case::new("act", "open memory", "no-trace", |_| {
        let victim = Victim::start()?;
        File::open(format!("/proc/{}/mem", victim.pid())).map(drop)
    })
    .confined(),
    Case::new("act", "trace who slept since before the rule", "no-trace", |at| {
        File::open(format!("/proc/{}/mem", asleep(at)?)).map(drop)
    })
    .early(sleeper)
    .confined(),
    Case::new("act", "signal", "no-signal", |_| Ok(kill(Victim::start()?.pid(), Signal::SIGTERM)?))
        .confined(),
    Case::new("act", "signal by a descriptor of the process", "no-signal", |_| {
        let victim = Victim::start()?;
        let pid = rustix::process::Pid::from_raw(victim.pid().as_raw());
        let pid = pid.ok_or_else(|| io::Error::other("no number"))?;
        let flags = rustix::process::PidfdFlags::empty();
        let file = rustix::process::pidfd_open(pid, flags)?;
        Ok(rustix::process::pidfd_send_signal(file, rustix::process::Signal::TERM)?)
    })
    .confined(),
    Case::new("act", "signal who slept since before the rule", "no-signal", |at| {
        Ok(kill(asleep(at)?, Signal::SIGTERM)?)
    })
    .early(sleeper)
    .confined(),
    Case::new("act", "load a module", "no-module", |_| {
        deeds::load_module(&module()?)?;
        deeds::unload_module(c"dummy")
    })
    .confined(),
    Case::new("act", "load a module from memory", "no-module", |_| {
        let mut bytes = Vec::new();
        module()?.read_to_end(&mut bytes)?;
        deeds::load_module_bytes(&bytes)?;
        deeds::unload_module(c"dummy")
    })
    .confined(),
    Case::new("act", "let the kernel load a module", "no-module", lacking)
        .after(loader)
        .silent()
        .confined(),
    Case::new("act", "bpf", "no-bpf", |_| deeds::make_map().map(drop)).confined(),
    Case::new("act", "mount", "no-mount", |at| {
        tmpfs(at)?;
        Ok(umount2(&at.join("open"), MntFlags::empty())?)
    })
    .confined(),
    Case::new("act", "mount in the new way", "no-mount", new_filesystem).confined(),
    Case::new("act", "unmount", "no-mount", |at| {
        Ok(umount2(&at.join("open"), MntFlags::MNT_DETACH)?)
    })
    .after(tmpfs)
    .confined(),
    Case::new("act", "remount", "no-mount", again).after(tmpfs).confined(),
    Case::new("act", "exchange the root", "no-mount", exchange_roots).after(two_roots).confined(),
    Case::new("act", "unshare", "no-namespace", |_| apart(CloneFlags::CLONE_NEWUTS)).confined(),
    Case::new("act", "unshare mounts", "no-namespace", |_| apart(CloneFlags::CLONE_NEWNS))
        .confined(),
    Case::new("act", "a user namespace", "no-namespace", |_| apart(CloneFlags::CLONE_NEWUSER))
        .confined(),
    Case::new("act", "clone into a namespace", "no-namespace", |_| {
        deeds::clone_into(CloneFlags::CLONE_NEWPID.bits())
    })
    .confined(),
    Case::new("act", "enter a namespace", "no-namespace", |_| {
        let own = File::open("/proc/self/ns/uts")?;
        Ok(setns(own, CloneFlags::CLONE_NEWUTS)?)
    })
    .confined(),
    Case::new("act", "make a ring", "no-ring", |_| deeds::make_ring()).confined(),
];
