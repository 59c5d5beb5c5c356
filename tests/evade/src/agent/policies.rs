//! Policies applied, replaced, broken, taken back and switched off while the agent runs.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::fs;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};

use super::scene::{Deed, Living, Scene, at, no_read, policy, words};
use crate::lab::COVERED;

/// The file of policies.
pub(super) const FILE: &str = "/lab/policy.yaml";
const ONE: Deed = Deed::Read("one");
const TWO: Deed = Deed::Read("two");
const THREE: Deed = Deed::Read("three");

/// What is in force at first.
fn first(scene: &Scene) -> String {
    let mut rules = vec![no_read("one", "one"), scene.no_connect("peer")];
    rules.push(no_read("deep", "under/*/f"));
    policy(&rules)
}

/// Without `--enforce` nothing is denied, whatever the policy says.
pub(super) fn audit(scene: &mut Scene) -> Result<String> {
    let text = first(scene).replace("spec:\n", "spec:\n  mode: enforce\n");
    fs::write(FILE, text)?;
    scene.start(&["--policy", FILE])?;
    for (deed, rule) in [(ONE, "one"), (Deed::Connect, "peer")] {
        scene.allowed(&deed)?;
        scene.logged(&[" would be denied ", &format!("rule=\"run/{rule}\"")])?;
    }
    let shown = scene.is_in_kernel(1)?;
    ensure!(shown["mode"] == "audit" && shown["denied"] == 0, "{shown}");
    ensure!(shown["would_deny"].as_u64() >= Some(2), "{shown}");
    let ended = scene.end(nix::sys::signal::Signal::SIGTERM)?;
    ensure!(ended.success(), "{ended}");
    Ok("told, and not denied".to_owned())
}

/// With it, file and network.
pub(super) fn enforced(scene: &mut Scene) -> Result<String> {
    fs::write(FILE, first(scene))?;
    scene.start(&["--enforce", "--policy", FILE])?;
    scene.denied(&ONE, "one")?;
    scene.denied(&Deed::Read("other-name"), "one")?;
    scene.denied(&Deed::Connect, "peer")?;
    scene.allowed(&TWO)?;
    Ok("EPERM, and told with the rule".to_owned())
}

/// The generation as the kernel has it; and a denial in words.
pub(super) fn shown(scene: &mut Scene) -> Result<String> {
    let shown = scene.is_in_kernel(2)?;
    ensure!(shown["denied"].as_u64() >= Some(3), "{shown}");
    let text = scene.told(&["policy", "show"])?;
    for part in ["as it was given", "tier lsm", "run/one"] {
        ensure!(text.contains(part), "`{part}` is missing in {text}");
    }
    // It is asked about while it lives: then the edit can be tried on it.
    let mut living = Living::start(scene, COVERED, "child", &ONE)?;
    let said = living.ask()?;
    ensure!(said == "errno 1", "a process that stays came to {said}");
    let pid = format!("pid={} ", living.pid());
    scene.logged(&[" denied ", "rule=\"run/one\"", "inode ", &pid])?;
    let log = scene.log();
    let line = log.lines().find(|line| line.contains(&pid));
    let id = line.and_then(|line| line.split("id=\"").nth(1)?.split('"').next());
    let why = scene.told(&["why", id.context("no id in the log")?])?;
    let about = scene.told(&["why", &living.pid().to_string()])?;
    ensure!(about.contains("rules about it") && about.contains("run/one"), "{about}");
    living.end()?;
    for part in ["run/one", "policy.yaml:", "denied (EPERM)", "smallest edit"] {
        ensure!(why.contains(part), "`{part}` is missing in {why}");
    }
    Ok("read back as it was given".to_owned())
}

/// A filesystem that is mounted below a protected path, and a file that is made there.
pub(super) fn later(scene: &mut Scene) -> Result<String> {
    fs::write(at("under/new/f"), "text\n")?;
    let deed = Deed::Read("under/new/f");
    scene.denied(&deed, "deep")?;
    let none: Option<&str> = None;
    mount(Some("tmpfs"), &at("under/new"), Some("tmpfs"), MsFlags::empty(), none)?;
    fs::write(at("under/new/f"), "text\n")?;
    scene.until("the new mount is known", |scene| scene.is_denied(&deed))?;
    scene.denied(&deed, "deep")?;
    Ok("denied".to_owned())
}

/// Nobody need be told of a changed file.
pub(super) fn changed(scene: &mut Scene) -> Result<String> {
    fs::write(FILE, policy(&[no_read("two", "two"), scene.no_connect("peer")]))?;
    scene.until("the new policy is in force", |scene| scene.is_denied(&TWO))?;
    scene.denied(&TWO, "two")?;
    scene.allowed(&ONE)?;
    scene.is_in_kernel(3)?;
    Ok("in force without a restart".to_owned())
}

/// In the file, and by hand.
pub(super) fn broken(scene: &mut Scene) -> Result<String> {
    fs::write(FILE, "apiVersion: aegisbpf.io/v1\nkind: Pol")?;
    scene.logged(&["the policies stay as they were"])?;
    scene.denied(&TWO, "two")?;
    let text = policy(&[no_read("three", "three")]);
    let typo = text.replace("deny:", "dney:");
    let cut = text.get(..text.len() - 20).unwrap_or_default();
    for (text, code) in [(typo.as_str(), "E003"), (cut, "E041")] {
        fs::write(at("bad.yaml"), text)?;
        let refused = scene.ask(&["policy", "apply", "/lab/bad.yaml"])?;
        let said = words(&refused);
        ensure!(refused.status.code() == Some(1) && said.contains(code), "{code}: {said}");
        scene.denied(&TWO, "two")?;
        scene.allowed(&THREE)?;
    }
    scene.is_in_kernel(3)?;
    Ok("refused with codes, the one before stays".to_owned())
}

/// By hand to another, and back.
pub(super) fn rolled_back(scene: &mut Scene) -> Result<String> {
    fs::write(at("third.yaml"), policy(&[no_read("three", "three")]))?;
    scene.told(&["policy", "apply", "/lab/third.yaml"])?;
    scene.denied(&THREE, "three")?;
    scene.allowed(&TWO)?;
    let said = scene.told(&["policy", "rollback", "--reason", "a test"])?;
    scene.denied(&TWO, "two")?;
    scene.allowed(&THREE)?;
    scene.is_in_kernel(5)?;
    Ok(said.trim().to_owned())
}

/// Rules that report, rules that wait for a deed, a policy that is only tried.
pub(super) fn kinds(scene: &mut Scene) -> Result<String> {
    let after = format!("after: {{operations: read, files: {}}}, ", at("three").display());
    let reports = no_read("reports", "one").replace("deny:", "audit:");
    let rules = [no_read("two", "two"), reports, scene.no_connect_if("after", &after)];
    let tried = policy(&[no_read("tried", "three")]).replace("name: run", "name: trial");
    let tried = tried.replace("spec:\n", "spec:\n  mode: audit\n");
    fs::write(at("kinds.yaml"), format!("{}---\n{tried}", policy(&rules)))?;
    scene.told(&["policy", "apply", "/lab/kinds.yaml"])?;
    scene.denied(&TWO, "two")?;
    scene.allowed(&ONE)?;
    scene.logged(&[" reported ", "rule=\"run/reports\""])?;
    scene.allowed(&THREE)?;
    scene.logged(&[" would be denied ", "rule=\"trial/tried\""])?;
    scene.allowed(&Deed::Connect)?;
    scene.denied(&Deed::ReadThenConnect("three"), "after")?;
    let status = scene.told(&["status"])?;
    ensure!(status.contains("enforce, tier lsm"), "{status}");
    scene.told(&["policy", "rollback", "--reason", "a test"])?;
    scene.denied(&TWO, "two")?;
    scene.is_in_kernel(7)?;
    Ok("each as its kind says".to_owned())
}

/// A policy that denies everything to everybody is refused; forced, it goes back by itself.
pub(super) fn locked_out(scene: &mut Scene) -> Result<String> {
    let all = "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {name: all}\nspec:\n  rules:\n    \
               - {id: all, deny: [file, network]}\n";
    fs::write(at("all.yaml"), all)?;
    let apply = ["policy", "apply", "/lab/all.yaml"];
    for more in [&[][..], &["--force"]] {
        let refused = scene.ask(&[&apply, more].concat())?;
        let said = words(&refused);
        ensure!(!refused.status.success(), "it was put in force: {said}");
        scene.denied(&TWO, "two")?;
        scene.allowed(&ONE)?;
    }
    let begin = std::time::Instant::now();
    let (ended, said) = scene.ask_blind(&[&apply[..], &["--force", "--canary", "60s"]].concat())?;
    // The command itself is locked out, too, and may be unable to hear how it ended.
    ensure!(!ended.success(), "{said}");
    scene.logged(&["the new policies failed their trial"])?;
    // Its worker may have been ended by that, and comes again.
    scene.answers()?;
    let took = begin.elapsed();
    scene.allowed(&ONE)?;
    scene.denied(&TWO, "two")?;
    scene.is_in_kernel(7)?;
    Ok(format!("back after {} s", took.as_secs()))
}

/// One command lets go, one takes it up again.
pub(super) fn emergency(scene: &mut Scene) -> Result<String> {
    scene.told(&["emergency", "disable", "--reason", "it hurts"])?;
    scene.allowed(&TWO)?;
    scene.allowed(&Deed::Connect)?;
    ensure!(!at_pins(), "programs are still pinned");
    scene.told(&["emergency", "enable", "--reason", "it is well"])?;
    scene.denied(&TWO, "two")?;
    scene.denied(&Deed::Connect, "peer")?;
    scene.is_in_kernel(7)?;
    Ok("let go and taken up".to_owned())
}

/// Whether anything of prevention is pinned.
pub(super) fn at_pins() -> bool {
    fs::exists(kernel::enforce::PINS).unwrap_or(true)
}
