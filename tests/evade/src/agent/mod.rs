//! `evade agent --agent PATH`: the agent itself, run as an operator runs it.
//!
//! The other suite puts tables into the kernel half by itself; this one starts `aegisbpf run` with
//! files of policies and asks what holds then, by deeds: one process that the rules are about, and one
//! that no rule is about, do the same. The cases build on each other and are done in order.

mod build;
mod flood;
mod isolation;
mod life;
mod made;
mod own;
mod policies;
mod rules;
mod scene;

use std::time::Instant;

use anyhow::{Result, bail};
use scene::Scene;

pub(crate) use scene::attempt;

/// A case: its name and what it does; the text says what was seen.
type Case = (&'static str, fn(&mut Scene) -> Result<String>);

/// In order: each begins where the one before it ended.
const CASES: &[Case] = &[
    ("audit reports and denies nothing", policies::audit),
    ("a policy is in force when the agent answers", policies::enforced),
    ("one denial in a flood of a million", flood::million),
    ("show reads back, why explains", policies::shown),
    ("mounts and links made later", policies::later),
    ("a file of policies that changes", policies::changed),
    ("broken policies change nothing", policies::broken),
    ("rollback", policies::rolled_back),
    ("audit, after, and a mode of its own", policies::kinds),
    ("a policy that denies everything", policies::locked_out),
    ("emergency disable and enable", policies::emergency),
    ("kill -9 of the worker", life::worker_killed),
    ("kill -9 of the guard, and the next agent", life::guard_killed),
    ("an isolation ends at its time, also after kill -9", isolation::ends),
    ("kill -9 of both, and nobody for a minute", life::both_killed),
    ("both stopped", life::both_stopped),
    ("an upgrade to another build, and back", life::upgraded),
    ("an upgrade to a build with other maps, and back", life::laid_out_anew),
    ("what was inherited outlives the agent", life::inherited),
    ("a clean stop", life::stopped),
    ("an agent without --enforce after one with it", life::audit_after),
    ("enforcement that ends with the agent", life::released),
    ("emergency disable without an agent", life::unpinned),
    ("who made a file outlives the agent and its maps", made::outlives),
    ("a rule that denies", rules::alone),
    ("the last step of a sequence", rules::armed),
    ("how long a last step goes through", rules::window),
    ("strangers and an agent that protects itself", own::protected),
];

/// The names of all cases.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.0)
}

/// What a run of all tests has time for: loading takes most of it, so it is done once.
const FEW: &[Case] = &[
    ("a policy is in force when the agent answers", policies::enforced),
    ("kill -9 of the guard, and the next agent", life::guard_killed_first),
    ("an isolation ends at its time, also after kill -9", isolation::ends),
    ("strangers and an agent that protects itself", own::protected),
];

/// `evade other-build AGENT programs|maps FILE`: writes another build of an agent.
pub(crate) fn other_build(words: &[&str]) -> Result<bool> {
    build::command(words)
}

/// `evade agent --agent PATH [--few | --only WORD…]`: all cases, some, or those with one of the words in
/// their names. Most need what the first two put in force.
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    let (agent, cases) = match words {
        ["--agent", agent] => (agent, CASES.to_vec()),
        ["--agent", agent, "--few"] => (agent, FEW.to_vec()),
        ["--agent", agent, "--only", words @ ..] => {
            let wanted = |case: &&Case| words.iter().any(|word| case.0.contains(word));
            (agent, CASES.iter().filter(wanted).copied().collect())
        }
        _ => bail!("unknown options {words:?}"),
    };
    let mut scene = Scene::new(agent)?;
    let mut failed = 0;
    for (name, case) in &cases {
        let begin = Instant::now();
        match case(&mut scene) {
            Ok(said) => println!("ok   run/{name}  {said} ({} s)", begin.elapsed().as_secs()),
            Err(error) => {
                failed += 1;
                println!("FAIL run/{name}: {error:#}");
                scene.tell();
            }
        }
    }
    let all = cases.len();
    if failed > 0 {
        println!("RESULT FAIL {failed} failed of {all} about the running agent");
        return Ok(false);
    }
    println!("RESULT ok {all} about the running agent");
    Ok(true)
}
