//! `evade own`: strangers meddle with what belongs to the agent.
//!
//! This process is the agent: it loads the programs, and its program is what the agent's processes run.
//! Each deed is done three times: by a stranger to what is the agent's, which must be refused and told;
//! by the stranger to something of the same kind that is not, and by another process of the agent to
//! what is its own, which must both succeed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kernel::deeds_act::{self as deeds, Numbered};
use kernel::enforce::{PINS, Protection};
use model::policy::Operation;
use model::wire::RecDenial;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use zerocopy::FromBytes;

use crate::lab::{self, FREE, Lab};

/// Files of the agent.
const FILES: &str = "/lab/own/files";
/// Files of nobody in particular.
const OTHER: &str = "/lab/other";
/// In records: no policy says so.
const WHY_SELF: u16 = 5;
const PATIENCE: Duration = Duration::from_secs(10);

/// One deed.
struct Case {
    name: &'static str,
    /// What is told.
    operation: Operation,
    deed: fn(&str) -> io::Result<()>,
    /// What belongs to the agent, and what does not.
    own: fn(&Things) -> String,
    other: fn(&Things) -> String,
    /// Whether the agent may do it to itself without an end to the test.
    agent: bool,
}

/// What is done something to.
struct Things {
    map: [u32; 2],
    inner: u32,
    program: u32,
    link: u32,
    agent: u32,
    other: Child,
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

const CASES: &[Case] = &[
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
        own: |things| things.program.to_string(),
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
        own: |_| "/bin/evade".to_owned(),
        other: |_| FREE.to_owned(),
        agent: false,
    },
    Case {
        name: "removing its program",
        operation: Operation::Delete,
        deed: |path| fs::remove_file(path),
        own: |_| "/bin/evade".to_owned(),
        other: |_| "/lab/bin/victim".to_owned(),
        agent: false,
    },
    Case {
        name: "renaming its program",
        operation: Operation::Rename,
        deed: |path| fs::rename(path, format!("{path}-away")),
        own: |_| "/bin/evade".to_owned(),
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

fn pin(name: &str) -> String {
    format!("{PINS}/{name}")
}

/// `evade meddle NAME THING`: what a process says that did it.
pub(crate) fn meddle(words: &[&str]) -> ExitCode {
    let [name, thing] = words else { return ExitCode::from(2) };
    let done = match CASES.iter().find(|case| case.name == *name) {
        Some(case) => (case.deed)(thing),
        None if *name == "exec" => {
            let traced = ptrace::traceme().map_err(io::Error::from);
            let failed = || Err(Command::new(thing).args(["meddle", "nothing", "-"]).exec());
            traced.and_then(|()| failed())
        }
        // A map of somebody else's.
        None if *name == "make" => made(thing),
        None => Ok(()),
    };
    match done {
        Ok(()) if *name == "make" => {}
        Ok(()) => println!("ok"),
        Err(error) => match error.raw_os_error() {
            Some(errno) => println!("errno {errno}"),
            None => println!("{error}"),
        },
    }
    ExitCode::SUCCESS
}

fn made(path: &str) -> io::Result<()> {
    let map = deeds::make_map()?;
    deeds::pin(&map, path.as_ref())?;
    let number = told(&map, "map_id:").map_err(io::Error::other)?;
    println!("{number}");
    Ok(())
}

/// Numbers that `/proc` tells of a descriptor.
fn told(file: &impl AsRawFd, word: &str) -> Result<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let line = info.lines().find_map(|line| line.strip_prefix(word));
    Ok(line.with_context(|| format!("no {word}"))?.trim().parse()?)
}

fn things() -> Result<Things> {
    let ids = deeds::open_pinned(Path::new(&pin("ids")))?;
    let epoch = deeds::open_pinned(Path::new(&pin("epoch")))?;
    let links = fs::read_dir(PINS)?.filter_map(|one| Some(one.ok()?.path()));
    let links = links.into_iter().find(|path| path.is_dir()).context("no links")?;
    let link = deeds::open_pinned(&links.join("enforce_open"))?;
    for directory in ["/sys/fs/bpf/other", "/sys/fs/bpf/another"] {
        fs::create_dir_all(directory)?;
    }
    let (_, number) = lab::outcome(
        Command::new(FREE)
            .args(["meddle", "make", "/sys/fs/bpf/other/map"])
            .stdout(Stdio::piped())
            .spawn()?,
    )?;
    let mut other = Command::new(FREE);
    other.args(["wait"]).stdin(Stdio::piped()).stdout(Stdio::null());
    Ok(Things {
        map: [told(&ids, "map_id:")?, number.parse()?],
        inner: deeds::read_number(&epoch)?,
        program: told(&link, "prog_id:")?,
        link: told(&link, "link_id:")?,
        agent: std::process::id(),
        other: other.spawn()?,
    })
}

fn furnish() -> Result<()> {
    lab::furnish(&[])?;
    for directory in [
        format!("{FILES}/deep"),
        OTHER.to_owned(),
        "/lab/other/mount".into(),
        "/lab/other/again".into(),
    ] {
        fs::create_dir_all(directory)?;
    }
    for file in [format!("{FILES}/deep/f"), format!("{OTHER}f")] {
        fs::write(file, "text\n")?;
    }
    let none: Option<&str> = None;
    for place in ["/lab/other/mount", "/lab/other/again"] {
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none)?;
    }
    Ok(())
}

fn meddles(program: &str, case: &Case, thing: &str) -> Result<(u32, String)> {
    let mut command = Command::new(program);
    command.args(["meddle", case.name, thing]).stdin(Stdio::null()).stdout(Stdio::piped());
    lab::outcome(command.spawn()?)
}

/// Waits for a record of the agent's own protection by such a process.
fn is_told(lab: &Lab, pid: u32, operation: Operation, flags: u16) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let mut denials = lab.enforcer.denials()?;
    while Instant::now() < deadline {
        for bytes in denials.next(Duration::from_millis(50))? {
            let record = RecDenial::read_from_prefix(&bytes).ok().context("a short record")?.0;
            if record.why == WHY_SELF
                && record.h.pid >= pid
                && record.flags == flags
                && record.operation == operation as u16
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn one(lab: &Lab, things: &Things, case: &Case) -> Result<String> {
    let (pid, said) = meddles(FREE, case, &(case.own)(things))?;
    // Opening memory fails with an error of its own.
    ensure!(["errno 1", "errno 13"].contains(&said.as_str()), "a stranger came to {said}");
    ensure!(is_told(lab, pid, case.operation, 0)?, "it was not told");
    let (_, said) = meddles(FREE, case, &(case.other)(things))?;
    ensure!(said == "ok", "the control came to {said}");
    if case.agent {
        let (_, said) = meddles("/proc/self/exe", case, &(case.own)(things))?;
        ensure!(said == "ok", "a process of the agent came to {said}");
    }
    Ok("refused and told".to_owned())
}

/// Without being switched on, the same is told and goes through.
fn reported(lab: &Lab, things: &Things) -> Result<String> {
    lab.enforcer.protect(&[PathBuf::from(FILES)], Protection::Report)?;
    for case in CASES.iter().filter(|case| case.agent) {
        let (pid, said) = meddles(FREE, case, &(case.own)(things))?;
        ensure!(said == "ok", "{}: a stranger came to {said}", case.name);
        ensure!(is_told(lab, pid, case.operation, 1)?, "{}: it was not told", case.name);
    }
    Ok("told, and not refused".to_owned())
}

/// `evade own`
pub(crate) fn command() -> Result<bool> {
    furnish()?;
    let lab = Lab::open()?;
    lab.enforcer.protect(&[PathBuf::from(FILES)], Protection::Deny)?;
    for (program, reason) in lab.enforcer.missing() {
        println!("MISSING {program}: {reason}");
    }
    // The tables were put in force before: put in force again, they are the agent's by that.
    let mut lab = lab;
    lab::apply(&mut lab.enforcer, &lab.compiled, &lab.tables)?;
    let mut things = things()?;
    let mut failed = 0;
    let mut tell = |name: &str, result: Result<String>| match result {
        Ok(said) => println!("ok   own/{name}  {said}"),
        Err(error) => {
            failed += 1;
            println!("FAIL own/{name}: {error:#}");
        }
    };
    for case in CASES {
        tell(case.name, one(&lab, &things, case));
    }
    tell("reported without", reported(&lab, &things));
    things.other.kill()?;
    things.other.wait()?;
    println!("{:?}", lab.enforcer.counters()?);
    tell(
        "the end by the agent",
        lab.enforcer.release().map(|()| "released".to_owned()).map_err(Into::into),
    );
    ensure!(!Path::new(PINS).exists(), "pins are left");
    println!(
        "RESULT {} {} deeds, {failed} failed",
        if failed == 0 { "ok" } else { "FAIL" },
        CASES.len()
    );
    Ok(failed == 0)
}
