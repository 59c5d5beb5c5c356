//! `cargo xtask test`: all that this machine can check, in stages. What CI calls.
//!
//! A stage writes to `target/ci/STAGE.log`; the end of the log is shown when it fails, and the
//! next stage runs all the same. One that cannot run here says `SKIP name: reason`. The last line
//! counts cases, and is what machines read.

mod count;
mod stages;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::outcome::Outcome;
use crate::sh;

/// Lines of a failed stage's log that are shown.
const TAIL_LINES: usize = 60;
/// Bytes of the log that are read for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// What a stage came to.
#[derive(Debug)]
enum Verdict {
    /// It ran.
    Ran(Outcome),
    /// It cannot run here, and why.
    Skipped(String),
}

/// A stage by name.
type Stage = (&'static str, fn(&mut Log) -> Result<Verdict>);

/// Where a stage writes.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn create(stage: &str) -> Result<Log> {
        let dir = sh::target().join("ci");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{stage}.log"));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Log { path, file })
    }

    /// Runs a command into the log; tells whether it succeeded.
    fn run(&mut self, command: &mut Command) -> Result<bool> {
        writeln!(self.file, "$ {}", sh::show(command))?;
        command.stdin(Stdio::null());
        command.stdout(self.file.try_clone()?).stderr(self.file.try_clone()?);
        let status = command.status();
        let status = status.with_context(|| format!("cannot start {}", sh::show(command)))?;
        writeln!(self.file, "-> {status}")?;
        Ok(status.success())
    }

    /// Runs commands until one fails: one case.
    fn all(&mut self, commands: &mut [Command]) -> Result<Verdict> {
        for command in commands {
            if !self.run(command)? {
                return Ok(Verdict::Ran(Outcome::FAIL));
            }
        }
        Ok(Verdict::Ran(Outcome::PASS))
    }

    /// Adds a line.
    fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}").context("log")
    }

    /// All that was written so far.
    fn text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.path)?).into_owned())
    }

    fn tail(&self) -> Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        Ok(lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n"))
    }
}

/// `xtask test [STAGE…]`
pub(crate) fn command(wanted: &[String]) -> Result<ExitCode> {
    let known = |name: &String| stages::STAGES.iter().any(|(stage, _)| stage == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<&str> = stages::STAGES.iter().map(|(name, _)| *name).collect();
        bail!("no stage `{unknown}`; there are: {}", names.join(" "));
    }
    let start = Instant::now();
    let mut total = Outcome::default();
    for stage in stages::STAGES {
        if wanted.is_empty() || wanted.iter().any(|name| name == stage.0) {
            total += one(stage);
        }
    }
    println!("{:.0} s", start.elapsed().as_secs_f64());
    println!("{total}");
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs one stage and prints its line.
fn one((name, run): &Stage) -> Outcome {
    let start = Instant::now();
    let mut tail = None;
    let verdict = Log::create(name).and_then(|mut log| {
        let verdict = run(&mut log);
        tail = log.tail().ok();
        for line in count::skips(&log.text()?) {
            println!("{line}");
        }
        verdict
    });
    let seconds = start.elapsed().as_secs_f64();
    let outcome = match verdict {
        Ok(Verdict::Skipped(reason)) => {
            println!("SKIP {name}: {reason}");
            return Outcome::SKIP;
        }
        // A stage in which nothing ran has shown nothing.
        Ok(Verdict::Ran(outcome)) if outcome == Outcome::default() => {
            tail = Some("no case ran".into());
            Outcome::FAIL
        }
        Ok(Verdict::Ran(outcome)) => outcome,
        Err(error) => {
            tail = Some(format!("{}\n{error:#}", tail.unwrap_or_default()));
            Outcome::FAIL
        }
    };
    let word = if outcome.failed > 0 { "FAIL" } else { "ok" };
    println!("{word:<4} {name:<12} {seconds:>6.1} s   {outcome}");
    if outcome.failed > 0 {
        println!("--- end of target/ci/{name}.log");
        println!("{}\n---", tail.unwrap_or_default().trim_end());
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_fails_the_stage_and_its_words_are_in_the_tail() {
        let mut log = Log::create("self-test-tail").unwrap();
        let mut fail = sh::cmd("sh");
        fail.args(["-c", "seq 100; echo the reason; exit 4"]);
        let verdict = log.all(&mut [fail, sh::cmd("true")]).unwrap();
        assert!(matches!(verdict, Verdict::Ran(Outcome::FAIL)), "{verdict:?}");
        let tail = log.tail().unwrap();
        assert!(tail.contains("the reason\n-> exit status: 4"), "{tail}");
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(!log.text().unwrap().contains("$ true"), "commands after the failure do not run");
    }

    #[test]
    fn a_stage_without_a_case_fails() {
        let stage: Stage = ("self-test-empty", |_| Ok(Verdict::Ran(Outcome::default())));
        assert_eq!(one(&stage), Outcome::FAIL);
    }

    #[test]
    fn errors_count_as_failures_and_skips_as_skips() {
        assert_eq!(one(&("self-test-error", |_| bail!("broken"))), Outcome::FAIL);
        let skip: Stage = ("self-test-skip", |_| Ok(Verdict::Skipped("no such thing here".into())));
        assert_eq!(one(&skip), Outcome::SKIP);
    }
}
