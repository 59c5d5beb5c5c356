//! `aegisbpf policy simulate`: what policies would have denied of what really happened, and which
//! requests they answer otherwise than others (`policy diff --recording`).
//!
//! The reference decision is asked, which both ways of enforcing are held against: once for each
//! different request, however often it was made.

mod asked;

use std::collections::BTreeMap;
use std::io::Write;

use capture::play::Heard;
use model::policy::Verdict;
use policy::Why;
use policy::lint::decider;
use policy::question::Question;
use serde_json::{Value as Json, json};

pub(super) use asked::Asked;

use super::explain::Answer;
use crate::cli::Output;
use crate::cli::policy::{Recorded, SimulateArgs};
use crate::cmd::recorded;
use crate::exit::{Exit, Failure};
use crate::policy::load::Ready;
use crate::policy::words;
use crate::render::escape::piece;

/// Groups for which an exception is looked for: each is tried on compiled policies.
const EXCEPTIONS_MAX: usize = 20;
/// Groups and requests that are shown; `-o json` has all of them.
const SHOWN_MAX: usize = 40;
/// Requests of a group that are shown.
const OBJECTS_MAX: usize = 5;

/// Says what would have been denied.
pub(crate) fn run(args: &SimulateArgs) -> Result<Exit, Failure> {
    let ready = Ready::look(&args.files.paths, &args.files.vouch()).map_err(super::told)?;
    let ready = enforced(ready)?;
    let asked = asked(&args.recorded)?;
    let groups = groups(&ready, &asked);
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", document(&ready, &asked, &groups))?,
        Output::Text => write!(out, "{}", text(&ready, &asked, &groups))?,
    }
    Ok(Exit::Ok)
}

/// The same of policies that are compiled already, for programs.
pub(crate) fn simulated(ready: Ready, recorded: &Recorded) -> Result<Json, Failure> {
    let ready = enforced(ready)?;
    let asked = asked(recorded)?;
    let groups = groups(&ready, &asked);
    Ok(document(&ready, &asked, &groups))
}

/// The policies as if all of them were enforced, those too that are only reported: else nothing denies,
/// and there is nothing to allow.
fn enforced(mut ready: Ready) -> Result<Ready, Failure> {
    ready.loaded.policies.iter_mut().for_each(|policy| policy.mode = None);
    ready.compiled = policy::compile(&ready.loaded.policies, &ready.options)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    Ok(ready)
}

/// The requests in recordings.
pub(super) fn asked(from: &Recorded) -> Result<Asked, Failure> {
    let files = recorded::files(&from.recording, &from.state_dir)?;
    let begin = recorded::begin(from.since);
    let mut asked = Asked::default();
    let gaps = recorded::play(&files, &mut |heard| {
        let Heard::Event(view, _) = heard else { return };
        if !recorded::is_before(view, begin) {
            asked.add(view);
        }
    })?;
    asked.gaps = gaps;
    Ok(asked)
}

/// Requests that one rule denies to one program of one user.
struct Group<'a> {
    rule: String,
    verdict: Verdict,
    program: &'a str,
    user: String,
    count: u64,
    /// The requests, the most frequent first.
    requests: Vec<(&'a Question, u64)>,
}

/// What is answered once all that is only reported is in force.
fn answer(ready: &Ready, question: &Question) -> (Verdict, Why) {
    let compiled = &ready.compiled;
    let process = compiled.process(&question.actor);
    let labels = question.labels(compiled);
    let decision = compiled.explain(&process, question.operation, &labels).decision;
    decision.would.unwrap_or((decision.verdict, decision.why))
}

fn rule(ready: &Ready, why: Why) -> String {
    let rule = decider(why).and_then(|rule| ready.compiled.rules.get(rule as usize));
    rule.map_or_else(|| words::why(why, None), words::rule_name)
}

fn groups<'a>(ready: &Ready, asked: &'a Asked) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<(String, &str, String, &str), Group<'a>> = BTreeMap::new();
    for (question, count) in &asked.requests {
        let (verdict, why) = answer(ready, question);
        if matches!(verdict, Verdict::Allow | Verdict::Audit) {
            continue;
        }
        let (rule, user) = (rule(ready, why), user(question));
        let program = question.actor.executable.as_str();
        let key = (rule.clone(), program, user.clone(), words::verdict(verdict));
        let group = groups.entry(key).or_insert_with(|| Group {
            rule,
            verdict,
            program,
            user,
            count: 0,
            requests: Vec::new(),
        });
        group.count += count;
        group.requests.push((question, *count));
    }
    let mut groups: Vec<Group<'a>> = groups.into_values().collect();
    for group in &mut groups {
        group.requests.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

fn user(question: &Question) -> String {
    let user = &question.actor.user;
    user.name.clone().or_else(|| user.id.map(|id| id.to_string())).unwrap_or_else(|| "?".to_owned())
}

/// How the most frequent request of a group would be allowed.
fn exception(ready: &Ready, group: &Group<'_>) -> Vec<String> {
    let Some((question, _)) = group.requests.first() else { return Vec::new() };
    Answer::of(ready, (*question).clone(), Vec::new()).exception()
}

/// What is asked for, without who asks.
fn request(question: &Question) -> String {
    let nobody = Question { actor: policy::actor::Actor::default(), ..question.clone() };
    piece(&words::question(&nobody))
}

fn text(ready: &Ready, asked: &Asked, groups: &[Group<'_>]) -> String {
    let denied: u64 = groups.iter().map(|group| group.count).sum();
    let mut lines = vec![format!(
        "of {} requests, {} of them different, {denied} would be denied",
        asked.all,
        asked.requests.len()
    )];
    for (number, group) in groups.iter().enumerate().take(SHOWN_MAX) {
        let Group { rule, program, user, count, .. } = group;
        let verdict = words::verdict(group.verdict);
        let (program, user) = (piece(program), piece(user));
        lines.push(format!("\n{rule}: {program} as {user}, {count} times {verdict}"));
        for (question, count) in group.requests.iter().take(OBJECTS_MAX) {
            lines.push(format!("  {count:>7}  {}", request(question)));
        }
        if let Some(more) = group.requests.len().checked_sub(OBJECTS_MAX).filter(|more| *more > 0) {
            lines.push(format!("           and {more} others"));
        }
        if number < EXCEPTIONS_MAX {
            let exception = exception(ready, group);
            if !exception.is_empty() {
                lines.push("  to allow the first:".to_owned());
            }
            lines.extend(exception.iter().map(|line| format!("    {line}")));
        }
    }
    if let Some(more) = groups.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        lines.push(format!("\nand {more} more; -o json has all of them"));
    }
    lines.extend(notes(asked));
    lines.join("\n") + "\n"
}

fn notes(asked: &Asked) -> Vec<String> {
    let mut notes = vec![
        "\nnot known of what was recorded, and taken as absent: hashes, who made a file, names of \
         containers, and what a process did before"
            .to_owned(),
    ];
    if asked.left_out > 0 {
        notes.push(format!("{} requests were too many and are not decided", asked.left_out));
    }
    if asked.gaps > 0 {
        notes.push(format!("something is missing at {} places of the recordings", asked.gaps));
    }
    notes
}

fn document(ready: &Ready, asked: &Asked, groups: &[Group<'_>]) -> Json {
    let group = |(number, group): (usize, &Group<'_>)| {
        let requests = group
            .requests
            .iter()
            .map(|(question, count)| json!({ "request": request(question), "count": count }));
        let exception = if number < EXCEPTIONS_MAX {
            exception(ready, group).join("\n")
        } else {
            String::new()
        };
        json!({
            "rule": group.rule,
            "verdict": words::verdict(group.verdict),
            "program": group.program,
            "user": group.user,
            "count": group.count,
            "requests": requests.collect::<Vec<_>>(),
            "exception": exception,
        })
    };
    json!({
        "requests": asked.all,
        "different": asked.requests.len(),
        "left_out": asked.left_out,
        "gaps": asked.gaps,
        "denied": groups.iter().map(|group| group.count).sum::<u64>(),
        "groups": groups.iter().enumerate().map(group).collect::<Vec<_>>(),
    })
}

/// A request that two policies answer otherwise.
struct Change<'a> {
    question: &'a Question,
    count: u64,
    before: (Verdict, Why),
    after: (Verdict, Why),
}

fn changed<'a>(before: &Ready, after: &Ready, asked: &'a Asked) -> Vec<Change<'a>> {
    let mut changes: Vec<Change<'a>> = (asked.requests.iter())
        .map(|(question, count)| Change {
            question,
            count: *count,
            before: answer(before, question),
            after: answer(after, question),
        })
        .filter(|change| change.before.0 != change.after.0)
        .collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.count));
    changes
}

/// Recorded requests that are answered otherwise, for people.
pub(super) fn changes(before: &Ready, after: &Ready, asked: &Asked) -> String {
    let found = changed(before, after, asked);
    let sum: u64 = found.iter().map(|change| change.count).sum();
    let mut lines =
        vec![format!("{sum} of {} recorded requests are answered otherwise", asked.all)];
    for change in found.iter().take(SHOWN_MAX) {
        lines.push(format!(
            "  {:>7}  {}: was {}, will be {} by {}",
            change.count,
            piece(&words::question(change.question)),
            words::verdict(change.before.0),
            words::verdict(change.after.0),
            rule(after, change.after.1),
        ));
    }
    if let Some(more) = found.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        lines.push(format!("and {more} more; -o json has all of them"));
    }
    lines.extend(notes(asked));
    lines.join("\n") + "\n"
}

/// The same for programs.
pub(super) fn changes_document(before: &Ready, after: &Ready, asked: &Asked) -> Json {
    let found = changed(before, after, asked);
    let change = |change: &Change<'_>| {
        json!({
            "request": words::question(change.question),
            "count": change.count,
            "before": { "verdict": words::verdict(change.before.0), "by": rule(before, change.before.1) },
            "after": { "verdict": words::verdict(change.after.0), "by": rule(after, change.after.1) },
        })
    };
    json!({
        "requests": asked.all,
        "different": asked.requests.len(),
        "left_out": asked.left_out,
        "gaps": asked.gaps,
        "changed": found.iter().map(change).collect::<Vec<_>>(),
    })
}
