//! What an action is about to be done to: found again by the guard, which does not take the worker's word
//! for what it can look at itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::policy::{Operation, Operations};
use serde_json::{Map, Value as Json};

use super::deed::{Deed, Process, Taken};
use super::process::{self, Held};
use super::protected::Protected;
use crate::cli::RunArgs;
use crate::cli::webhook::Webhook;
use crate::guard::prevent::cgroup_root;
use crate::guard::{isolate, quarantine};
use crate::proto::{Act, Object, Verb};

/// Letters that stand for others in patterns of policies: who names a file so must not have more denied
/// than this file.
const PATTERN: &[char] = &['*', '?', '[', ']', '{', '}', '\\', '!', '$', ','];

/// Where actions leave what they do, and what they never touch.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) state: PathBuf,
    pub(super) runtime: PathBuf,
    pub(super) peers: Vec<kernel::isolate::Peer>,
    pub(super) protect: Vec<PathBuf>,
    pub(super) webhook: Option<Webhook>,
    pub(super) has_history: bool,
}

impl Place {
    pub(super) fn new(args: &RunArgs) -> Place {
        Place {
            state: args.state_dir.clone(),
            runtime: args.runtime_dir.clone(),
            peers: args.isolate_allow.clone(),
            protect: args.protect.clone(),
            webhook: args.webhook.clone(),
            has_history: args.history.0.is_some(),
        }
    }
}

/// What is to be done, and the process while it is held; why it is not done. What is found goes into the
/// record.
pub(super) fn find(
    act: &Act,
    protected: &Protected,
    worker: u32,
    place: &Place,
    about: &mut Map<String, Json>,
) -> Result<(Deed, Option<Held>), String> {
    let held = Held::of(act.pid, act.start);
    let executable = held.as_ref().ok().and_then(Held::executable);
    if let Ok(held) = &held {
        let path = executable.as_ref().map(|path| path.to_string_lossy().into_owned());
        about.insert("executable".to_owned(), path.into());
        about.insert("uid".to_owned(), held.uid().into());
        // What changes nothing is done to nobody.
        let spared = || protected.spares(held, worker);
        if let Some(reason) = (!act.verb.is_harmless()).then(spared).flatten() {
            return Err(reason);
        }
    }
    let mut note = |name: &str, value: String| drop(about.insert(name.to_owned(), value.into()));
    let one = Process { pid: act.pid, start: act.start, boot: process::boot() };
    let deed = match act.verb {
        Verb::Kill => Deed::Kill(one),
        Verb::KillTree => Deed::KillTree(one),
        Verb::Stop => Deed::Stop(one),
        Verb::Continue => Deed::Continue(one),
        Verb::Quarantine => {
            let taken = file(act, held.as_ref().ok(), executable)?;
            note("file", taken.path().to_string_lossy().into_owned());
            // What became of the process is of no matter to its file.
            return Ok((Deed::Quarantine(taken), held.ok()));
        }
        Verb::Isolate => {
            let held = held.as_ref().map_err(ToString::to_string)?;
            let cgroup = cgroup(held)?;
            note("cgroup", cgroup.display().to_string());
            Deed::Isolate { cgroup: Some(cgroup), boot: process::boot() }
        }
        Verb::IsolateHost => {
            return Ok((Deed::Isolate { cgroup: None, boot: process::boot() }, held.ok()));
        }
        Verb::Webhook if place.webhook.is_none() => {
            return Err("nobody is to be told: the agent runs without `--webhook`".to_owned());
        }
        Verb::Webhook => {
            let document = Json::Object(about.clone()).to_string();
            return Ok((Deed::Webhook { document }, held.ok()));
        }
        Verb::Capture if !place.has_history => {
            return Err("nothing is recorded: the agent runs with `--history off`".to_owned());
        }
        Verb::Capture => {
            return Ok((Deed::Capture { alert: format!("{:032x}", act.alert) }, held.ok()));
        }
        Verb::Deny => {
            let deed = denied(act, executable, protected, place)?;
            let Deed::Deny { what, by, operations } = &deed else { return Ok((deed, held.ok())) };
            note("denied", what.clone());
            note("operations", operations.join(", "));
            if let Some(by) = by {
                note("denied_to", by.clone());
            }
            return Ok((deed, held.ok()));
        }
    };
    held.map(|held| (deed, Some(held))).map_err(|gone| gone.to_string())
}

/// The file at hand: that of the event, or else the one that the process executes.
fn file(act: &Act, held: Option<&Held>, executable: Option<PathBuf>) -> Result<Taken, String> {
    match (&act.object, held, executable) {
        (Object::File { path, inode, .. }, ..) => {
            let inode = Some(*inode).filter(|inode| *inode != 0);
            Ok(Taken { path: path.clone(), device: None, inode })
        }
        (_, Some(held), Some(path)) => {
            // Its path may be one of a container; it is taken only if this is the file there.
            let about = held.image().ok().flatten();
            let about = about.ok_or("the file that it executes is gone")?;
            let path = path.into_os_string().as_bytes().to_vec();
            Ok(Taken { path, device: Some(about.dev()), inode: Some(about.ino()) })
        }
        (Object::Program(path), ..) => Ok(Taken { path: path.clone(), device: None, inode: None }),
        _ => Err("the event is about no file".to_owned()),
    }
}

/// The directory of the cgroup of a process, if it can be cut off without cutting off more.
fn cgroup(held: &Held) -> Result<PathBuf, String> {
    let root = cgroup_root();
    let path = inside(&held.pid.to_string()).ok_or("its cgroup is not known")?;
    // The root of another namespace of cgroups is shown as what is above ours.
    if path == "/" || path.contains("/..") {
        return Err("it is in the cgroup of all: `isolate-host` cuts off the host".to_owned());
    }
    let ours = inside("self").unwrap_or_else(|| "/".to_owned());
    if Path::new(&ours).starts_with(&path) {
        return Err("the agent is in its cgroup".to_owned());
    }
    Ok(root.join(path.trim_start_matches('/')))
}

/// The cgroup of version 2 that a process is in, below the root.
fn inside(process: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// What is denied from now on, and to whom: a file to the program that acted on it, a peer or a program
/// to all; and of it no more than what was done.
fn denied(
    act: &Act,
    executable: Option<PathBuf>,
    protected: &Protected,
    place: &Place,
) -> Result<Deed, String> {
    const NOTHING: &str = "the event is about nothing that can be denied";
    let deny = |what, by, operations: Operations| {
        if operations.is_empty() {
            return Err(NOTHING.to_owned());
        }
        let operations = operations.iter().map(|one| one.name().to_owned()).collect();
        Ok(Deed::Deny { what, by, operations })
    };
    match &act.object {
        Object::None => Err(NOTHING.to_owned()),
        Object::Peer(peer) => {
            let named = isolate::peers(&place.peers);
            if let Some(one) = named.iter().find(|one| one.meets(*peer)) {
                return Err(format!("{peer} is to stay within reach, as {one}"));
            }
            let host = peer.ip().to_string();
            let what = if peer.port() == 0 { host } else { peer.to_string() };
            deny(what, None, act.operations)
        }
        Object::File { path, by, .. } => {
            let by = executable
                .map_or_else(|| by.clone(), |path| path.into_os_string().as_bytes().to_vec());
            let by = plain(&by)?;
            if let Some(reason) = protected.names(Path::new(&by)) {
                return Err(reason);
            }
            deny(plain(path)?, Some(by), act.operations)
        }
        Object::Program(path) => {
            let path = plain(path)?;
            let named = protected.names(Path::new(&path));
            let known = || quarantine::protects(Path::new(&path), &place.state, &place.protect);
            let execute = Operations::default().with(Operation::Execute);
            named.or_else(known).map_or_else(|| deny(path, None, execute), Err)
        }
    }
}

/// A path that a rule can name and that means this file alone.
fn plain(path: &[u8]) -> Result<String, String> {
    let text = OsStr::from_bytes(path).to_str().filter(|text| {
        text.starts_with('/') && !text.contains(PATTERN) && !text.contains(char::is_control)
    });
    text.map(str::to_owned)
        .ok_or_else(|| format!("no rule can name {:?} alone", String::from_utf8_lossy(path)))
}
