//! Reloads while others ask, and the death of who loaded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{getpriority_process, setpriority_process};

use crate::lab::{self, COVERED, FREE, LAB, Lab};
use crate::{kept, tables};

/// A process that begins when it is told to.
const LATER: &str = "later";
/// Processes that ask for files while policies are replaced: of each kind.
const PAIRS: usize = 3;
/// Priority of the process that replaces policies; those that ask have 0.
const FIRST: i32 = -10;
/// After so many reloads it is told how far they are.
const SAID: u32 = 100;

/// Processes that run before there is a policy, and do nothing yet.
pub(crate) fn running() -> Result<Vec<Hammer>> {
    let [denied, allowed] = furnish()?;
    let nothing = Path::new("-");
    Ok(vec![
        Hammer::start(COVERED, &[&denied, &allowed, Path::new(LATER)])?,
        Hammer::start(FREE, &[nothing, &denied, Path::new(LATER)])?,
    ])
}

/// What [`all`] tests.
#[cfg(test)]
pub(crate) const NAMES: &[&str] = &[
    "processes that ran before the rule",
    "what is only reported",
    "reloads under load",
    "what was made before reloads, and between",
    "a table of makers that is full",
    "kill -9 of the loader",
];

/// All tests of the agent itself whose names have the word; what one comes to is told before the next
/// begins.
pub(crate) fn all(
    lab: &mut Lab,
    running: Vec<Hammer>,
    reloads: u32,
    only: &str,
    tell: &mut dyn FnMut(&'static str, Result<String>),
) {
    tell("processes that ran before the rule", ran_before(running));
    tell("what is only reported", report(lab));
    if "reloads".contains(only) {
        tell("reloads under load", reload(lab, reloads));
    }
    if "reloads".contains(only) || only == "made" {
        tell("what was made before reloads, and between", kept::over_reloads(lab));
        tell("a table of makers that is full", kept::full(lab));
    }
    if "kill".contains(only) {
        tell("kill -9 of the loader", kill(lab));
    }
}

/// What a hammer strikes: a file that it opens, or an address to which it connects a datagram socket.
enum Nail<'a> {
    File(&'a str),
    Peer(SocketAddr),
}

impl Nail<'_> {
    fn of(word: &str) -> Nail<'_> {
        word.parse().map_or(Nail::File(word), Nail::Peer)
    }

    fn strike(&self) -> io::Result<()> {
        match self {
            Nail::File(path) => File::open(path).map(drop),
            Nail::Peer(peer) => UdpSocket::bind("127.0.0.9:0")?.connect(peer),
        }
    }
}

/// `evade hammer DENIED ALLOWED [later]`: opens both files, or connects to both addresses, until it gets
/// a line, and tells the wrong verdicts; later: it begins only when it gets a first line.
pub(crate) fn strike(words: &[&str]) -> ExitCode {
    let [denied, allowed, when @ ..] = words else { return ExitCode::from(2) };
    let denies = *denied != "-";
    let [denied, allowed] = [denied, allowed].map(|word| Nail::of(word));
    let (mut rounds, mut wrong) = (0_u64, 0_u64);
    if let Err(error) = lab::enter() {
        println!("{error}");
        return ExitCode::from(2);
    }
    println!("ready");
    if when.contains(&LATER) {
        std::io::stdin().lines().next();
    }
    let stop = std::thread::spawn(|| std::io::stdin().lines().next().is_some());
    // At least once, also when the end came already.
    loop {
        for _ in 0..64 {
            rounds += 1;
            let refused = || denied.strike().err().and_then(|error| error.raw_os_error());
            wrong += u64::from(denies && refused() != Some(1));
            wrong += u64::from(allowed.strike().is_err());
        }
        if stop.is_finished() {
            break;
        }
    }
    println!("{rounds} {wrong}");
    ExitCode::SUCCESS
}

/// Processes that open what is denied and what is not.
#[derive(Debug)]
pub(crate) struct Hammer {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Hammer {
    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("no input")?;
        writeln!(input, "{line}").context("speaking to a process")
    }

    pub(crate) fn start(program: &str, words: &[&Path]) -> Result<Hammer> {
        let mut child = Command::new(program)
            .arg("hammer")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("no output")?);
        out.read_line(&mut String::new())?;
        Ok(Hammer { child, out })
    }

    /// Rounds and wrong verdicts.
    pub(crate) fn stop(mut self) -> Result<(u64, u64)> {
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

/// A hammer that nobody stopped would go on for ever.
impl Drop for Hammer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait()
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop))
        {
            eprintln!("a hammer could not be ended: {error}");
        }
    }
}

/// What is denied to one of the two, and what is allowed to both.
fn furnish() -> Result<[PathBuf; 2]> {
    let at = Path::new(LAB).join("hammer");
    for below in ["unreadable", "open"] {
        std::fs::create_dir_all(at.join(below))?;
        std::fs::write(at.join(below).join("f"), "text\n")?;
    }
    Ok(["unreadable/f", "open/f"].map(|file| at.join(file)))
}

/// Both kinds of processes: the one whom the rule is about, and the other; they ask for files and, one
/// of each, for peers.
pub(crate) fn start() -> Result<Vec<Hammer>> {
    let [denied, allowed] = furnish()?;
    let [peer, other] = ["127.0.0.2:7720", "127.0.0.9:7720"].map(Path::new);
    let mut hammers = vec![
        Hammer::start(COVERED, &[peer, other])?,
        Hammer::start(FREE, &[Path::new("-"), peer])?,
    ];
    for _ in 0..PAIRS {
        hammers.push(Hammer::start(COVERED, &[&denied, &allowed])?);
        hammers.push(Hammer::start(FREE, &[Path::new("-"), &denied])?);
    }
    Ok(hammers)
}

/// From here on this process and those that it starts share one CPU; the kernel must be one that
/// preempts them anywhere.
pub(crate) fn share_cpu() -> Result<()> {
    let preempt = std::fs::read_to_string(PREEMPT).with_context(|| format!("reading {PREEMPT}"))?;
    println!("PREEMPT {}", preempt.trim());
    ensure!(preempt.contains("(full)"), "the kernel does not preempt everywhere: {preempt}");
    let mut one = rustix::thread::CpuSet::new();
    one.set(0);
    rustix::thread::sched_setaffinity(None, &one).context("choosing a CPU")
}

/// Where the kernel says how it preempts.
const PREEMPT: &str = "/sys/kernel/debug/sched/preempt";

/// Processes that ask all the time while the cases run. They are denied nothing, so that what is told
/// is about the cases.
pub(crate) fn crowd() -> Result<Vec<Hammer>> {
    let [denied, allowed] = furnish()?;
    let nothing = Path::new("-");
    let start = |program, file| Hammer::start(program, &[nothing, file]);
    Ok(vec![start(COVERED, &allowed)?, start(FREE, &denied)?, start(COVERED, &allowed)?])
}

/// Ends them; how often they asked.
pub(crate) fn disperse(crowd: Vec<Hammer>) -> Result<u64> {
    let (rounds, wrong) = finish(crowd)?;
    ensure!(wrong == 0, "{wrong} wrong verdicts in {rounds} rounds beside the cases");
    Ok(rounds)
}

pub(crate) fn finish(hammers: Vec<Hammer>) -> Result<(u64, u64)> {
    let mut all = (0, 0);
    for hammer in hammers {
        let (rounds, wrong) = hammer.stop()?;
        all = (all.0 + rounds, all.1 + wrong);
    }
    Ok(all)
}

/// They began before the policy, and ask for the first time now.
fn ran_before(running: Vec<Hammer>) -> Result<String> {
    let mut rounds = 0;
    for mut hammer in running {
        hammer.say("begin")?;
        let (since, wrong) = hammer.stop()?;
        ensure!(wrong == 0, "{wrong} wrong verdicts in {since} rounds");
        ensure!(since > 0, "it did nothing");
        rounds += since;
    }
    Ok(format!("{rounds} rounds, 0 wrong"))
}

/// A rule of a policy that is only reported, and one that only reports.
fn report(lab: &mut Lab) -> Result<String> {
    let at = Path::new(LAB).join("reports");
    for below in ["open", "listed"] {
        std::fs::create_dir_all(at.join(below))?;
    }
    for (file, rule, flag) in [
        ("open/watched", "would", model::wire::DENIAL_WOULD),
        ("listed/f", "reported", model::wire::DENIAL_AUDIT),
    ] {
        std::fs::write(at.join(file), "text\n")?;
        let mut denials = lab.enforcer.denials()?;
        while !denials.next(std::time::Duration::ZERO)?.is_empty() {}
        let hammer = Hammer::start(COVERED, &[Path::new("-"), &at.join(file)])?;
        let pid = hammer.child.id();
        let wanted = *lab.rules.get(rule).context("no such rule")?;
        let mut seen = Vec::new();
        ensure!(lab::told(&mut denials, pid, wanted, &mut seen)?, "{rule} was not told");
        let record = seen.iter().find(|one| one.rule == wanted).context("no record")?;
        ensure!(u32::from(record.flags) == flag, "{rule} has the flags {}", record.flags);
        let (rounds, wrong) = hammer.stop()?;
        ensure!(wrong == 0, "{rule} denied {wrong} of {rounds}");
    }
    Ok("told, and not denied".to_owned())
}

/// The same policy, another one that says the same of these files, and broken ones.
fn reload(lab: &mut Lab, reloads: u32) -> Result<String> {
    let more = "    - {id: another, subject: covered, deny: read, files: [/nowhere/else]}\n";
    let other = tables::compiled(&format!("{}{more}", lab::policy()?), 2)?;
    let other_tables = other.tables.encode()?;
    let hammers = start()?;
    let mut refused = 0;
    // Before those who ask: else a reload waits for its turn most of the time. They ask on the other
    // CPU, and here whenever this waits for the kernel.
    let priority = getpriority_process(None)?;
    setpriority_process(None, FIRST)?;
    for round in 0..reloads {
        if round > 0 && round % SAID == 0 {
            println!("{round} of {reloads} reloads");
        }
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
    setpriority_process(None, priority)?;
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
