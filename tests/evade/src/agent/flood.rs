//! One denial among a million others.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::scene::{Deed, Scene, at};
use crate::lab::{COVERED, outcome};

/// Denials of each of the two that make the flood.
const EACH: u64 = 500_000;
/// How far the flood is when the others try.
const BEGUN: Duration = Duration::from_secs(2);

/// Opens a file again and again; says how often that was denied.
pub(super) fn pour(file: &str, times: &str) -> Option<u64> {
    let times: u64 = times.parse().ok()?;
    let denied =
        |_: &u64| std::fs::File::open(file).is_err_and(|error| error.raw_os_error() == Some(1));
    u64::try_from((0..times).filter(denied).count()).ok()
}

fn flood() -> Result<Child> {
    let mut command = Command::new(COVERED);
    command.args(["attempt", "flood"]).arg(format!("{},{EACH}", at("one").display()));
    command.stdout(Stdio::piped()).spawn().context("starting a flood")
}

/// What was counted: denied, lost, and only counted.
fn counted(scene: &Scene) -> Result<[u64; 3]> {
    let status: Value = serde_json::from_str(&scene.told(&["status", "-o", "json"])?)?;
    let policy = &status["kernel_counters"]["policy"];
    let number = |value: &Value| value.as_u64().with_context(|| format!("{policy}"));
    let denied = number(&scene.show()?["denied"])?;
    Ok([denied, number(&policy["decisions_lost"])?, number(&policy["verdicts"]["untold"])?])
}

/// The flood is one rule and two processes; another process is denied by the same rule, and one by
/// another. Each does so once, and each is told.
pub(super) fn million(scene: &mut Scene) -> Result<String> {
    let before = counted(scene)?;
    let floods = [flood()?, flood()?];
    std::thread::sleep(BEGUN);
    let mut single = Vec::new();
    for (deed, rule) in [(Deed::Connect, "peer"), (Deed::Read("one"), "one")] {
        let (pid, said) = scene.act(COVERED, &deed)?;
        ensure!(said == "errno 1", "{deed:?} came to {said}");
        single.push((pid, rule));
    }
    for flood in floods {
        let (_, said) = outcome(flood)?;
        ensure!(said == EACH.to_string(), "of {EACH} opens this many were denied: {said}");
    }
    for (pid, rule) in single {
        let named = format!("rule=\"run/{rule}\"");
        scene.logged(&[" denied ", &named, &format!("pid={pid} ")])?;
    }
    let after = counted(scene)?;
    let [denied, lost, untold] = [0, 1, 2].map(|at| after[at] - before[at]);
    ensure!(denied >= 2 * EACH + 2, "{denied} denials are counted");
    ensure!(lost == 0, "{lost} were lost: the flood filled the ring");
    ensure!(untold > 0 && untold < denied, "{untold} of {denied} only counted");
    Ok(format!("both told; {denied} denied, {untold} of them only counted, {lost} lost"))
}
