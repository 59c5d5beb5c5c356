//! `aegisbpf block` and `aegisbpf allow`

use std::io::Write;
use std::time::Duration;

use model::policy::Operations;
use serde_json::json;

use crate::cli::Output;
use crate::cli::adhoc::{About, AllowCommand, BlockCommand, DelArgs, ListArgs};
use crate::cli::policy::Dirs;
use crate::exit::{Exit, Failure};
use crate::policy::adhoc::{Adhoc, Entry, Kind};
use crate::policy::deploy::{self, Wanted};
use crate::policy::load::now;
use crate::policy::offer::Offer;
use crate::policy::running;
use crate::policy::store::{Store, Who};
use crate::render::escape::piece;
use crate::render::table;

/// `aegisbpf block`
pub(crate) fn block(command: &BlockCommand) -> Result<Exit, Failure> {
    match command {
        BlockCommand::Add(args) => {
            let entry = entry(Kind::Block, args.id.as_deref(), &args.about, args.ttl);
            add(entry, &args.about.dirs, args.where_possible)
        }
        BlockCommand::Del(args) => del(Kind::Block, args),
        BlockCommand::List(args) => list(Kind::Block, args),
    }
}

/// `aegisbpf allow`
pub(crate) fn allow(command: &AllowCommand) -> Result<Exit, Failure> {
    match command {
        AllowCommand::Add(args) => {
            let entry = entry(Kind::Allow, None, &args.about, Some(args.ttl));
            add(entry, &args.about.dirs, false)
        }
        AllowCommand::Del(args) => del(Kind::Allow, args),
        AllowCommand::List(args) => list(Kind::Allow, args),
    }
}

fn entry(kind: Kind, id: Option<&str>, about: &About, ttl: Option<Duration>) -> Entry {
    let seconds = |ttl: Duration| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
    Entry {
        id: id.unwrap_or_default().to_owned(),
        kind,
        what: about.what.clone(),
        operations: about.operations.clone(),
        executable: about.executable.clone(),
        until: ttl.map(|ttl| now().saturating_add(seconds(ttl))),
        reason: about.reason.clone(),
        author: Who::me().name(),
    }
}

fn add(mut entry: Entry, dirs: &Dirs, where_possible: bool) -> Result<Exit, Failure> {
    let mut id = String::new();
    let reason = Some(entry.reason.clone());
    let done = change(dirs, reason, |all, offer, accepted| {
        if where_possible {
            for refusal in entry.keep_to(offer, accepted) {
                let (what, why) = (refusal.what(), refusal.why());
                writeln!(anstream::stdout(), "{what} is not denied: {why}")?;
            }
        }
        id = all.add(entry, now())?;
        Ok(())
    })?;
    writeln!(anstream::stdout(), "{id}: {done}")?;
    Ok(Exit::Ok)
}

fn del(kind: Kind, args: &DelArgs) -> Result<Exit, Failure> {
    let remove = |all: &mut Adhoc, _: &Offer, _| all.remove(kind, &args.id);
    let done = change(&args.dirs, args.reason.clone(), remove)?;
    writeln!(anstream::stdout(), "{} is gone: {done}", args.id)?;
    Ok(Exit::Ok)
}

/// Changes the rules, and puts what is in force into force with them. If that fails they are as
/// before.
fn change(
    dirs: &Dirs,
    reason: Option<String>,
    edit: impl FnOnce(&mut Adhoc, &Offer, Operations) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let store = Store::at(&dirs.state_dir);
    let mut by = running::enforcer(&dirs.runtime_dir, None)?;
    let locked = store.lock()?;
    let before = Adhoc::read(&store)?;
    let mut after = before.clone();
    edit(&mut after, &by.offer(), deploy::accepted_before(&store)?)?;
    after.write(&locked)?;
    let wanted = Wanted { again: true, reason, ..Wanted::default() };
    match deploy::apply_locked(&store, &locked, &wanted, &mut *by) {
        Ok((ready, active)) => Ok(deploy::told(&ready, &active, &*by)),
        Err(stop) => {
            before.write(&locked)?;
            Err(super::policy::told(stop))
        }
    }
}

fn list(kind: Kind, args: &ListArgs) -> Result<Exit, Failure> {
    let all = Adhoc::read(&Store::at(&args.dirs.state_dir))?;
    let now = now();
    let held = all
        .entries
        .iter()
        .filter(|one| one.kind == kind && one.until.is_none_or(|until| until > now));
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        let held: Vec<&Entry> = held.collect();
        writeln!(out, "{:#}", json!(held))?;
        return Ok(Exit::Ok);
    }
    let rows = held.map(|one| {
        let left = one.until.map_or_else(|| "-".to_owned(), |until| format!("{} s", until - now));
        let who = one.executable.as_deref().map_or_else(|| "every process".to_owned(), piece);
        vec![one.id.clone(), piece(&one.what), who, left, piece(&one.author), piece(&one.reason)]
    });
    let heading = ["id", "what", "for", "left", "by", "why"];
    write!(out, "{}", table::plain(&heading, rows))?;
    Ok(Exit::Ok)
}
