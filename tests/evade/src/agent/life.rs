//! What holds when parts of the agent, or all of it, are gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kernel::enforce::{PINS, sets};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::build::Differs;
use super::policies::at_pins;
use super::scene::{Deed, Living, Scene, at};
use crate::hammer::Hammer;
use crate::lab::{COVERED, FREE};

/// How long nobody runs.
const ALONE: Duration = Duration::from_mins(1);
/// How long nobody who runs does anything.
const STOPPED: Duration = Duration::from_secs(10);
/// Between two looks at what is denied meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
const TWO: Deed = Deed::Read("two");

/// Those who ask all the time: the one whom the rule is about, and another.
fn hammers() -> Result<[Hammer; 2]> {
    hammers_at("two", "three")
}

fn hammers_at(denied: &str, allowed: &str) -> Result<[Hammer; 2]> {
    let nothing = Path::new("-");
    let (denied, allowed) = (at(denied), at(allowed));
    Ok([Hammer::start(COVERED, &[&denied, &allowed])?, Hammer::start(FREE, &[nothing, &denied])?])
}

/// No answer was wrong.
fn finish(hammers: [Hammer; 2]) -> Result<u64> {
    let mut all = 0;
    for hammer in hammers {
        let (rounds, wrong) = hammer.stop()?;
        ensure!(wrong == 0, "{wrong} wrong verdicts in {rounds} rounds");
        all += rounds;
    }
    Ok(all)
}

/// Processes that the guard started.
fn children(of: u32) -> Result<Vec<u32>> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"))?;
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

fn worker(scene: &Scene) -> Result<u32> {
    children(scene.guard()?)?.first().copied().context("no worker runs")
}

/// The guard starts another; prevention does not notice.
pub(super) fn worker_killed(scene: &mut Scene) -> Result<String> {
    let hammers = hammers()?;
    let old = worker(scene)?;
    kill(Pid::from_raw(i32::try_from(old)?), Signal::SIGKILL)?;
    ensure!(scene.is_denied(&TWO)?, "nothing is denied without a worker");
    scene.until("another worker answers", |scene| {
        let another = worker(scene).is_ok_and(|new| new != old);
        Ok(another && scene.ask(&["status"])?.status.success())
    })?;
    scene.is_in_kernel(7)?;
    let rounds = finish(hammers)?;
    scene.denied(&TWO, "two")?;
    Ok(format!("{rounds} rounds, 0 wrong"))
}

/// Nobody runs, and it is denied; the next agent takes over without a gap.
pub(super) fn guard_killed(scene: &mut Scene) -> Result<String> {
    killed(scene, ("two", "three"), 7)
}

/// The same with the policy that was in force first.
pub(super) fn guard_killed_first(scene: &mut Scene) -> Result<String> {
    killed(scene, ("one", "two"), 1)
}

fn killed(
    scene: &mut Scene,
    (denied, allowed): (&'static str, &str),
    generation: u64,
) -> Result<String> {
    let hammers = hammers_at(denied, allowed)?;
    let deed = Deed::Read(denied);
    scene.end(Signal::SIGKILL)?;
    ensure!(scene.is_denied(&deed)?, "nothing is denied when the guard is gone");
    ensure!(scene.is_denied(&Deed::Connect)?, "no peer is denied when the guard is gone");
    // It begins with what was in force.
    scene.start(&["--enforce"])?;
    scene.is_in_kernel(generation)?;
    let rounds = finish(hammers)?;
    scene.denied(&deed, denied)?;
    Ok(format!("{rounds} rounds, 0 wrong"))
}

/// Both at the same moment, and nobody starts another for a minute.
pub(super) fn both_killed(scene: &mut Scene) -> Result<String> {
    let hammers = hammers()?;
    let worker = worker(scene)?;
    kill(Pid::from_raw(i32::try_from(worker)?), Signal::SIGKILL)?;
    scene.end(Signal::SIGKILL)?;
    let end = Instant::now() + ALONE;
    while Instant::now() < end {
        ensure!(scene.is_denied(&TWO)?, "a file is not denied when both are gone");
        ensure!(scene.is_denied(&Deed::Connect)?, "a peer is not denied when both are gone");
        std::thread::sleep(PAUSE);
    }
    scene.start(&["--enforce"])?;
    scene.is_in_kernel(7)?;
    let rounds = finish(hammers)?;
    scene.denied(&TWO, "two")?;
    Ok(format!("{rounds} rounds in {} s and through the restart, 0 wrong", ALONE.as_secs()))
}

/// Both live and do nothing.
pub(super) fn both_stopped(scene: &mut Scene) -> Result<String> {
    let hammers = hammers()?;
    let worker = worker(scene)?;
    scene.signal_both(worker, Signal::SIGSTOP)?;
    let stopped = Instant::now() + STOPPED;
    while Instant::now() < stopped {
        ensure!(scene.is_denied(&TWO)?, "a file is not denied when both are stopped");
        ensure!(scene.is_denied(&Deed::Connect)?, "a peer is not denied when both are stopped");
        std::thread::sleep(PAUSE);
    }
    scene.signal_both(worker, Signal::SIGCONT)?;
    scene.until("the agent answers again", |scene| Ok(scene.ask(&["status"])?.status.success()))?;
    let rounds = finish(hammers)?;
    scene.denied(&TWO, "two")?;
    Ok(format!("{rounds} rounds, 0 wrong"))
}

/// Another build takes over, and the first one again.
pub(super) fn upgraded(scene: &mut Scene) -> Result<String> {
    replaced(scene, Differs::Programs)
}

/// The same when the maps cannot be shared: they are other ones each time.
pub(super) fn laid_out_anew(scene: &mut Scene) -> Result<String> {
    replaced(scene, Differs::Maps)
}

fn replaced(scene: &mut Scene, differs: Differs) -> Result<String> {
    let other = scene.other_build(differs)?;
    let first = maps()?;
    let hammers = hammers()?;
    let mut heir = Living::start(scene, COVERED, "parent", &TWO)?;
    let mut check = |scene: &Scene, when: &str| -> Result<()> {
        ensure!(scene.is_denied(&TWO)?, "{when}: it is not denied");
        let said = heir.ask()?;
        ensure!(said == "errno 1", "{when}: who inherits the rule came to {said}");
        Ok(())
    };
    check(scene, "before")?;
    ensure!(scene.end(Signal::SIGTERM)?.success(), "the first build did not end well");
    scene.start_build(&other, &["--enforce"])?;
    scene.is_in_kernel(7)?;
    check(scene, "the other build")?;
    let shared = maps()? == first;
    ensure!(shared == matches!(differs, Differs::Programs), "the maps are the same: {shared}");
    scene.end(Signal::SIGKILL)?;
    check(scene, "the other build is killed")?;
    scene.start(&["--enforce"])?;
    scene.is_in_kernel(7)?;
    check(scene, "the first build again")?;
    ensure!(maps()? == first, "the first build has other maps now");
    heir.end()?;
    let rounds = finish(hammers)?;
    scene.denied(&TWO, "two")?;
    Ok(format!("{rounds} rounds through two changes of the build, 0 wrong"))
}

/// The directory of the maps that are pinned: there is one.
fn maps() -> Result<PathBuf> {
    let mut sets = sets(Path::new(PINS))?;
    ensure!(sets.len() == 1, "maps of {} layouts are pinned", sets.len());
    sets.pop().context("nothing is pinned")
}

/// Whom a rule is about by its parent alone stays so, whoever runs.
pub(super) fn inherited(scene: &mut Scene) -> Result<String> {
    let start = |program| Living::start(scene, program, "parent", &TWO);
    let (mut heir, mut other) = (start(COVERED)?, start(FREE)?);
    let mut check = |when: &str| -> Result<()> {
        let (of, free) = (heir.ask()?, other.ask()?);
        ensure!(of == "errno 1" && free == "ok", "{when}: {of}, and the control {free}");
        Ok(())
    };
    check("before")?;
    scene.end(Signal::SIGKILL)?;
    check("nobody runs")?;
    scene.start(&["--enforce"])?;
    check("the next agent")?;
    heir.end()?;
    other.end()?;
    Ok("denied before, meanwhile and after".to_owned())
}

/// Ending the agent ends no prevention.
pub(super) fn stopped(scene: &mut Scene) -> Result<String> {
    let ended = scene.end(Signal::SIGTERM)?;
    ensure!(ended.success(), "{ended}");
    ensure!(scene.is_denied(&TWO)?, "it is denied no more");
    let text = scene.told(&["policy", "show"])?;
    ensure!(text.contains("no agent runs"), "{text}");
    Ok("it goes on being denied".to_owned())
}

/// The next one was not told to enforce: so nothing is denied.
pub(super) fn audit_after(scene: &mut Scene) -> Result<String> {
    scene.start(&[])?;
    scene.allowed(&TWO)?;
    scene.logged(&[" would be denied ", "rule=\"run/two\""])?;
    scene.end(Signal::SIGTERM)?;
    scene.start(&["--enforce"])?;
    scene.denied(&TWO, "two")?;
    Ok("reported only, then denied again".to_owned())
}

/// The operator wanted that it ends with the agent.
pub(super) fn released(scene: &mut Scene) -> Result<String> {
    scene.end(Signal::SIGTERM)?;
    scene.start(&["--enforce", "--on-exit", "release"])?;
    scene.denied(&TWO, "two")?;
    ensure!(scene.end(Signal::SIGTERM)?.success(), "it did not end well");
    scene.allowed(&TWO)?;
    scene.allowed(&Deed::Connect)?;
    ensure!(!at_pins(), "programs are still pinned");
    scene.start(&["--enforce"])?;
    scene.denied(&TWO, "two")?;
    Ok("let go at its end, denied by the next".to_owned())
}

/// What a killed agent left is taken away by the same command.
pub(super) fn unpinned(scene: &mut Scene) -> Result<String> {
    scene.end(Signal::SIGKILL)?;
    ensure!(scene.is_denied(&TWO)?, "nothing is denied when the guard is gone");
    let said = scene.told(&["emergency", "disable", "--reason", "it hurts"])?;
    scene.allowed(&TWO)?;
    ensure!(!at_pins(), "programs are still pinned");
    Ok(said.trim().to_owned())
}
