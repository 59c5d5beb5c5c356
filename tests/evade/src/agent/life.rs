//! What holds when parts of the agent, or all of it, are gone.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::policies::at_pins;
use super::scene::{Deed, Living, Scene, at};
use crate::hammer::Hammer;
use crate::lab::{COVERED, FREE};

const TWO: Deed = Deed::Read("two");

/// Those who ask all the time: the one whom the rule is about, and another.
fn hammers() -> Result<[Hammer; 2]> {
    let nothing = std::path::Path::new("-");
    let (denied, allowed) = (at("two"), at("three"));
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
    scene.denied(&TWO, "two")?;
    scene.until("another worker answers", |scene| {
        let another = worker(scene).is_ok_and(|new| new != old);
        Ok(another && scene.ask(&["status"])?.status.success())
    })?;
    scene.is_in_kernel(5)?;
    let rounds = finish(hammers)?;
    scene.denied(&TWO, "two")?;
    Ok(format!("{rounds} rounds, 0 wrong"))
}

/// Nobody runs, and it is denied; the next agent takes over without a gap.
pub(super) fn guard_killed(scene: &mut Scene) -> Result<String> {
    let hammers = hammers()?;
    scene.end(Signal::SIGKILL)?;
    ensure!(scene.is_denied(&TWO)?, "nothing is denied when the guard is gone");
    ensure!(scene.is_denied(&Deed::Connect)?, "no peer is denied when the guard is gone");
    // It begins with what was in force.
    scene.start(&["--enforce"])?;
    scene.is_in_kernel(5)?;
    scene.denied(&TWO, "two")?;
    let rounds = finish(hammers)?;
    Ok(format!("{rounds} rounds, 0 wrong"))
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

/// What a killed agent left is taken away by the same command.
pub(super) fn unpinned(scene: &mut Scene) -> Result<String> {
    scene.end(Signal::SIGKILL)?;
    ensure!(scene.is_denied(&TWO)?, "nothing is denied when the guard is gone");
    let said = scene.told(&["emergency", "disable", "--reason", "it hurts"])?;
    scene.allowed(&TWO)?;
    ensure!(!at_pins(), "programs are still pinned");
    Ok(said.trim().to_owned())
}
