//! Rules of rule files that deny: decided in the kernel, or their last step after the engine has
//! followed the others.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::build::Differs;
use super::scene::{Deed, Scene, at};
use crate::lab::{COVERED, FREE};

const FILE: &str = "/lab/rules/deny.toml";
/// How long an armed process may take to be denied.
const PATIENCE: Duration = Duration::from_mins(3);
/// Between two attempts: how exact the measure is.
const PAUSE: Duration = Duration::from_millis(2);
/// Processes that are armed to see how long it takes.
const TRIALS: usize = 20;

/// The rules: one by itself, one after a deed.
fn rules() -> String {
    let rule = |id: &str, query: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"A test.\"\nseverity = \
             \"high\"\nresponse = [\"deny\"]\nquery = '''\n{query}\n'''\n"
        )
    };
    let open = |path: &str, more: &str| {
        format!(
            "file where event.action == \"open\" and file.Ext.open.write == false and file.path == \
             \"/lab/{path}\"{more}"
        )
    };
    let alone = open("one", &format!(" and process.executable == \"{COVERED}\""));
    let sequence =
        format!("sequence by process.entity_id [{}] [{}]", open("two", ""), open("three", ""));
    [rule("alone", &alone), rule("after", &sequence)].concat()
}

/// A process that does what it is told.
struct Obedient {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Obedient {
    fn start() -> Result<Obedient> {
        let mut command = Command::new(FREE);
        command.args(["attempt", "lines"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let out = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Obedient { child, out })
    }

    /// What reading a file comes to.
    fn read(&mut self, name: &str) -> Result<String> {
        let input = self.child.stdin.as_mut().context("no input")?;
        writeln!(input, "read {}", at(name).display())?;
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().map(drop).context("waiting for a process")
    }
}

/// A whole rule in the kernel.
pub(super) fn alone(scene: &mut Scene) -> Result<String> {
    fs::write(FILE, rules())?;
    scene.start(&["--enforce", "--policy", FILE])?;
    ensure!(scene.is_denied(&Deed::Read("one"))?, "it is not denied");
    scene.logged(&[" denied ", "rule=\"rules/alone\""])?;
    let shown = scene.told(&["policy", "show"])?;
    ensure!(shown.contains("rules/alone"), "{shown}");
    Ok("EPERM, and told with the rule".to_owned())
}

/// The last step of a sequence, to the process that took the first one and to no other.
pub(super) fn armed(scene: &mut Scene) -> Result<String> {
    let (mut one, mut other) = (Obedient::start()?, Obedient::start()?);
    ensure!(one.read("three")? == "ok", "denied before the first step");
    ensure!(one.read("two")? == "ok", "the first step is denied");
    scene.until("the process is armed", |scene| Ok(scene.show()?["armed"] == 1))?;
    let said = one.read("three")?;
    ensure!(said == "errno 1", "the last step came to {said}");
    scene.logged(&[" denied ", "rule=\"rules/after\"", &format!("pid={} ", one.child.id())])?;
    let said = other.read("three")?;
    ensure!(said == "ok", "another process came to {said}");
    // A new generation with the same rule, and an agent that is killed.
    scene.told(&["policy", "apply", "--again"])?;
    ensure!(one.read("three")? == "errno 1", "a new generation let it go");
    scene.end(Signal::SIGKILL)?;
    ensure!(one.read("three")? == "errno 1", "the end of the agent let it go");
    let build = scene.other_build(Differs::Maps)?;
    scene.start_build(&build, &["--enforce"])?;
    ensure!(one.read("three")? == "errno 1", "the next agent let it go");
    ensure!(other.read("three")? == "ok", "another process is denied it");
    one.end()?;
    other.end()?;
    scene.until("the process is forgotten", |scene| Ok(scene.show()?["armed"] == 0))?;
    Ok("denied, also by the next generation and the next agent, of another build".to_owned())
}

/// How long the last step goes through after the first one.
pub(super) fn window(_scene: &mut Scene) -> Result<String> {
    let mut took = Vec::new();
    for _ in 0..TRIALS {
        let mut one = Obedient::start()?;
        ensure!(one.read("two")? == "ok", "the first step is denied");
        let began = Instant::now();
        while one.read("three")? == "ok" {
            ensure!(began.elapsed() < PATIENCE, "it is never denied");
            // A flood of them would be what is measured.
            std::thread::sleep(PAUSE);
        }
        took.push(began.elapsed());
        one.end()?;
    }
    took.sort_unstable();
    let (least, most) = (took.first().context("none")?, took.last().context("none")?);
    let median = took.get(TRIALS / 2).context("none")?;
    Ok(format!("{TRIALS} trials: {least:.0?} to {most:.0?}, median {median:.0?}"))
}
