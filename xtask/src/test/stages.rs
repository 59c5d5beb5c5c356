//! The stages, cheapest first.

use std::process::Command;

use anyhow::Result;

use super::calls::Watch;
use super::{Beside, Log, Stage, Verdict, count};
use crate::outcome::Outcome;
use crate::setup::{self, Need};
use crate::sh;

/// All stages, in the order in which they run.
pub(super) const STAGES: &[Stage] = &[
    ("setup", |log| packages(log, Need::Build)),
    ("tools", tools),
    ("fmt", |log| log.all(&mut [cargo(FMT)])),
    ("tidy", |log| log.all(&mut [xtask(&["tidy"])?])),
    ("clippy", |log| log.all(&mut [cargo(CLIPPY)])),
    ("build", |log| log.all(&mut [sh::build_command()])),
    ("c-format", c_format),
    ("codegen", codegen),
    ("unit", unit),
    ("root", root),
    ("fuzz", |log| ours(log, &["fuzz", "--smoke"])),
    ("host", host),
    ("docs", docs),
    ("doc-tests", |log| harness(log, &mut cargo(&["test", "--workspace", "--doc"]))),
    ("rustdoc", rustdoc),
    ("rules", rules),
    ("packaging", super::packaging::stage),
    ("bench", |log| ours(log, &["bench", "--smoke"])),
    ("soak", |log| ours(log, &["soak", "--short", "--built"])),
    ("guests", |log| ours(log, &["guests"])),
];

/// Stages that leave alone what others need: fetching waits for the network while the compiler computes, and
/// what computes takes what tests leave that wait for the kernel. But no more of it than that: guests, or a build of
/// all, make those wait longer than it saves.
pub(super) const BESIDE: &[Beside] = &[
    Beside { stage: "tools", from: "fmt", until: "build", behind: false },
    Beside { stage: "fuzz", from: "root", until: "root", behind: true },
    Beside { stage: "doc-tests", from: "docs", until: "packaging", behind: true },
    Beside { stage: "rustdoc", from: "docs", until: "packaging", behind: true },
];

const FMT: &[&str] = &["fmt", "--all", "--check", "--", "--color", "never"];
const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];

/// Tests that act on the kernel of this host: those under `tests/` of the crates that touch it.
const ON_HOST: &str = "kind(test) & (package(kernel) | package(agent))";

pub(super) fn cargo(args: &[&str]) -> Command {
    let mut command = sh::cargo();
    command.args(args);
    command
}

/// This program again: its output goes to the log, and it cannot take the other stages with it.
pub(super) fn xtask(args: &[&str]) -> Result<Command> {
    let mut command = sh::cmd(std::env::current_exe()?);
    command.args(args);
    Ok(command)
}

/// What stages need: `setup` installs what the compiler does, before it.
fn packages(log: &mut Log, need: Need) -> Result<Verdict> {
    let missing = setup::missing(need);
    let tools = if need == Need::Build { Vec::new() } else { setup::missing_tools() };
    if missing.is_empty() && tools.is_empty() {
        log.line("nothing is missing")?;
        return Ok(Verdict::Ran(Outcome::PASS));
    }
    if !missing.is_empty() {
        println!("missing Debian packages:\n{}", setup::table(&missing));
    }
    let arguments: &[&str] = if need == Need::Build { &["setup", "--build"] } else { &["setup"] };
    if log.run(&mut xtask(arguments)?)? {
        return Ok(Verdict::Ran(Outcome::PASS));
    }
    let mut names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    names.extend(tools.iter().map(|tool| tool.name));
    let stage = if need == Need::Build { "setup" } else { "tools" };
    Ok(Verdict::Skipped(format!("cannot install {} (target/ci/{stage}.log)", names.join(" "))))
}

/// The rest, and what guests boot.
fn tools(log: &mut Log) -> Result<Verdict> {
    let verdict = packages(log, Need::Test)?;
    // Without them the stage `guests` says what is missing.
    log.run(&mut xtask(&["guests", "--fetch"])?)?;
    Ok(verdict)
}

/// Skips unless the programs are there.
fn needs(programs: &[&str]) -> Option<Verdict> {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|program| sh::find(program).is_none()).collect();
    (!missing.is_empty()).then(|| Verdict::Skipped(format!("no {}", missing.join(", no "))))
}

fn c_format(log: &mut Log) -> Result<Verdict> {
    if let Some(skip) = needs(&["clang-format-19"]) {
        return Ok(skip);
    }
    let files = sh::capture(sh::cmd("git").args(["ls-files", "*.c", "*.h", ":!*vmlinux.h"]))?;
    let mut command = sh::cmd("clang-format-19");
    command.args(["--dry-run", "--Werror"]).args(files.lines());
    log.all(&mut [command])
}

fn codegen(log: &mut Log) -> Result<Verdict> {
    match needs(&["clang-19", "bpftool", "rustfmt"]) {
        Some(skip) => Ok(skip),
        None => log.all(&mut [xtask(&["codegen", "--check"])?]),
    }
}

fn rustdoc(log: &mut Log) -> Result<Verdict> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    log.all(&mut [command])
}

fn unit(log: &mut Log) -> Result<Verdict> {
    if has_nextest() {
        return harness(log, nextest(&mut sh::cargo(), &format!("not ({ON_HOST})")));
    }
    let others = ["test", "--workspace", "--exclude", "kernel", "--exclude", "agent", "--tests"];
    let inside = ["test", "--package", "kernel", "--package", "agent", "--lib", "--bins"];
    let first = log.run(&mut cargo(&others))?;
    let second = log.run(&mut cargo(&inside))?;
    settle(log, first && second)
}

fn root(log: &mut Log) -> Result<Verdict> {
    let Some(prefix) = sh::root_prefix() else {
        return Ok(Verdict::Skipped("needs root, or sudo without a password".into()));
    };
    let mut command = if has_nextest() {
        let mut command = sh::cargo();
        nextest(&mut command, ON_HOST);
        command
    } else {
        let tests = ["test", "--package", "kernel", "--package", "agent", "--test", "*"];
        let mut command = cargo(&tests);
        command.args(["--no-fail-fast", "--", "--test-threads=1", "--show-output"]);
        command
    };
    if !prefix.is_empty() {
        // Built as the user, run as root.
        let runner = format!("{} -E", prefix.join(" "));
        command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    }
    let watch = Watch::start(log)?;
    let Verdict::Ran(mut outcome) = harness(log, &mut command)? else {
        return Ok(Verdict::Ran(Outcome::FAIL));
    };
    outcome += match watch {
        Some(watch) => watch.judge(log)?,
        None => Outcome::SKIP,
    };
    Ok(Verdict::Ran(outcome))
}

fn has_nextest() -> bool {
    cargo(&["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}

fn nextest<'a>(command: &'a mut Command, filter: &str) -> &'a mut Command {
    command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--color", "never"]);
    // The output of passing tests too: they say there what they skipped.
    command.args(["--success-output", "final", "--failure-output", "final", "-E", filter])
}

/// Runs a test runner and counts its cases.
fn harness(log: &mut Log, command: &mut Command) -> Result<Verdict> {
    let success = log.run(command)?;
    settle(log, success)
}

/// Counts the cases in the log. A runner that fails without a failed case could not even start.
fn settle(log: &Log, success: bool) -> Result<Verdict> {
    let mut outcome = count::cases(&log.text()?);
    if !success && outcome.failed == 0 {
        outcome.failed = 1;
    }
    Ok(Verdict::Ran(outcome))
}

/// Runs one of our own commands, which ends with its counts.
fn ours(log: &mut Log, args: &[&str]) -> Result<Verdict> {
    let success = log.run(&mut xtask(args)?)?;
    closing(log, success)
}

fn closing(log: &Log, success: bool) -> Result<Verdict> {
    let mut outcome = count::closing(&log.text()?).unwrap_or_default();
    if !success && outcome.failed == 0 {
        outcome.failed = 1;
    }
    Ok(Verdict::Ran(outcome))
}

/// Provokes on this host what `doctor` says that the agent sees here, and what the shipped rules
/// forbid; and tries to get around policies.
fn host(log: &mut Log) -> Result<Verdict> {
    if sh::root_prefix().is_none() {
        return Ok(Verdict::Skipped("needs root, or sudo without a password".into()));
    }
    if let Some(skip) = needs(&["busybox"]) {
        return Ok(skip);
    }
    let provoke = |what: &str| -> Result<Command> {
        let mut command = sh::as_root(sh::release("provoke"))?;
        command.args([what, "--agent"]).arg(sh::release("aegisbpf"));
        Ok(command)
    };
    let shipped = sh::rules_of_root(&sh::at("rules"))?;
    let operations = log.run(&mut provoke("host")?)?;
    let rules = log.run(provoke("rules")?.arg("--rules").arg(shipped))?;
    let mut evade = sh::as_root(sh::release("evade"))?;
    let tricks = log.run(evade.args(["host", "--agent"]).arg(sh::release("aegisbpf")))?;
    let success = operations && rules && tricks;
    let text = log.text()?;
    for absent in text.lines().filter_map(|line| line.strip_prefix("ABSENT ")) {
        println!("SKIP host/{absent}");
    }
    let mut outcome = count::provoked(&text).unwrap_or_default();
    if !success && outcome.failed == 0 {
        outcome.failed = 1;
    }
    Ok(Verdict::Ran(outcome))
}

/// Runs what the pages for people show. What is not run stands in the log with its reason.
fn docs(log: &mut Log) -> Result<Verdict> {
    if sh::root_prefix().is_none() {
        return Ok(Verdict::Skipped("needs root, or sudo without a password".into()));
    }
    let verdict = ours(log, &["docs"])?;
    if let Some(counts) = log.text()?.lines().find(|line| line.contains(" blocks run, ")) {
        println!("docs: {counts} (target/ci/docs.log)");
    }
    Ok(verdict)
}

fn rules(log: &mut Log) -> Result<Verdict> {
    let kestrel = |verb| {
        let mut command = sh::cmd(sh::release("kestrel"));
        command.args([verb, "rules"]);
        command
    };
    let checked = log.run(&mut kestrel("check"))?;
    let tested = log.run(&mut kestrel("test"))?;
    let mut outcome = if checked { Outcome::PASS } else { Outcome::FAIL };
    // A run without a count tested nothing.
    let cases = count::rule_tests(&log.text()?).unwrap_or(Outcome::FAIL);
    outcome += if !tested && cases.failed == 0 { Outcome::FAIL } else { cases };
    Ok(Verdict::Ran(outcome))
}
