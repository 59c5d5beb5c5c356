//! Reloads while others ask, and the death of who loaded.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::lab::{self, COVERED, FREE, LAB, Lab};
use crate::tables;

/// Processes that ask while policies are replaced: of each kind.
const PAIRS: usize = 3;

/// All tests of the agent itself whose names have the word.
pub(crate) fn all(lab: &mut Lab, reloads: u32, only: &str) -> Vec<(&'static str, Result<String>)> {
    let mut results = Vec::new();
    if "reloads".contains(only) {
        results.push(("reloads under load", reload(lab, reloads)));
    }
    if "kill".contains(only) {
        results.push(("kill -9 of the loader", kill(lab)));
    }
    results
}

/// `evade hammer DENIED ALLOWED`: opens both until its input ends, and tells the wrong verdicts.
pub(crate) fn strike(words: &[&str]) -> ExitCode {
    let [denied, allowed] = words else { return ExitCode::from(2) };
    let denies = *denied != "-";
    let (mut rounds, mut wrong) = (0_u64, 0_u64);
    println!("ready");
    let stop = std::thread::spawn(|| std::io::stdin().lines().next().is_some());
    while !stop.is_finished() {
        for _ in 0..64 {
            rounds += 1;
            let refused = File::open(denied).err().and_then(|error| error.raw_os_error());
            wrong += u64::from(denies && refused != Some(1));
            wrong += u64::from(File::open(allowed).is_err());
        }
    }
    println!("{rounds} {wrong}");
    ExitCode::SUCCESS
}

struct Hammer {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Hammer {
    fn start(program: &str, denied: &Path, allowed: &Path) -> Result<Hammer> {
        let mut child = Command::new(program)
            .arg("hammer")
            .args([denied, allowed])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("no output")?);
        out.read_line(&mut String::new())?;
        Ok(Hammer { child, out })
    }

    /// Rounds and wrong verdicts.
    fn stop(mut self) -> Result<(u64, u64)> {
        if let Some(mut input) = self.child.stdin.take() {
            writeln!(input)?;
        }
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        self.child.wait()?;
        let (rounds, wrong) = line.trim().split_once(' ').context("no numbers")?;
        Ok((rounds.parse()?, wrong.parse()?))
    }
}

/// Both kinds of processes: the one whom the rule is about, and the other.
fn start() -> Result<Vec<Hammer>> {
    let at = Path::new(LAB).join("hammer");
    for below in ["unreadable", "open"] {
        std::fs::create_dir_all(at.join(below))?;
        std::fs::write(at.join(below).join("f"), "text\n")?;
    }
    let mut hammers = Vec::new();
    for _ in 0..PAIRS {
        hammers.push(Hammer::start(COVERED, &at.join("unreadable/f"), &at.join("open/f"))?);
        hammers.push(Hammer::start(FREE, Path::new("-"), &at.join("unreadable/f"))?);
    }
    Ok(hammers)
}

fn finish(hammers: Vec<Hammer>) -> Result<(u64, u64)> {
    let mut all = (0, 0);
    for hammer in hammers {
        let (rounds, wrong) = hammer.stop()?;
        all = (all.0 + rounds, all.1 + wrong);
    }
    Ok(all)
}

/// The same policy, another one that says the same of these files, and broken ones.
fn reload(lab: &mut Lab, reloads: u32) -> Result<String> {
    let more = "    - {id: another, subject: covered, deny: read, files: [/nowhere/else]}\n";
    let other = tables::compiled(&format!("{}{more}", lab::POLICY), 2)?;
    let other_tables = other.tables.encode()?;
    let hammers = start()?;
    let mut refused = 0;
    for round in 0..reloads {
        match round % 3 {
            0 => lab::apply(&mut lab.enforcer, &other, &other_tables)?,
            1 => lab::apply(&mut lab.enforcer, &lab.compiled, &lab.tables)?,
            _ => {
                let half = lab.tables.get(..lab.tables.len() / 2).unwrap_or_default();
                ensure!(
                    lab::apply(&mut lab.enforcer, &lab.compiled, half).is_err(),
                    "half was taken"
                );
                refused += 1;
            }
        }
    }
    let (rounds, wrong) = finish(hammers)?;
    lab::apply(&mut lab.enforcer, &lab.compiled, &lab.tables)?;
    ensure!(wrong == 0, "{wrong} wrong verdicts in {rounds} rounds");
    ensure!(rounds > u64::from(reloads), "only {rounds} rounds in {reloads} reloads");
    Ok(format!("{reloads} reloads ({refused} broken), {rounds} rounds, 0 wrong"))
}

/// Another process takes over what is pinned, and is killed.
fn kill(lab: &mut Lab) -> Result<String> {
    let hammers = start()?;
    for _ in 0..3 {
        let mut holder = Command::new(FREE)
            .args(["hold", LAB])
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a loader")?;
        let mut said = String::new();
        let out = holder.stdout.take().context("no output")?;
        BufReader::new(out).read_line(&mut said)?;
        ensure!(said.starts_with("held"), "the loader did not come up: {said}");
        holder.kill()?;
        holder.wait()?;
    }
    let (rounds, wrong) = finish(hammers)?;
    ensure!(wrong == 0, "{wrong} wrong verdicts in {rounds} rounds");
    let active = lab.enforcer.active()?.context("nothing is in force any more")?;
    ensure!(active.tables == lab.tables, "something else is in force");
    Ok(format!("3 loaders killed, {rounds} rounds, 0 wrong"))
}
