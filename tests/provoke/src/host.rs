//! `provoke host`: sets the lab up, runs the cases, says what came of them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use model::op::Kind;

use crate::agent::{Agent, Doctor, write_rules};
use crate::cases;
use crate::lab::{Actor, ContainerCgroup, Lab};
use crate::promise;

/// What was asked for on the command line.
#[derive(Debug, Default)]
struct Options {
    agent: PathBuf,
    runtime: Option<PathBuf>,
    only: Vec<String>,
    module: Option<PathBuf>,
    tier: Option<String>,
    require: Vec<String>,
}

impl Options {
    fn parse(args: &[OsString]) -> Result<Options> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let value = args.next().with_context(|| format!("{} needs a value", name.display()))?;
            let text =
                value.to_str().with_context(|| format!("{} is not UTF-8", value.display()))?;
            let words = || text.split(',').map(str::to_owned).collect();
            match name.to_str() {
                Some("--agent") => options.agent = fs::canonicalize(value).context("--agent")?,
                Some("--runtime-dir") => options.runtime = Some(PathBuf::from(value)),
                Some("--only") => options.only = words(),
                Some("--module") => options.module = Some(PathBuf::from(value)),
                Some("--tier") => options.tier = Some(text.to_owned()),
                Some("--require") => options.require = words(),
                _ => bail!("unknown option {}", name.display()),
            }
        }
        if options.agent.as_os_str().is_empty() {
            bail!("--agent PATH is needed");
        }
        let known = |name: &String| name == "all" || Kind::ALL.iter().any(|k| k.name() == name);
        match options.only.iter().chain(&options.require).find(|name| !known(name)) {
            Some(name) => bail!("no operation is called `{name}`"),
            None => Ok(options),
        }
    }
}

/// What the cases came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
    absent: u32,
}

impl Tally {
    /// Prints the result of one case: the reasons why it failed, none if it passed.
    pub(crate) fn case(&mut self, name: &str, failures: &[String]) {
        if failures.is_empty() {
            self.passed += 1;
            println!("ok {name}");
        } else {
            self.failed += 1;
            println!("FAIL {name}: {}", failures.join("; "));
        }
    }

    /// Whether a case failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// Prints the result of all; false when a case failed.
    pub(crate) fn close(&self) -> bool {
        let Tally { passed, failed, absent } = self;
        let word = if *failed == 0 { "ok" } else { "fail" };
        println!("RESULT {word} {passed} passed, {failed} failed, {absent} absent");
        *failed == 0
    }

    /// Prints that an operation cannot be seen, or not be provoked, here.
    pub(crate) fn absent(&mut self, name: &str, reason: &str) {
        self.absent += 1;
        println!("ABSENT {name}: {reason}");
    }
}

/// Runs `provoke host`; false when a case failed.
pub(crate) fn command(args: &[OsString]) -> Result<bool> {
    let options = Options::parse(args)?;
    let mut tally = Tally::default();
    if let Err(error) = all(&options, &mut tally) {
        tally.case("setup", &[format!("{error:#}")]);
    }
    Ok(tally.close())
}

fn all(options: &Options, tally: &mut Tally) -> Result<()> {
    let doctor = Doctor::ask(&options.agent)?;
    println!("TIER {}", doctor.tier);
    promised(options, &doctor, tally);
    let directory = std::env::temp_dir().join(format!("provoke-{}", std::process::id()));
    let result = in_directory(options, doctor, &directory, tally);
    fs::remove_dir_all(&directory).context("removing the scratch directory")?;
    result
}

/// Compares the doctor's report with what this kernel is known to offer.
fn promised(options: &Options, doctor: &Doctor, tally: &mut Tally) {
    if let Some(tier) = &options.tier {
        let differs =
            (*tier != doctor.tier).then(|| format!("expected {tier}, got {}", doctor.tier));
        tally.case("tier", &Vec::from_iter(differs));
    }
    let all = options.require.iter().any(|name| name == "all");
    let required = |kind: &Kind| all || options.require.iter().any(|name| name == kind.name());
    for kind in Kind::ALL.iter().copied().filter(|k| *k != Kind::Task).filter(required) {
        let failure = promise::broken(doctor, kind, options.tier.as_deref());
        tally.case(&format!("doctor/{}", kind.name()), &Vec::from_iter(failure));
    }
}

fn in_directory(
    options: &Options,
    doctor: Doctor,
    directory: &Path,
    tally: &mut Tally,
) -> Result<()> {
    let scratch = directory.join("scratch");
    for name in ["watched", "tree/below"] {
        fs::create_dir_all(scratch.join(name)).context("creating the scratch directory")?;
    }
    // The setuid case is run by another user, who has to get here.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory, open).context("opening the scratch directory")?;
    for name in ["watched/open", "watched/write", "tree/below/file"] {
        fs::write(scratch.join(name), "provoke\n").context("writing a watched file")?;
    }
    let rules = write_rules(directory, &scratch)?;
    let runtime = options.runtime.clone().unwrap_or_else(|| directory.join("run"));
    let exe = std::env::current_exe().context("own path")?.display().to_string();
    let mut veteran = Actor::start(&exe, &scratch, &["veteran"])?;
    veteran.go_on()?;
    veteran.fact("child")?;
    let seen: Vec<&str> =
        doctor.operations.iter().filter(|(_, row)| row.seen()).map(|(k, _)| k.name()).collect();
    let agent = Agent::start(&options.agent, &runtime, &rules, (&seen.join(","), &exe))?;
    let busybox = busybox()?;
    let module = options.module.clone();
    let cgroup = ContainerCgroup::find();
    let mut lab = Lab { scratch, exe, busybox, module, agent, doctor, cgroup, veteran };
    settle(&lab)?;
    let wanted =
        |kind: Kind| options.only.is_empty() || options.only.iter().any(|name| name == kind.name());
    cases::run(&mut lab, &wanted, tally);
    let lost = lab.agent.events.lost();
    let lost = (lost > 0).then(|| format!("expected no event to be lost, the client lost {lost}"));
    tally.case("agent/client keeps up", &Vec::from_iter(lost));
    if tally.has_failed() {
        println!("STATUS {}", lab.agent.status()?);
    }
    let ended =
        (!lab.agent.alive()).then(|| "expected agent and client to run, got an end".to_owned());
    tally.case("agent/alive", &Vec::from_iter(ended));
    Ok(())
}

/// Waits until the client gets events: the subscription takes effect after the client started.
fn settle(lab: &Lab) -> Result<()> {
    for _ in 0..30 {
        let done = lab.act(&["noop"])?;
        let arrived = lab.agent.events.wait(Duration::from_secs(1), |event| {
            event.text("process.pid") == Some(done.pid.to_string())
        });
        if arrived.is_some() {
            std::thread::sleep(Duration::from_secs(1));
            return Ok(());
        }
    }
    bail!("no event of any kind arrived at the client")
}

/// The busybox of this machine.
fn busybox() -> Result<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox"];
    let found = places.iter().map(PathBuf::from).find(|path| path.is_file());
    let found = found.context("busybox is needed (package busybox-static)")?;
    fs::canonicalize(found).context("busybox")
}
