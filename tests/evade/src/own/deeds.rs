//! What strangers do, each to what is the agent's and to what is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::process::{Command, Stdio};

use kernel::deeds_act::{self as deeds, Numbered};
use kernel::enforce::PINS;
use model::policy::Operation;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{FILES, OTHER, Things, pin};
use crate::lab::FREE;

/// One deed.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What is told.
    pub(crate) operation: Operation,
    pub(super) deed: fn(&str) -> io::Result<()>,
    /// What belongs to the agent, and what does not.
    pub(super) own: fn(&Things) -> String,
    pub(super) other: fn(&Things) -> String,
    /// Whether the agent may do it to itself without an end to the test.
    pub(crate) agent: bool,
}

fn number(text: &str) -> io::Result<u32> {
    text.parse().map_err(io::Error::other)
}

fn process(text: &str) -> io::Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(number(text)?).map_err(io::Error::other)?))
}

fn open(what: Numbered, text: &str) -> io::Result<()> {
    match deeds::open_by_number(what, number(text)?) {
        // There is none of this number: so it was not refused.
        Err(error) if error.raw_os_error() == Some(2) => Ok(()),
        other => other.map(drop),
    }
}

fn write(path: &str) -> io::Result<()> {
    OpenOptions::new().append(true).open(path).map(drop)
}

/// In a child whose tracer is a stranger: it stops at its exec, for its tracer.
fn become_agent(program: &str) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["meddle", "exec", program]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let pid = process(&child.id().to_string())?;
    if let WaitStatus::Stopped(..) = waitpid(pid, None)? {
        kill(pid, Signal::SIGKILL)?;
        waitpid(pid, None)?;
        return Ok(());
    }
    let mut said = String::new();
    child.stdout.as_mut().map_or(Ok(0), |out| out.read_to_string(&mut said))?;
    match said.trim() {
        "errno 1" => Err(io::Error::from_raw_os_error(1)),
        other => Err(io::Error::other(other.to_owned())),
    }
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "a map by its number",
        operation: Operation::Bpf,
        deed: |what| open(Numbered::Map, what),
        own: |things| things.map[0].to_string(),
        other: |things| things.map[1].to_string(),
        agent: true,
    },
    Case {
        name: "the tables by their number",
        operation: Operation::Bpf,
        deed: |what| open(Numbered::Map, what),
        own: |things| things.inner.to_string(),
        other: |things| things.map[1].to_string(),
        agent: true,
    },
    Case {
        name: "a program by its number",
        operation: Operation::Bpf,
        deed: |what| open(Numbered::Program, what),
        own: |things| things.code.to_string(),
        other: |_| NOBODY.to_owned(),
        agent: true,
    },
    Case {
        name: "a link by its number",
        operation: Operation::Bpf,
        deed: |what| open(Numbered::Link, what),
        own: |things| things.link.to_string(),
        other: |_| NOBODY.to_owned(),
        agent: true,
    },
    Case {
        name: "a map by its pin",
        operation: Operation::Bpf,
        deed: |path| deeds::open_pinned(path.as_ref()).map(drop),
        own: |_| pin("ids"),
        other: |_| "/sys/fs/bpf/other/map".to_owned(),
        agent: true,
    },
    Case {
        name: "removal of a pin",
        operation: Operation::Delete,
        deed: |path| fs::remove_file(path),
        own: |_| pin("ids"),
        other: |_| "/sys/fs/bpf/other/map".to_owned(),
        agent: false,
    },
    Case {
        name: "renaming the pins",
        operation: Operation::Rename,
        deed: |path| fs::rename(path, format!("{path}-away")),
        own: |_| PINS.to_owned(),
        other: |_| "/sys/fs/bpf/another".to_owned(),
        agent: false,
    },
    Case {
        name: "unmounting the pins",
        operation: Operation::Mount,
        deed: |path| Ok(umount2(path, MntFlags::MNT_DETACH)?),
        own: |_| "/sys/fs/bpf".to_owned(),
        other: |_| "/lab/other/mount".to_owned(),
        agent: false,
    },
    Case {
        name: "unmounting what is above the pins",
        operation: Operation::Mount,
        deed: |path| Ok(umount2(path, MntFlags::MNT_DETACH)?),
        own: |_| "/sys".to_owned(),
        other: |_| "/lab/other/again".to_owned(),
        agent: false,
    },
    Case {
        name: "mounting over the pins",
        operation: Operation::Mount,
        deed: |path| {
            let none: Option<&str> = None;
            Ok(mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), none)?)
        },
        own: |_| PINS.to_owned(),
        other: |_| "/lab/other".to_owned(),
        agent: false,
    },
    Case {
        name: "tracing",
        operation: Operation::Ptrace,
        deed: |pid| {
            let pid = process(pid)?;
            ptrace::seize(pid, ptrace::Options::empty())?;
            Ok(())
        },
        own: |things| things.agent.to_string(),
        other: |things| things.other.id().to_string(),
        agent: true,
    },
    Case {
        name: "its memory",
        operation: Operation::Ptrace,
        deed: |pid| File::open(format!("/proc/{pid}/mem")).map(drop),
        own: |things| things.agent.to_string(),
        other: |things| things.other.id().to_string(),
        agent: true,
    },
    Case {
        name: "a signal",
        operation: Operation::Signal,
        deed: |pid| Ok(kill(process(pid)?, Signal::SIGCONT)?),
        own: |things| things.agent.to_string(),
        other: |things| things.other.id().to_string(),
        agent: true,
    },
    Case {
        name: "running it under a tracer",
        operation: Operation::Ptrace,
        deed: become_agent,
        own: |things| things.program.to_owned(),
        other: |_| FREE.to_owned(),
        agent: false,
    },
    Case {
        name: "removing its program",
        operation: Operation::Delete,
        deed: |path| fs::remove_file(path),
        own: |things| things.program.to_owned(),
        other: |_| "/lab/bin/victim".to_owned(),
        agent: false,
    },
    Case {
        name: "renaming its program",
        operation: Operation::Rename,
        deed: |path| fs::rename(path, format!("{path}-away")),
        own: |things| things.program.to_owned(),
        other: |_| "/lab/bin/toucher".to_owned(),
        agent: false,
    },
    Case {
        name: "changing a file",
        operation: Operation::Write,
        deed: write,
        own: |_| format!("{FILES}/deep/f"),
        other: |_| format!("{OTHER}f"),
        agent: true,
    },
    Case {
        name: "truncating a file",
        operation: Operation::Write,
        deed: |path| Ok(nix::unistd::truncate(path, 1)?),
        own: |_| format!("{FILES}/deep/f"),
        other: |_| format!("{OTHER}f"),
        agent: true,
    },
    Case {
        name: "a new file",
        operation: Operation::Create,
        deed: |path| File::create(path).map(drop),
        own: |_| format!("{FILES}/new"),
        other: |_| format!("{OTHER}new"),
        agent: false,
    },
    Case {
        name: "removing a file",
        operation: Operation::Delete,
        deed: |path| fs::remove_file(path),
        own: |_| format!("{FILES}/deep/f"),
        other: |_| format!("{OTHER}f"),
        agent: false,
    },
    Case {
        name: "renaming what is above",
        operation: Operation::Rename,
        deed: |path| fs::rename(path, format!("{path}-away")),
        own: |_| "/lab/own".to_owned(),
        other: |_| format!("{OTHER}new"),
        agent: false,
    },
];

/// No program and no link of BPF has it.
const NOBODY: &str = "99999999";
