//! `aegisbpf isolate`: this host or a cgroup cut off the network, by the word of an operator, whether an
//! agent runs or not.

use std::io::Write;

use kernel::isolate::Isolation;
use serde_json::{Value as Json, json};

use crate::audit::Audit;
use crate::cli::Output;
use crate::cli::isolate::{BeginArgs, EndArgs, IsolateCommand, StatusArgs};
use crate::exit::{Exit, Failure};
use crate::guard::isolate::{LONGEST, all, begin, peers};
use crate::policy::store::Who;
use crate::render::escape::piece;

/// Runs the command that was asked for.
pub(crate) fn run(command: &IsolateCommand) -> Result<Exit, Failure> {
    crate::guard::privilege_for("cutting others off the network needs root")?;
    match command {
        IsolateCommand::Begin(args) => start(args),
        IsolateCommand::End(args) => end(args),
        IsolateCommand::Status(args) => status(args),
    }
}

fn failure(error: &kernel::Error) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// Writes down what is about to be done; it is not done if that cannot be.
fn announce(audit: &Audit, action: &str, about: Json) -> Result<(), Failure> {
    let failed = |error: capture::audit::LogError| {
        Failure::new(Exit::Failed, format!("nothing was done: {error}"))
            .help("what is done must be in the audit log first")
    };
    audit.write(action, about).map(|_| ()).map_err(failed)
}

fn start(args: &BeginArgs) -> Result<Exit, Failure> {
    if args.limit.is_zero() || args.limit > LONGEST {
        let days = LONGEST.as_secs() / (24 * 60 * 60);
        return Err(Failure::new(Exit::Usage, format!("--for is between 1s and {days}d")));
    }
    let audit = Audit::at(&args.dirs.state_dir);
    let name = format!("{}-{}", jiff::Timestamp::now().as_millisecond(), std::process::id());
    let peers = peers(&args.allow);
    let names: Vec<String> = peers.iter().map(ToString::to_string).collect();
    let cgroup = args.cgroup.as_ref().map(|cgroup| cgroup.to_string_lossy());
    let about = json!({
        "who": Who::me(), "id": name, "reason": args.reason, "cgroup": cgroup,
        "seconds": args.limit.as_secs(), "peers": names,
    });
    announce(&audit, "isolation-begin", about)?;
    let begun = begin(&args.dirs.runtime_dir, &name, args.cgroup.as_deref(), &peers, args.limit);
    if let Err(error) = begun {
        audit.note("isolation-failed", json!({ "id": name, "message": error.to_string() }));
        return Err(failure(&error));
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{name}")?;
    if !names.is_empty() {
        writeln!(out, "within reach: {}", names.join(", "))?;
    }
    Ok(Exit::Ok)
}

fn end(args: &EndArgs) -> Result<Exit, Failure> {
    let audit = Audit::at(&args.dirs.state_dir);
    let mut meant = all(&args.dirs.runtime_dir).map_err(|error| failure(&error))?;
    meant.retain(|one| args.name.as_ref().is_none_or(|name| *name == one.name()));
    if let (true, Some(name)) = (meant.is_empty(), &args.name) {
        return Err(Failure::new(
            Exit::Failed,
            format!("{}: there is no such isolation", piece(name)),
        )
        .help("see `aegisbpf isolate status`; what is over is not there any more"));
    }
    let ids: Vec<String> = meant.iter().map(Isolation::name).collect();
    announce(
        &audit,
        "isolation-end",
        json!({ "who": Who::me(), "ids": ids, "reason": args.reason }),
    )?;
    meant.into_iter().try_for_each(Isolation::lift).map_err(|error| failure(&error))?;
    let mut out = anstream::stdout().lock();
    match ids.len() {
        0 => writeln!(out, "nothing was cut off")?,
        _ => writeln!(out, "ended: {}", ids.join(", "))?,
    }
    Ok(Exit::Ok)
}

fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let found = all(&args.dirs.runtime_dir).map_err(|error| failure(&error))?;
    let mut list = Vec::new();
    for one in &found {
        let left = one.left().map_err(|error| failure(&error))?;
        let dropped = one.dropped().map_err(|error| failure(&error))?;
        list.push((one.name(), left.as_secs(), dropped));
    }
    let mut out = anstream::stdout().lock();
    if let Output::Json = args.output {
        let isolations = list.iter().map(|(name, left, dropped)| {
            let dropped = json!({ "egress": dropped.egress, "ingress": dropped.ingress });
            json!({ "id": name, "seconds_left": left, "dropped": dropped })
        });
        let document = json!({ "isolations": isolations.collect::<Vec<_>>() });
        writeln!(out, "{document:#}")?;
        return Ok(Exit::Ok);
    }
    for (name, left, dropped) in &list {
        let (egress, ingress) = (dropped.egress, dropped.ingress);
        writeln!(out, "{name}  {left} s left  dropped: {egress} sent, {ingress} received")?;
    }
    if list.is_empty() {
        writeln!(out, "nothing is cut off")?;
    }
    Ok(Exit::Ok)
}
