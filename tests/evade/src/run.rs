//! Runs the cases and prints the table.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cases::{self, Case, UNRESOLVED};
use crate::hammer;
use crate::lab::{self, Lab};

/// `evade guest [--only WORD] [--reloads N] [--crowded]`
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    let mut only = "";
    let mut reloads = 200;
    let crowded = words.contains(&"--crowded");
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--crowded").collect();
    for pair in words.chunks(2) {
        match pair {
            ["--only", word] => only = word,
            ["--reloads", count] => reloads = count.parse()?,
            _ => anyhow::bail!("unknown option {pair:?}"),
        }
    }
    let cases: Vec<&Case> = cases::all().filter(|case| case.id().contains(only)).collect();
    println!("TIER lsm");
    lab::furnish(&cases)?;
    if crowded {
        hammer::share_cpu()?;
    }
    let running = hammer::running().context("starting a process before the policy")?;
    let started = std::time::Instant::now();
    let mut lab = Lab::open()?;
    println!("loaded in {:.1} s", started.elapsed().as_secs_f32());
    for (program, reason) in lab.enforcer.missing() {
        println!("MISSING {program}: {reason}");
    }
    let crowd = if crowded { hammer::crowd()? } else { Vec::new() };
    let mut failed = 0;
    let mut skipped = 0;
    for case in &cases {
        match one(&mut lab, case) {
            Ok(Outcome::Ok(said)) => println!("ok   {}  {said}", case.id()),
            Ok(Outcome::Skip(why)) => {
                skipped += 1;
                println!("SKIP {}: {why}", case.id());
            }
            Ok(Outcome::Fail(why)) => {
                failed += 1;
                println!("FAIL {}: {why}", case.id());
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {}: {error:#}", case.id());
            }
        }
    }
    if crowded {
        let rounds = hammer::disperse(crowd)?;
        println!("crowd: {rounds} rounds, 0 wrong");
    }
    let mut tell = |name: &str, verdict: Result<String>| match verdict {
        Ok(said) => println!("ok   agent/{name}  {said}"),
        Err(error) => {
            failed += 1;
            println!("FAIL agent/{name}: {error:#}");
        }
    };
    hammer::all(&mut lab, running, reloads, only, &mut tell);
    println!("{:?}", lab.enforcer.counters()?);
    println!("not run: {:?}", lab.enforcer.not_run());
    lab.enforcer.release()?;
    let passed = cases.len() - skipped;
    if failed > 0 || passed == 0 {
        println!("RESULT FAIL {failed} failed of {passed}, {skipped} skipped");
        return Ok(false);
    }
    println!("RESULT ok {passed} cases, {skipped} skipped");
    Ok(true)
}

/// What a case came to.
pub(crate) enum Outcome {
    /// Denied, and told.
    Ok(String),
    /// Not possible here, whoever asks.
    Skip(String),
    /// Not denied, or not told.
    Fail(String),
}

/// A way of enforcing, which tells what it denied.
pub(crate) trait Tier {
    /// What was told so far is not about the next case.
    fn forget(&mut self) -> Result<()>;
    /// Waits for the record of a process, or of a child of it, that names the rule; if none comes,
    /// what came instead.
    fn told(&mut self, pid: u32, rule: &str) -> Result<Result<(), String>>;
}

impl Tier for Lab {
    fn forget(&mut self) -> Result<()> {
        let mut denials = self.enforcer.denials()?;
        while !denials.next(Duration::ZERO)?.is_empty() {}
        Ok(())
    }

    fn told(&mut self, pid: u32, rule: &str) -> Result<Result<(), String>> {
        let wanted = self.rules.get(rule).copied();
        let wanted = wanted.or((rule == UNRESOLVED).then_some(lab::NO_RULE));
        let wanted = wanted.context("no such rule")?;
        let (mut denials, mut seen) = (self.enforcer.denials()?, Vec::new());
        if lab::told(&mut denials, pid, wanted, &mut seen)? {
            return Ok(Ok(()));
        }
        let seen: Vec<_> =
            seen.iter().map(|one| (one.h.pid, one.operation, one.rule, one.why)).collect();
        Ok(Err(format!("{seen:?}")))
    }
}

/// The covered process first: were the rule not in force, the free one would hide it.
pub(crate) fn one(tier: &mut dyn Tier, case: &Case) -> Result<Outcome> {
    let places = ["covered", "free"].map(|who| lab::directory(case, who));
    let [covered, free] = &places;
    if !case.early {
        for at in &places {
            (case.prepare)(at)?;
        }
    }
    let [first, second] = case.actors;
    tier.forget()?;
    let (pid, said) = lab::outcome(lab::actor(first, case, covered)?)?;
    let denied = if case.silent {
        said == "errno 110"
    } else {
        ["errno 1", "errno 13"].contains(&said.as_str())
    };
    let told = if denied { tier.told(pid, case.rule)? } else { Ok(()) };
    let (_, control) = lab::outcome(lab::actor(second, case, free)?)?;
    if control.starts_with("absent") {
        return Ok(Outcome::Skip(control));
    }
    if control != "ok" {
        return Ok(Outcome::Fail(format!("the control was not possible: {control}")));
    }
    if !denied {
        return Ok(Outcome::Fail(format!("the covered process came to: {said}")));
    }
    Ok(match told {
        Ok(()) => Outcome::Ok(format!("{said}, told as {}", case.rule)),
        Err(seen) => Outcome::Fail(format!("{said}, but no record of {}: {seen}", case.rule)),
    })
}
