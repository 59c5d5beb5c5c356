//! `aegisbpf actions`: what was done because rules matched, or would have been, as the audit log tells.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::audit::Audit;
use crate::cli::Output;
use crate::cli::actions::{ActionsArgs, ActionsCommand, ListArgs, RollbackArgs};
use crate::client;
use crate::exit::{Exit, Failure};
use crate::guard::read_kept;
use crate::policy::load::now;
use crate::policy::store::shortened;
use crate::proto::{Request, Undo, What};
use crate::render::escape::piece;
use crate::render::{seconds, table};

/// Runs the command that was asked for.
pub(crate) fn run(args: &ActionsArgs) -> Result<Exit, Failure> {
    match &args.command {
        None if args.would => would(&args.list),
        None => list(&args.list),
        Some(ActionsCommand::List(args)) => list(args),
        Some(ActionsCommand::Show { id, list }) => show(*id, list),
        Some(ActionsCommand::Rollback(args)) => rollback(args),
        Some(ActionsCommand::Resume { reason, dirs }) => {
            undo(&dirs.runtime_dir, What::Resume, reason)?;
            writeln!(anstream::stdout(), "rules act again")?;
            Ok(Exit::Ok)
        }
    }
}

/// An action with all lines about it.
#[derive(Debug)]
struct Action {
    decision: Json,
    /// What came of it, and how it ended, in this order.
    after: Vec<Json>,
    /// Until when it is in effect, seconds since 1970; none if it is not.
    until: Option<i64>,
}

fn number(line: &Json, name: &str) -> Option<u64> {
    line.get(name).and_then(Json::as_u64)
}

fn word<'a>(line: &'a Json, name: &str) -> &'a str {
    line.get(name).and_then(Json::as_str).unwrap_or_default()
}

impl Action {
    fn id(&self) -> u64 {
        number(&self.decision, "seq").unwrap_or_default()
    }

    /// The last that is known of it.
    fn outcome(&self) -> &str {
        let is_outcome = |line: &&Json| word(line, "action") == "response-outcome";
        self.after.iter().rfind(is_outcome).map_or("not known", |line| word(line, "outcome"))
    }

    fn document(&self) -> Json {
        let until = self.until.and_then(|until| jiff::Timestamp::from_second(until).ok());
        json!({
            "id": self.id(),
            "outcome": self.outcome(),
            "in_effect_until": until.map(|until| until.to_string()),
            "decision": self.decision,
            "after": self.after,
        })
    }
}

fn lines(state: &Path) -> Result<Vec<Json>, Failure> {
    let lines = Audit::at(state).lines(|action| action.starts_with("response"));
    lines.map_err(|error| Failure::cannot("tell what was done", &error))
}

/// All actions, the oldest first.
fn actions(state: &Path) -> Result<Vec<Action>, Failure> {
    let mut all: BTreeMap<u64, Action> = BTreeMap::new();
    for line in lines(state)? {
        if word(&line, "action") == "response" {
            if let Some(id) = number(&line, "seq").filter(|_| word(&line, "decision") == "do") {
                all.insert(id, Action { decision: line, after: Vec::new(), until: None });
            }
        } else if let Some(action) = number(&line, "of").and_then(|of| all.get_mut(&of)) {
            action.after.push(line);
        }
    }
    let kept = read_kept(state);
    let (kept, bad) = kept.map_err(|error| Failure::cannot("read the actions", &error))?;
    for one in kept {
        if let Some(action) = all.get_mut(&one.id) {
            action.until = Some(one.until);
        }
    }
    for path in bad {
        let path = piece(&path.display().to_string());
        writeln!(anstream::stderr(), "aegisbpf: {path} cannot be read, and is left out")?;
    }
    Ok(all.into_values().collect())
}

/// The same as documents.
pub(super) fn documents(state: &Path) -> Result<Vec<Json>, Failure> {
    Ok(actions(state)?.iter().map(Action::document).collect())
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let mut all = actions(&args.dirs.state_dir)?;
    all.drain(..all.len().saturating_sub(args.lines));
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        let all: Vec<Json> = all.iter().map(Action::document).collect();
        writeln!(out, "{:#}", json!(all))?;
        return Ok(Exit::Ok);
    }
    let rows = all.iter().map(|one| {
        let line = &one.decision;
        let left = match one.until {
            None => "-".to_owned(),
            Some(i64::MAX) => "no end".to_owned(),
            Some(until) => format!("{} s", until - now()),
        };
        vec![
            one.id().to_string(),
            seconds(word(line, "@timestamp")),
            piece(word(line, "response")),
            number(line, "pid").unwrap_or_default().to_string(),
            piece(word(line, "executable")),
            piece(word(line, "rule")),
            piece(one.outcome()),
            left,
        ]
    });
    let heading = ["id", "time", "what", "pid", "executable", "rule", "outcome", "left"];
    write!(out, "{}", table::plain(&heading, rows))?;
    Ok(Exit::Ok)
}

fn show(id: u64, args: &ListArgs) -> Result<Exit, Failure> {
    let all = actions(&args.dirs.state_dir)?;
    let Some(one) = all.iter().find(|one| one.id() == id) else {
        return Err(Failure::new(Exit::Failed, format!("{id} is no action"))
            .help("`aegisbpf actions list` shows them"));
    };
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", one.document())?;
        return Ok(Exit::Ok);
    }
    for line in std::iter::once(&one.decision).chain(&one.after) {
        writeln!(out, "{}", super::audit::shown(line.to_string().as_bytes(), Output::Text).trim())?;
    }
    match one.until {
        Some(i64::MAX) => writeln!(out, "in effect until it is rolled back")?,
        Some(until) => writeln!(out, "in effect for {} s more", until - now())?,
        None => writeln!(out, "not in effect, or nothing that can be undone")?,
    }
    Ok(Exit::Ok)
}

/// What enforcing would have done: by rule, response, program and user, how often and when last.
type Sums = BTreeMap<[String; 4], (u64, String)>;

fn sums(state: &Path) -> Result<Sums, Failure> {
    let mut sums = Sums::new();
    for line in lines(state)? {
        if word(&line, "decision") != "would" {
            continue;
        }
        let key = [
            word(&line, "rule").to_owned(),
            word(&line, "response").to_owned(),
            word(&line, "executable").to_owned(),
            number(&line, "uid").map_or_else(|| "-".to_owned(), user),
        ];
        let sum = sums.entry(key).or_default();
        // A line stands for those that were left out before it, too.
        sum.0 += 1 + number(&line, "left_out").unwrap_or_default();
        word(&line, "@timestamp").clone_into(&mut sum.1);
    }
    Ok(sums)
}

/// The same as documents.
pub(super) fn would_be(state: &Path) -> Result<Vec<Json>, Failure> {
    let all = sums(state)?;
    let all = all.iter().map(|([rule, response, executable, user], (count, last))| {
        json!({
            "rule": rule, "response": response, "executable": executable, "user": user,
            "count": count, "last": last,
        })
    });
    Ok(all.collect())
}

fn would(args: &ListArgs) -> Result<Exit, Failure> {
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", Json::Array(would_be(&args.dirs.state_dir)?))?;
        return Ok(Exit::Ok);
    }
    let sums = sums(&args.dirs.state_dir)?;
    let rows = sums.iter().map(|(key, (count, last))| {
        let mut row: Vec<String> = key.iter().map(|cell| piece(cell)).collect();
        row.extend([count.to_string(), seconds(last)]);
        row
    });
    let heading = ["rule", "what", "executable", "user", "count", "last"];
    write!(out, "{}", table::plain(&heading, rows))?;
    Ok(Exit::Ok)
}

/// A user by name, where this host knows it.
fn user(uid: u64) -> String {
    let known = u32::try_from(uid).ok().map(nix::unistd::Uid::from_raw);
    let known = known.and_then(|uid| nix::unistd::User::from_uid(uid).ok().flatten());
    known.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Asks the guard, which takes our user from the kernel.
pub(super) fn undo(runtime: &Path, what: What, reason: &str) -> Result<Json, Failure> {
    let reason = shortened(&reason.replace('\0', ""));
    if reason.is_empty() {
        let message = "say why, for those who read the audit log";
        return Err(Failure::new(Exit::Usage, message));
    }
    client::change(runtime, &Request::Undo(0, Undo { what, uid: 0, reason }))
}

fn rollback(args: &RollbackArgs) -> Result<Exit, Failure> {
    let since = |since: &Duration| {
        let since = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        What::Since(now().saturating_sub(since))
    };
    let what = match args {
        RollbackArgs { id: Some(id), .. } => What::One(*id),
        RollbackArgs { rule: Some(rule), .. } => What::Rule(rule.clone()),
        RollbackArgs { since: Some(time), .. } => since(time),
        _ => return Err(Failure::new(Exit::Usage, "name an action, a rule or a time")),
    };
    let answer = undo(&args.dirs.runtime_dir, what, &args.reason)?;
    let undone = answer.get("undone").and_then(Json::as_array).cloned().unwrap_or_default();
    let is_bad = |one: &Json| !word(one, "error").is_empty();
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", Json::Array(undone.clone()))?;
    } else {
        for one in &undone {
            let (id, was) = (number(one, "id").unwrap_or_default(), piece(word(one, "was")));
            match word(one, "error") {
                "" if one.get("goes_on").is_some() => {
                    writeln!(
                        out,
                        "{id}: is being undone ({was}); `actions show {id}` tells what comes of it"
                    )?;
                }
                "" => writeln!(out, "{id}: undone ({was})")?,
                reason => writeln!(out, "{id}: not undone ({was}): {}", piece(reason))?,
            }
        }
    }
    Ok(if undone.iter().any(is_bad) { Exit::Failed } else { Exit::Ok })
}
