//! Runs the cases and prints the table.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cases::{self, Case, UNRESOLVED};
use crate::hammer;
use crate::lab::{self, Lab};

/// `evade guest [--only WORD] [--reloads N]`
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    let mut only = "";
    let mut reloads = 200;
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
    let running = hammer::running().context("starting a process before the policy")?;
    let started = std::time::Instant::now();
    let mut lab = Lab::open()?;
    println!("loaded in {:.1} s", started.elapsed().as_secs_f32());
    for (program, reason) in lab.enforcer.missing() {
        println!("MISSING {program}: {reason}");
    }
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
    for (name, verdict) in hammer::all(&mut lab, running, reloads, only) {
        match verdict {
            Ok(said) => println!("ok   agent/{name}  {said}"),
            Err(error) => {
                failed += 1;
                println!("FAIL agent/{name}: {error:#}");
            }
        }
    }
    println!("{:?}", lab.enforcer.counters()?);
    lab.enforcer.release()?;
    let passed = cases.len() - skipped;
    if failed > 0 || passed == 0 {
        println!("RESULT FAIL {failed} failed of {passed}, {skipped} skipped");
        return Ok(false);
    }
    println!("RESULT ok {passed} cases, {skipped} skipped");
    Ok(true)
}

enum Outcome {
    Ok(String),
    Skip(String),
    Fail(String),
}

/// The covered process first: were the rule not in force, the free one would hide it.
fn one(lab: &mut Lab, case: &Case) -> Result<Outcome> {
    let places = ["covered", "free"].map(|who| lab::directory(case, who));
    let [covered, free] = &places;
    if !case.early {
        for at in &places {
            (case.prepare)(at)?;
        }
    }
    let rule = lab.rules.get(case.rule).copied();
    let rule = rule.or((case.rule == UNRESOLVED).then_some(lab::NO_RULE));
    let wanted = rule.context("no such rule")?;
    let [first, second] = case.actors;
    let mut denials = lab.enforcer.denials()?;
    // What other cases left is not of this one.
    while !denials.next(Duration::ZERO)?.is_empty() {}
    let (pid, said) = lab::outcome(lab::actor(first, case, covered)?)?;
    let mut seen = Vec::new();
    let denied = ["errno 1", "errno 13"].contains(&said.as_str());
    let told = denied && lab::told(&mut denials, pid, wanted, &mut seen)?;
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
    if !told {
        let rules: Vec<_> =
            seen.iter().map(|one| (one.h.pid, one.operation, one.rule, one.why)).collect();
        return Ok(Outcome::Fail(format!("{said}, but no record of {}: {rules:?}", case.rule)));
    }
    Ok(Outcome::Ok(format!("{said}, told as {}", case.rule)))
}
