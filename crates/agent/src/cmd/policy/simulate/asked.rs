//! Events as the requests that they were: who asked for what.
//!
//! A record tells what went through (or was refused); a policy is asked before. So of an exec it is the
//! program that ran before that asks. What events do not tell is taken as absent: hashes, names and
//! labels of containers, who made a file, and what a process did before it was recorded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::View;
use model::field::{self, FieldId};
use model::op::Kind;
use model::policy::Operation;
use model::value::{Fields, Value};
use model::wire::{Body, RecNet};
use policy::actor::{Actor, Identity};
use policy::network::Endpoint;
use policy::question::{Question, Target};

/// Different requests that are told apart: each is decided once, however often it was made.
const DIFFERENT_MAX: usize = 200_000;
/// Address families.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Requests that were made, and how often.
#[derive(Debug, Default)]
pub(in crate::cmd::policy) struct Asked {
    known: HashMap<String, usize>,
    /// Each once, in the order in which they came first.
    pub(super) requests: Vec<(Question, u64)>,
    /// All of them.
    pub(super) all: u64,
    /// Those that are not told apart any more, and not decided.
    pub(super) left_out: u64,
    /// Places at which something is missing in the recordings.
    pub(super) gaps: u64,
}

impl Asked {
    /// Adds the requests of an event.
    pub(super) fn add(&mut self, view: &View<'_>) {
        for question in questions(view) {
            self.all += 1;
            let key = format!("{question:?}");
            if let Some((_, count)) = self.known.get(&key).and_then(|at| self.requests.get_mut(*at))
            {
                *count += 1;
            } else if self.requests.len() < DIFFERENT_MAX {
                self.known.insert(key, self.requests.len());
                self.requests.push((question, 1));
            } else {
                self.left_out += 1;
            }
        }
    }
}

/// What an event asked for: a rename asks for two names.
fn questions(view: &View<'_>) -> Vec<Question> {
    let path = |of: FieldId| {
        let path = text(view, of).filter(|path| path.starts_with('/'));
        path.map(Target::Path)
    };
    let file = || path(field::FILE_PATH);
    let writes = view.get(field::FILE_EXT_OPEN_WRITE) == Value::Bool(true);
    let found = match view.kind() {
        Kind::Exec => vec![(Operation::Execute, path(field::PROCESS_EXECUTABLE))],
        Kind::Open if writes => vec![(Operation::Write, file())],
        Kind::Open => vec![(Operation::Read, file())],
        Kind::Create => vec![(Operation::Create, file())],
        Kind::Write => vec![(Operation::Write, file())],
        Kind::Rename => {
            let old = path(field::FILE_EXT_ORIGINAL_PATH);
            vec![(Operation::Rename, old), (Operation::Rename, file())]
        }
        Kind::Unlink => vec![(Operation::Delete, file())],
        Kind::Link => {
            let old = path(field::FILE_EXT_ORIGINAL_PATH);
            vec![(Operation::Link, old), (Operation::Create, file())]
        }
        Kind::Attr => vec![(Operation::Attributes, file())],
        Kind::Mount | Kind::Umount => vec![(Operation::Mount, file())],
        Kind::Connect => vec![(Operation::Connect, peer(view, false))],
        Kind::Send => vec![(Operation::Send, peer(view, false))],
        Kind::Accept => vec![(Operation::Accept, peer(view, false))],
        Kind::Bind => vec![(Operation::Bind, peer(view, true))],
        Kind::Listen => vec![(Operation::Listen, peer(view, true))],
        Kind::Ptrace => vec![(Operation::Ptrace, process(view))],
        Kind::Signal => vec![(Operation::Signal, process(view))],
        Kind::Module => vec![(Operation::LoadModule, Some(Target::Nothing))],
        Kind::Bpf => vec![(Operation::Bpf, Some(Target::Nothing))],
        Kind::Namespace => vec![(Operation::Namespace, Some(Target::Nothing))],
        Kind::IoUring => vec![(Operation::IoUring, Some(Target::Nothing))],
        _ => Vec::new(),
    };
    let ask = |(operation, target): (Operation, Option<Target>)| {
        Some(Question { operation, target: target?, actor: actor(view)? })
    };
    found.into_iter().filter_map(ask).collect()
}

/// Who asked; none if the program is not known, as of kernel threads.
fn actor(view: &View<'_>) -> Option<Actor> {
    let before = || {
        let previous = text(view, field::PROCESS_PREVIOUS_EXECUTABLE);
        previous.or_else(|| text(view, field::PROCESS_PARENT_EXECUTABLE))
    };
    let is_exec = view.kind() == Kind::Exec;
    let own = || text(view, field::PROCESS_EXECUTABLE);
    let executable = if is_exec { before() } else { own() }?;
    let identity = |id, name| Identity { id: number(view, id), name: text(view, name) };
    let mut ancestors: Vec<String> = view
        .ancestors()
        .filter_map(|one| match one.executable {
            Value::Str(path) => Some(String::from_utf8_lossy(path).into_owned()),
            _ => None,
        })
        .collect();
    ancestors.reverse();
    Some(Actor {
        executable,
        script: if is_exec { None } else { text(view, field::PROCESS_EXT_SCRIPT) },
        user: identity(field::USER_ID, field::USER_NAME),
        groups: vec![identity(field::GROUP_ID, field::GROUP_NAME)],
        cgroup: text(view, field::PROCESS_EXT_CGROUP_PATH).unwrap_or_default(),
        login: number(view, field::PROCESS_EXT_LOGIN_USER_ID).is_some_and(|id| id != u32::MAX),
        ancestors,
        ..Actor::default()
    })
}

fn process(view: &View<'_>) -> Option<Target> {
    let executable = text(view, field::PROCESS_EXT_TARGET_EXECUTABLE)?;
    Some(Target::Process(Box::new(Actor { executable, ..Actor::default() })))
}

/// The other side, or this one.
fn peer(view: &View<'_>, local: bool) -> Option<Target> {
    let Body::Net(net) = view.record().body() else { return None };
    let (bytes, port) = if local { (net.saddr, net.sport) } else { (net.daddr, net.dport) };
    let address = address(net, bytes)?;
    Some(Target::Peer(Endpoint { address, port, protocol: net.protocol }))
}

fn address(net: &RecNet, bytes: [u8; 16]) -> Option<IpAddr> {
    match net.family {
        AF_INET => {
            let [a, b, c, d, ..] = bytes;
            Some(Ipv4Addr::new(a, b, c, d).into())
        }
        AF_INET6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn text(view: &View<'_>, of: FieldId) -> Option<String> {
    let Value::Str(text) = view.get(of) else { return None };
    Some(String::from_utf8_lossy(text).into_owned())
}

fn number(view: &View<'_>, of: FieldId) -> Option<u32> {
    let Value::Int(number) = view.get(of) else { return None };
    u32::try_from(number).ok()
}
