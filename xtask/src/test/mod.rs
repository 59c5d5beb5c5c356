//! `cargo xtask test`: all that this machine can check, in stages. What CI calls.
//!
//! A stage writes to `target/ci/STAGE.log`. When it fails, every line that names a failure and then
//! the end of the log are shown, and the next stage runs all the same. One that cannot run here says `SKIP name: reason`. The last line
//! counts cases, and is what machines read.

mod calls;
mod count;
mod packaging;
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
/// Lines that name a failure and are shown: more than these are one fault with many effects.
const FAILURES_MAX: usize = 200;

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
        let lines: Vec<&str> = text.lines().filter(|line| !count::is_progress(line)).collect();
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
    let wanted = |stage: &&Stage| wanted.is_empty() || wanted.iter().any(|name| name == stage.0);
    let stages: Vec<&Stage> = stages::STAGES.iter().filter(wanted).collect();
    let beside = stages.iter().any(|stage| stage.0 == stages::WAITING);
    let (later, now): (Vec<&Stage>, Vec<&Stage>) =
        stages.into_iter().partition(|stage| beside && stage.0 == stages::BESIDE);
    let mut total = Outcome::default();
    for stage in now {
        let others = if stage.0 == stages::WAITING { &later[..] } else { &[] };
        total += side_by_side(stage, others)?;
    }
    println!("{:.0} s", start.elapsed().as_secs_f64());
    println!("{total}");
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs a stage and others beside it; what those say comes after it.
fn side_by_side(stage: &Stage, others: &[&Stage]) -> Result<Outcome> {
    std::thread::scope(|scope| {
        let beside = |other: &&Stage| {
            let mut said = Vec::new();
            one(other, &mut said).map(|outcome| (outcome, said))
        };
        let others: Vec<_> =
            others.iter().map(|other| scope.spawn(move || beside(other))).collect();
        let mut total = one(stage, &mut std::io::stdout())?;
        for other in others {
            let died = |_| anyhow::anyhow!("a stage beside {} died", stage.0);
            let (outcome, said) = other.join().map_err(died)??;
            std::io::stdout().write_all(&said)?;
            total += outcome;
        }
        Ok(total)
    })
}

/// Runs one stage and writes its line, and what is to be known of its failures.
fn one((name, run): &Stage, out: &mut dyn Write) -> Result<Outcome> {
    let start = Instant::now();
    let (mut tail, mut text) = (None, String::new());
    let verdict = Log::create(name).and_then(|mut log| {
        let verdict = run(&mut log);
        tail = log.tail().ok();
        text = log.text()?;
        verdict
    });
    for line in count::skips(&text) {
        writeln!(out, "{line}")?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let outcome = match verdict {
        Ok(Verdict::Skipped(reason)) => {
            writeln!(out, "SKIP {name}: {reason}")?;
            return Ok(Outcome::SKIP);
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
    writeln!(out, "{word:<4} {name:<12} {seconds:>6.1} s   {outcome}")?;
    if outcome.failed > 0 {
        let failures = count::failures(&text);
        writeln!(out, "--- what failed, of target/ci/{name}.log")?;
        for line in failures.iter().take(FAILURES_MAX) {
            writeln!(out, "{line}")?;
        }
        if let Some(more) = failures.len().checked_sub(FAILURES_MAX).filter(|more| *more > 0) {
            writeln!(out, "and {more} more")?;
        }
        writeln!(out, "--- its end\n{}\n---", tail.unwrap_or_default().trim_end())?;
    }
    Ok(outcome)
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

    /// What a stage came to and what it said. Not printed: the log of these tests is read too.
    fn ran(stage: &Stage) -> (Outcome, String) {
        let mut out = Vec::new();
        let outcome = one(stage, &mut out).unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_stage_without_a_case_fails() {
        let stage: Stage = ("self-test-empty", |_| Ok(Verdict::Ran(Outcome::default())));
        let (outcome, said) = ran(&stage);
        assert_eq!(outcome, Outcome::FAIL);
        assert!(said.contains("no case ran"), "{said}");
    }

    #[test]
    fn errors_count_as_failures_and_skips_as_skips() {
        let (outcome, said) = ran(&("self-test-error", |_| bail!("broken")));
        assert_eq!(outcome, Outcome::FAIL);
        assert!(said.contains("broken"), "{said}");
        let skip: Stage = ("self-test-skip", |_| Ok(Verdict::Skipped("no such thing here".into())));
        let (outcome, said) = ran(&skip);
        assert_eq!(
            (outcome, said.as_str()),
            (Outcome::SKIP, "SKIP self-test-skip: no such thing here\n")
        );
    }

    #[test]
    fn what_failed_is_told_in_full_however_long_the_log_goes_on() {
        let stage: Stage = ("self-test-names", |log| {
            log.line(&format!("FAIL exec/program: {} the reason", "x".repeat(20_000)))?;
            log.line("    SKIP host/io_uring: not here")?;
            for number in 0..TAIL_LINES * 2 {
                log.line(&format!("ok case {number}"))?;
            }
            Ok(Verdict::Ran(Outcome::FAIL))
        });
        let (outcome, said) = ran(&stage);
        assert_eq!(outcome, Outcome::FAIL);
        assert!(said.starts_with("SKIP host/io_uring: not here\nFAIL self-test-names"), "{said}");
        assert!(said.contains("xx the reason\n--- its end\n"), "{said}");
        assert!(said.contains("ok case 119\n---"), "{said}");
    }
}
