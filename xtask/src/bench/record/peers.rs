//! The nearest thing that others do: `auditd` and `bpftrace` of Debian write down the same processes
//! and opens as an agent that records, one after the other in turns of the same run.
//!
//! | | what it is told to write |
//! |---|---|
//! | agent | its history, beside the shipped rules |
//! | `auditd` | the system calls that start and end processes, and opens of the file |
//! | `bpftrace` | a line for each tracepoint of these |

mod auditd;
mod bpftrace;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::agent::{self, Agent};
use crate::bench::flood;
use crate::bench::stats::Stats;
use crate::setup::{self, Need};
use crate::sh;

/// Turns of each.
const TURNS: usize = 3;
/// Kinds of work: processes, and opens of one file.
const LOADS: usize = 2;
/// Processes of a turn: three events each.
const PROCESSES: &str = "4000";
/// Opens of a turn.
const OPENS: &str = "100000";
/// After it, what was seen has been written: all of them write at least each second.
const DRAIN: Duration = Duration::from_millis(2_500);

/// Somebody who records.
trait Recorder {
    /// Nanoseconds of processor time that it took so far.
    fn busy(&self) -> Result<f64>;
    /// Events that it took so far, and those that it says it lost.
    fn events(&self) -> Result<(f64, f64)>;
    /// Bytes that it wrote so far.
    fn bytes(&self) -> Result<u64>;
    /// Ends it, and leaves the host as it was.
    fn stop(self: Box<Self>) -> Result<()>;
}

type Start = fn(&Path, &Path) -> Result<Box<dyn Recorder>>;

/// One who is measured.
struct Peer {
    name: &'static str,
    start: Start,
    /// The turns of each load.
    turns: [Vec<Turn>; LOADS],
    /// Why it does not run here.
    skipped: Option<String>,
}

/// Nobody is the one whom all others are measured against.
fn peers() -> [Peer; 4] {
    let peer = |name, start| Peer { name, start, turns: Default::default(), skipped: None };
    [
        peer("nobody", |_, _| Ok(Box::new(Nobody))),
        peer("aegisbpf", |dir, file| Ok(Box::new(Own::start(dir, file)?))),
        peer("auditd", |dir, file| Ok(Box::new(auditd::Auditd::start(dir, file)?))),
        peer("bpftrace", |dir, file| Ok(Box::new(bpftrace::Bpftrace::start(dir, file)?))),
    ]
}

/// What one turn of one load gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Turn {
    /// Processor time of an operation of the load, ns.
    work: f64,
    /// Processor time of the recorder for an event, ns.
    own: f64,
    events: f64,
    lost: f64,
    /// Bytes an event.
    bytes: f64,
}

/// Measures all that run here, in turns; what does not is told with its reason.
pub(super) fn command() -> Result<()> {
    if let Err(error) = setup::install(&setup::missing(Need::Bench)) {
        println!("packages could not be installed: {error:#}");
    }
    // Short, below /tmp: bpftrace compares no long texts.
    let file = std::env::temp_dir().join(format!("aegisbpf-{}", std::process::id()));
    std::fs::write(&file, [b'x'; 512])?;
    let measured = measure_all(&file);
    std::fs::remove_file(&file)?;
    let peers = measured?;
    println!(
        "| load | recorder | events | lost | its own ns an event | ns more for an operation | bytes \
         an event |\n|---|---|---|---|---|---|---|"
    );
    for (at, load) in ["processes", "opens"].iter().enumerate() {
        let of = |peer: &Peer| peer.turns.get(at).and_then(|turns| middle(turns));
        let without = peers.first().and_then(of).context("nobody was measured")?;
        for (peer, turn) in peers.iter().skip(1).filter_map(|peer| Some((peer, of(peer)?))) {
            println!("| {load} | {} | {} |", peer.name, cells(turn, without));
        }
    }
    for peer in &peers {
        if let Some(reason) = &peer.skipped {
            println!("SKIP {}: {reason}", peer.name);
        }
    }
    Ok(())
}

fn measure_all(file: &Path) -> Result<[Peer; 4]> {
    let path = file.to_str().context("a path of ours")?;
    let loads: [&[&str]; LOADS] = [&["exec", PROCESSES], &["open", path, OPENS]];
    let mut peers = peers();
    for turn in 0..TURNS {
        for peer in peers.iter_mut().filter(|peer| peer.skipped.is_none()) {
            let dir = agent::scratch(&format!("peer-{}-{turn}", peer.name))?;
            match (peer.start)(&dir, file) {
                Ok(recorder) => {
                    for (turns, load) in peer.turns.iter_mut().zip(loads) {
                        turns.push(measure(&*recorder, load)?);
                    }
                    recorder.stop()?;
                }
                Err(error) => peer.skipped = Some(format!("{error:#}")),
            }
            std::fs::remove_dir_all(&dir)?;
        }
    }
    Ok(peers)
}

/// One load beside a recorder.
fn measure(recorder: &dyn Recorder, load: &[&str]) -> Result<Turn> {
    sleep(DRAIN);
    let (busy, before, bytes) = (recorder.busy()?, recorder.events()?, recorder.bytes()?);
    let text = sh::capture(sh::cmd(sh::release("bench-load")).args(load))?;
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<f64>().ok());
    let (operations, cpu) = (numbers.next(), numbers.nth(1));
    let work = cpu.zip(operations).map(|(cpu, operations)| cpu / operations);
    let work = work.with_context(|| format!("bench-load said `{}`", text.trim()))?;
    sleep(DRAIN);
    let after = recorder.events()?;
    let events = after.0 - before.0;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let bytes = (recorder.bytes()? - bytes) as f64;
    let (own, bytes) = ((recorder.busy()? - busy) / events.max(1.0), bytes / events.max(1.0));
    Ok(Turn { work, own, events, lost: after.1 - before.1, bytes })
}

/// The median of each figure; of losses the sum.
fn middle(turns: &[Turn]) -> Option<Turn> {
    let of = |figure: fn(&Turn) -> f64| {
        Stats::of(&turns.iter().map(figure).collect::<Vec<_>>()).map(|stats| stats.median)
    };
    Some(Turn {
        work: of(|turn| turn.work)?,
        own: of(|turn| turn.own)?,
        events: of(|turn| turn.events)?,
        lost: turns.iter().map(|turn| turn.lost).sum(),
        bytes: of(|turn| turn.bytes)?,
    })
}

fn cells(turn: Turn, without: Turn) -> String {
    let Turn { work, own, events, lost, bytes } = turn;
    let more = work - without.work;
    format!("{events:.0} | {lost:.0} | {own:.0} | {more:.0} of {:.0} | {bytes:.1}", without.work)
}

/// All counters of a text added up.
fn sum(counters: &str) -> f64 {
    let numbers = counters.split(':').skip(1).filter_map(|rest| {
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<f64>().ok()
    });
    // A sum of nothing is -0, which looks odd in a table.
    numbers.fold(0.0, |sum, number| sum + number)
}

/// Bytes of all files in a directory.
fn bytes_in(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

struct Nobody;

impl Recorder for Nobody {
    fn busy(&self) -> Result<f64> {
        Ok(0.0)
    }

    fn events(&self) -> Result<(f64, f64)> {
        Ok((0.0, 0.0))
    }

    fn bytes(&self) -> Result<u64> {
        Ok(0)
    }

    fn stop(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// The agent with its history. Nothing that happens in the loads is an alert.
struct Own {
    agent: Agent,
    history: std::path::PathBuf,
}

impl Own {
    fn start(dir: &Path, file: &Path) -> Result<Own> {
        let rules = dir.join("rules");
        std::fs::create_dir_all(&rules)?;
        let text = format!(
            "[[rule]]\nid = \"bench-opens\"\nname = \"File of the benchmark\"\ndescription = \"Makes \
             the sensors deliver each open of a file; never matches.\"\nseverity = \
             \"informational\"\nquery = '''file where event.action == \"open\" and file.path == \
             \"{}\" and process.name == \"nobody\"'''\n",
            file.display()
        );
        std::fs::write(rules.join("bench.toml"), text)?;
        let agent = Agent::start_with(dir, Some(&rules), &["--history", super::HISTORY])?;
        agent.settle()?;
        Ok(Own { agent, history: dir.join("state/history") })
    }
}

impl Recorder for Own {
    fn busy(&self) -> Result<f64> {
        self.agent.busy()
    }

    fn events(&self) -> Result<(f64, f64)> {
        let status = self.agent.status()?;
        let number = |name| super::number(&status, name).unwrap_or_default();
        let lost = sum(&flood::losses(&status)) + number("\"recording_lost\":");
        Ok((number("\"events\":"), lost))
    }

    fn bytes(&self) -> Result<u64> {
        bytes_in(&self.history)
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.agent.stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_told_and_no_loss_is_forgotten() {
        let turn = |work, lost| Turn { work, own: 10.0, events: 7.0, lost, bytes: 20.04 };
        let turns = [turn(100.0, 0.0), turn(900.0, 3.0), turn(120.0, 1.0)];
        let told = middle(&turns).unwrap();
        assert_eq!(told, turn(120.0, 4.0));
        assert_eq!(cells(told, turn(100.0, 0.0)), "7 | 4 | 10 | 20 of 100 | 20.0");
        assert_eq!(middle(&[]), None, "who did not run has no figures");
        let counters = ["", r#"{"life":{"ring_full":7,"x":0},"rest":{"x2":12}}"#];
        assert_eq!(counters.map(|text| sum(text).to_string()), ["0", "19"]);
    }
}
