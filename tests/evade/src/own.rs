//! `evade own`: strangers meddle with what belongs to the agent.
//!
//! This process is the agent: it loads the programs, and its program is what the agent's processes run.
//! Each deed is done three times: by a stranger to what is the agent's, which must be refused and told;
//! by the stranger to something of the same kind that is not, and by another process of the agent to
//! what is its own, which must both succeed.

mod deeds;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kernel::deeds_act;
use kernel::enforce::{PINS, Protection, sets};
use model::policy::Operation;
use model::wire::RecDenial;
use nix::mount::{MsFlags, mount};
use nix::sys::ptrace;
use zerocopy::FromBytes;

use crate::lab::{self, FREE, Lab};
pub(crate) use deeds::{CASES, Case};

/// Files of the agent.
pub(crate) const FILES: &str = "/lab/own/files";
/// Files of nobody in particular.
const OTHER: &str = "/lab/other";
/// In records: no policy says so.
const WHY_SELF: u16 = 5;
/// The case that denies nothing.
const REPORTED: &str = "reported without";
/// Of the map of tables.
const SLOTS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done something to.
pub(crate) struct Things {
    map: [u32; 2],
    /// The map of all tables, open since before anybody was kept from it.
    generations: OwnedFd,
    inner: u32,
    code: u32,
    link: u32,
    /// The agent's executable, and its process.
    program: &'static str,
    agent: u32,
    other: Child,
}

impl Drop for Things {
    fn drop(&mut self) {
        if let Err(error) = self.other.kill().and_then(|()| self.other.wait()) {
            eprintln!("a process could not be ended: {error}");
        }
    }
}

/// The directory of the maps, of which there is one.
fn maps() -> PathBuf {
    sets(Path::new(PINS)).ok().and_then(|mut sets| sets.pop()).unwrap_or_default()
}

fn pin(name: &str) -> String {
    maps().join(name).display().to_string()
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
    let map = deeds_act::make_map()?;
    deeds_act::pin(&map, path.as_ref())?;
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

/// What belongs to an agent that loaded its programs, and what does not. Nobody may be kept from it yet.
pub(crate) fn things(program: &'static str, agent: u32) -> Result<Things> {
    let ids = deeds_act::open_pinned(Path::new(&pin("ids")))?;
    let generations = deeds_act::open_pinned(Path::new(&pin("generations")))?;
    let inner = inner(&generations)?;
    let links = fs::read_dir(maps())?.filter_map(|one| Some(one.ok()?.path()));
    let links = links.into_iter().find(|path| path.is_dir()).context("no links")?;
    let link = deeds_act::open_pinned(&links.join("enforce_open"))?;
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
        inner,
        generations,
        code: told(&link, "prog_id:")?,
        link: told(&link, "link_id:")?,
        program,
        agent,
        other: other.spawn()?,
    })
}

/// The number of the tables that are in force.
fn inner(generations: &OwnedFd) -> Result<u32> {
    let tables = (0..SLOTS).find_map(|slot| deeds_act::read_number(generations, slot).ok());
    tables.context("there are no tables")
}

impl Things {
    /// Another agent took over, which made tables of its own.
    pub(crate) fn follow(&mut self, agent: u32) -> Result<()> {
        self.agent = agent;
        self.inner = inner(&self.generations)?;
        Ok(())
    }
}

/// Makes the files.
pub(crate) fn furnish() -> Result<()> {
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

/// A stranger does it to what is the agent's; its process, and what it came to.
pub(crate) fn tampers(case: &Case, things: &Things) -> Result<(u32, String)> {
    meddles(FREE, case, &(case.own)(things))
}

/// Whether that is how it comes to nothing. Opening memory fails with an error of its own.
pub(crate) fn is_refused(said: &str) -> bool {
    ["errno 1", "errno 13"].contains(&said)
}

/// A stranger may do it to what is not the agent's.
pub(crate) fn control(case: &Case, things: &Things) -> Result<()> {
    let (_, said) = meddles(FREE, case, &(case.other)(things))?;
    ensure!(said == "ok", "the control came to {said}");
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
    let (pid, said) = tampers(case, things)?;
    ensure!(is_refused(&said), "a stranger came to {said}");
    ensure!(is_told(lab, pid, case.operation, 0)?, "it was not told");
    control(case, things)?;
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
        let (pid, said) = tampers(case, things)?;
        ensure!(said == "ok", "{}: a stranger came to {said}", case.name);
        ensure!(is_told(lab, pid, case.operation, 1)?, "{}: it was not told", case.name);
    }
    Ok("told, and not refused".to_owned())
}

/// The names of all that is told.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name).chain([REPORTED])
}

/// `evade own`
pub(crate) fn command() -> Result<bool> {
    lab::furnish(&[])?;
    furnish()?;
    let lab = Lab::open()?;
    lab.enforcer.protect(&[PathBuf::from(FILES)], Protection::Deny)?;
    for (program, reason) in lab.enforcer.missing() {
        println!("MISSING {program}: {reason}");
    }
    // The tables were put in force before: put in force again, they are the agent's by that.
    let mut lab = lab;
    lab::apply(&mut lab.enforcer, &lab.compiled, &lab.tables)?;
    let things = things("/bin/evade", std::process::id())?;
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
    tell(REPORTED, reported(&lab, &things));
    drop(things);
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
