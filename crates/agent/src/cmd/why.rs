//! `aegisbpf why`: what was denied, why something was, or what rules say of a process.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use policy::actor::{Actor, Identity};
use serde_json::Value as Json;

use super::policy::{explain, refused};
use crate::cli::Output;
use crate::cli::policy::WhyArgs;
use crate::client;
use crate::exit::{Exit, Failure};
use crate::policy::deploy;
use crate::policy::load::{Ready, Verified, looking};
use crate::policy::store::{Store, exact};
use crate::render::escape::piece;
use crate::render::{seconds, table};

/// Ancestors that are looked at; deeper trees are rare, and rules about them rarer.
const ANCESTORS_MAX: usize = 64;
/// Of the kernel's `dev_t`.
const MINOR_BITS: u32 = 20;
/// Bytes of a file of a process.
const PROC_MAX: u64 = 64 << 10;

/// Answers for an event or for a process; without one, lists what there is to ask about.
pub(crate) fn run(args: &WhyArgs) -> Result<Exit, Failure> {
    let Some(what) = &args.what else { return list(args) };
    let store = Store::at(&args.dirs.state_dir);
    let texts = deploy::in_force(&store)?;
    if texts.0.is_empty() {
        return Err(Failure::new(Exit::Failed, "no policy is in force")
            .help("`aegisbpf policy apply` puts one in force"));
    }
    let ready = Verified::again(texts).compile(&looking()).map_err(|one| refused(&one))?;
    let text = match what.parse::<u32>() {
        Ok(pid) => of_process(pid, &ready)?,
        Err(_) => of_event(what, &args.dirs.runtime_dir, &ready)?,
    };
    write!(anstream::stdout(), "{text}")?;
    Ok(Exit::Ok)
}

/// The denials that the agent keeps, the newest first.
fn kept(runtime: &Path) -> Result<Vec<Json>, Failure> {
    let mut about = client::get(runtime, "/v1/denials", &[])?.json()?;
    match about.get_mut("denials").map(Json::take) {
        Some(Json::Array(all)) => Ok(all),
        _ => Ok(Vec::new()),
    }
}

/// Lists the denials, the newest last.
fn list(args: &WhyArgs) -> Result<Exit, Failure> {
    let mut all = kept(&args.dirs.runtime_dir)?;
    all.reverse();
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", Json::Array(all))?;
    } else if all.is_empty() {
        writeln!(out, "nothing was denied since the agent was started")?;
    } else {
        let heading = ["event", "when", "outcome", "operation", "object", "pid", "program", "rule"];
        write!(out, "{}", table::plain(&heading, all.iter().map(row)))?;
    }
    Ok(Exit::Ok)
}

fn row(denial: &Json) -> Vec<String> {
    let word = |name: &str| piece(denial[name].as_str().unwrap_or("?"));
    vec![
        word("id"),
        seconds(denial["time"].as_str().unwrap_or_default()),
        word("outcome"),
        word("operation"),
        word("object"),
        denial["pid"].to_string(),
        word("executable"),
        word("rule"),
    ]
}

/// What was denied, and everything that was looked at.
fn of_event(id: &str, runtime: &Path, ready: &Ready) -> Result<String, Failure> {
    let all = kept(runtime)?;
    let denial = all.iter().find(|one| one["id"] == id).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("no denial called `{id}` is kept"))
            .help("`aegisbpf why` lists those that are: the last hundred, while the agent runs")
    })?;
    let word = |name: &str| denial[name].as_str().unwrap_or("?").to_owned();
    let mut text = format!(
        "{} {} {}: {}, process {} of user {}\n  by {} at {}\n\n",
        word("time"),
        word("operation"),
        word("object"),
        word("outcome"),
        denial["pid"],
        denial["uid"],
        word("rule"),
        word("place"),
    );
    let pid = denial["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let actor = pid.filter(|_| denial["executable"].is_string()).and_then(actor_of);
    let Some(actor) = actor else {
        text.push_str("the process has ended; `aegisbpf policy explain` takes its description\n");
        return Ok(text);
    };
    let told = denial["object"].as_str().unwrap_or_default().to_owned();
    let Some(object) = file(denial).map_or(Some(told), |number| named(ready, number)) else {
        text.push_str("its path is not known; `aegisbpf policy explain` takes one\n");
        return Ok(text);
    };
    let request = format!("{} {}", word("operation"), quoted(&object));
    text.push_str(&explain::of(ready, &request, actor)?);
    Ok(text)
}

/// Filesystem and number of a file that was told without its path.
fn file(denial: &Json) -> Option<(u64, u64)> {
    let [device, inode] = denial["file"].as_array()?.as_slice() else { return None };
    device.as_u64().zip(inode.as_u64())
}

/// The path by which rules name a file.
fn named(ready: &Ready, (device, inode): (u64, u64)) -> Option<String> {
    exact(ready).into_iter().find(|path| {
        let Ok(about) = std::fs::symlink_metadata(path) else { return false };
        let (major, minor) = (rustix::fs::major(about.dev()), rustix::fs::minor(about.dev()));
        about.ino() == inode && u64::from(major) << MINOR_BITS | u64::from(minor) == device
    })
}

fn quoted(object: &str) -> String {
    if object.is_empty() { String::new() } else { format!("'{object}'") }
}

/// The rules that are about a process.
fn of_process(pid: u32, ready: &Ready) -> Result<String, Failure> {
    let actor = actor_of(pid).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("there is no process {pid}, or it may not be looked at"))
    })?;
    let process = ready.compiled.process(&actor);
    let bits = ready.compiled.tables.subjects.bits(&process);
    let mut lines = vec![
        format!("process {pid} runs {}", piece(&actor.executable)),
        format!("  user {}, cgroup {}", actor.user.id.unwrap_or_default(), piece(&actor.cgroup)),
    ];
    if !actor.ancestors.is_empty() {
        let ancestors: Vec<String> = actor.ancestors.iter().map(|one| piece(one)).collect();
        lines.push(format!("  started by {}", ancestors.join(" > ")));
    }
    let about = |waits: bool| {
        ready.compiled.rules.iter().filter(move |rule| {
            let fits = process.fits.has(rule.bit);
            fits && bits.has(rule.bit) != waits
        })
    };
    for (title, waits) in [("rules about it", false), ("rules that wait for a deed of it", true)] {
        let mut rules = about(waits).peekable();
        if rules.peek().is_some() {
            lines.extend([String::new(), title.to_owned()]);
        }
        lines.extend(rules.map(|rule| format!("  {}", explain::described(rule))));
    }
    if about(false).next().is_none() && about(true).next().is_none() {
        lines.push("no rule is about it".to_owned());
    }
    Ok(lines.join("\n") + "\n")
}

/// A process as `/proc` describes it.
fn actor_of(pid: u32) -> Option<Actor> {
    let status = proc_text(pid, "status")?;
    let ids = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(
            line.split_whitespace().filter_map(|word| word.parse::<u32>().ok()).collect::<Vec<_>>(),
        )
    };
    // Effective ids: the second of real, effective, saved and that of files.
    let effective = |name: &str| ids(name)?.get(1).copied();
    let identity = |id: u32| Identity { id: Some(id), name: None };
    let mut user = identity(effective("Uid:")?);
    user.name = user.id.and_then(|id| {
        nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id))
            .ok()
            .flatten()
            .map(|one| one.name)
    });
    let mut groups: Vec<Identity> = effective("Gid:").map(identity).into_iter().collect();
    groups.extend(ids("Groups:").unwrap_or_default().into_iter().map(identity));
    for group in &mut groups {
        let known = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(group.id?));
        group.name = known.ok().flatten().map(|one| one.name);
    }
    let cgroup = proc_text(pid, "cgroup").unwrap_or_default();
    let cgroup = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let login = proc_text(pid, "loginuid").and_then(|text| text.trim().parse::<u32>().ok());
    let mut ancestors = Vec::new();
    let mut parent = ids("PPid:").and_then(|ids| ids.first().copied()).filter(|pid| *pid > 0);
    while let Some(pid) = parent.filter(|_| ancestors.len() < ANCESTORS_MAX) {
        ancestors.extend(executable(pid));
        parent = proc_text(pid, "status").and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
            line.trim().parse().ok().filter(|pid| *pid > 0)
        });
    }
    ancestors.reverse();
    Some(Actor {
        executable: executable(pid)?,
        user,
        groups,
        cgroup: cgroup.to_owned(),
        login: login.is_some_and(|uid| uid != u32::MAX),
        ancestors,
        ..Actor::default()
    })
}

fn proc_text(pid: u32, name: &str) -> Option<String> {
    let path = format!("/proc/{pid}/{name}");
    let bytes = crate::worker::read_limited(Path::new(&path), PROC_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn executable(pid: u32) -> Option<String> {
    let path = crate::guard::image::executable(pid)?;
    Some(path.to_string_lossy().into_owned())
}
