//! Operations on other processes and on the kernel.

use std::fs::File;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::{Args, tell};

/// The program of `probe.bpf.c`.
static PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe.bpf.o"));

pub(super) fn perform(name: &str, args: &Args<'_>) -> Option<Result<()>> {
    Some(match name {
        "ptrace-attach" => attach(args),
        "ptrace-seize" => seize(args),
        "ptrace-traceme" => ptrace::traceme().context("PTRACE_TRACEME"),
        "kill" => signal(args),
        "kill-0" => pid(args).and_then(|pid| kill(pid, None).context("kill")),
        "module" => module(args),
        "bpf" => bpf(),
        "unshare" => namespaces(args),
        "container" => container(),
        "io_uring" => io_uring::IoUring::new(8).map(|_| ()).context("io_uring_setup"),
        _ => return None,
    })
}

fn pid(args: &Args<'_>) -> Result<Pid> {
    args.number(0).map(Pid::from_raw)
}

fn attach(args: &Args<'_>) -> Result<()> {
    let target = pid(args)?;
    ptrace::attach(target).context("PTRACE_ATTACH")?;
    waitpid(target, None).context("waiting for the stop")?;
    ptrace::detach(target, None).context("PTRACE_DETACH")
}

fn seize(args: &Args<'_>) -> Result<()> {
    // The tracer's end lets go of the target.
    ptrace::seize(pid(args)?, ptrace::Options::empty()).context("PTRACE_SEIZE")
}

/// PID SIGNAL
fn signal(args: &Args<'_>) -> Result<()> {
    let signal = Signal::try_from(args.number::<i32>(1)?).context("signal")?;
    kill(pid(args)?, signal).context("kill")
}

/// Loads a module and removes it again: FILE NAME.
fn module(args: &Args<'_>) -> Result<()> {
    let file = File::open(args.path(0)?).context("open")?;
    finit_module(&file, c"", ModuleInitFlags::empty()).context("finit_module")?;
    let name = std::ffi::CString::new(args.text(1)?).context("name")?;
    delete_module(&name, DeleteModuleFlags::O_NONBLOCK).context("delete_module")
}

fn bpf() -> Result<()> {
    let mut builder = libbpf_rs::ObjectBuilder::default();
    let object = builder.open_memory(PROBE).context("opening the BPF object")?;
    object.load().map(|_| ()).context("loading the BPF program")
}

/// Names of namespaces, as in /proc/self/ns.
fn namespaces(args: &Args<'_>) -> Result<()> {
    let mut flags = CloneFlags::empty();
    for word in args.words {
        flags |= match word.to_str() {
            Some("uts") => CloneFlags::CLONE_NEWUTS,
            Some("ipc") => CloneFlags::CLONE_NEWIPC,
            Some("mnt") => CloneFlags::CLONE_NEWNS,
            Some("net") => CloneFlags::CLONE_NEWNET,
            _ => bail!("no namespace is called {}", word.display()),
        };
    }
    unshare(flags).context("unshare")
}

/// A child in a pid and a mount namespace of its own, as a container runtime makes it.
fn container() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS).context("unshare")?;
    let exe = std::env::current_exe().context("own path")?;
    let mut command = std::process::Command::new(exe);
    let mut child = command.args(["act", "noop"]).stdin(Stdio::null()).spawn().context("spawn")?;
    // The pid as our own namespace, the outer one, sees it.
    tell("child", child.id())?;
    child.wait().map(|_| ()).context("waiting for the child")
}
