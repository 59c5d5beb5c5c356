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
    /// What it runs takes only what others leave.
    behind: bool,
}

impl Log {
    fn create(stage: &str, behind: bool) -> Result<Log> {
        let dir = sh::target().join("ci");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{stage}.log"));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Log { path, file, behind })
    }

    /// Runs a command into the log; tells whether it succeeded.
    fn run(&mut self, command: &mut Command) -> Result<bool> {
        let mut last;
        let command = if self.behind {
            last = behind(command);
            &mut last
        } else {
            command
        };
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

/// The same command behind all others: tests that run at the same time measure times.
fn behind(command: &Command) -> Command {
    let mut last = sh::cmd("nice");
    last.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => last.env(name, value),
            None => last.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        last.current_dir(directory);
    }
    last
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
    let total = in_order(&stages, stages::BESIDE, &mut std::io::stdout())?;
    println!("{:.0} s", start.elapsed().as_secs_f64());
    println!("{total}");
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A stage that runs beside others: from the beginning of one to the end of another.
#[derive(Debug, Clone, Copy)]
struct Beside {
    stage: &'static str,
    from: &'static str,
    until: &'static str,
    /// It takes only what the others leave.
    behind: bool,
}

/// Runs stages, each behind the one before it, but for those that run beside others if these run at all; what
/// those say comes when they have ended.
fn in_order(stages: &[&Stage], beside: &[Beside], out: &mut dyn Write) -> Result<Outcome> {
    let of = |name: &str| stages.iter().copied().find(|stage| stage.0 == name);
    let apart: Vec<(&Stage, &Beside)> = beside
        .iter()
        .filter(|lane| of(lane.from).is_some() && of(lane.until).is_some())
        .filter_map(|lane| Some((of(lane.stage)?, lane)))
        .collect();
    std::thread::scope(|scope| {
        let (mut total, mut running) = (Outcome::default(), Vec::new());
        for stage in stages {
            if apart.iter().any(|(other, _)| other.0 == stage.0) {
                continue;
            }
            for (other, lane) in apart.iter().filter(|(_, lane)| lane.from == stage.0) {
                let thread = scope.spawn(move || {
                    let mut said = Vec::new();
                    one(other, lane.behind, &mut said).map(|outcome| (outcome, said))
                });
                running.push((lane.until, thread));
            }
            total += one(stage, false, out)?;
            for (_, thread) in running.extract_if(.., |(until, _)| *until == stage.0) {
                let died = |_| anyhow::anyhow!("a stage beside {} died", stage.0);
                let (outcome, said) = thread.join().map_err(died)??;
                out.write_all(&said)?;
                total += outcome;
            }
        }
        Ok(total)
    })
}

/// Runs one stage and writes its line, and what is to be known of its failures.
fn one((name, run): &Stage, behind: bool, out: &mut dyn Write) -> Result<Outcome> {
    let start = Instant::now();
    let (mut tail, mut text) = (None, String::new());
    let verdict = Log::create(name, behind).and_then(|mut log| {
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
        let mut log = Log::create("self-test-tail", false).unwrap();
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
        let outcome = one(stage, false, &mut out).unwrap();
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
    fn a_stage_beside_others_is_waited_for_and_counts_and_runs_by_itself_without_them() {
        let pass = |_: &mut Log| Ok(Verdict::Ran(Outcome::PASS));
        let slow: Stage = ("self-test-slow", |log| {
            let mut command = sh::cmd("sh");
            command.args(["-c", "sleep 0.3; echo \"$WORD $(nice)\""]).env("WORD", "nice is");
            log.all(&mut [command])
        });
        let (first, last): (Stage, Stage) = (("self-test-first", pass), ("self-test-last", pass));
        let lane = Beside { stage: slow.0, from: first.0, until: first.0, behind: true };
        let order = |stages: &[&Stage]| {
            let mut out = Vec::new();
            let total = in_order(stages, &[lane], &mut out).unwrap();
            let said = String::from_utf8(out).unwrap();
            let names = said.lines().filter_map(|line| line.split_whitespace().nth(1));
            (total.passed, names.map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(
            order(&[&slow, &first, &last]),
            (3, [first.0, slow.0, last.0].map(str::to_owned).to_vec())
        );
        let said = || std::fs::read_to_string(sh::target().join("ci/self-test-slow.log")).unwrap();
        assert!(said().contains("\nnice is 19\n"), "{}", said());
        assert_eq!(order(&[&slow, &last]), (2, [slow.0, last.0].map(str::to_owned).to_vec()));
        let own = sh::capture(&mut sh::cmd("nice")).unwrap();
        assert!(said().contains(&format!("\nnice is {}\n", own.trim())), "{}", said());
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
