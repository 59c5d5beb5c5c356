//! What can be denied where no LSM program loads, found by doing it: a file is marked and opened,
//! programs are attached. What is said to be denied was denied a moment ago.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use model::policy::Operation;

use super::super::cgroup::{Network, Options, PROGRAMS};
use super::fanotify::{EXECUTE, Group, OPEN, On, READ};
use crate::error::Error;

/// How much of an operation can be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Enforced,
    /// Some ways of it; a policy needs the operator's consent.
    Partly,
    /// None; a policy needs the operator's consent.
    Absent,
}

impl Extent {
    /// Name for people and documents.
    pub fn name(self) -> &'static str {
        match self {
            Extent::Enforced => "enforced",
            Extent::Partly => "partly",
            Extent::Absent => "absent",
        }
    }
}

/// What can be done about an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The operation.
    pub operation: Operation,
    /// How much of it can be denied.
    pub extent: Extent,
    /// By what.
    pub hook: &'static str,
    /// What is left out, or why nothing can be done.
    pub why: String,
}

/// How long the kernel may take to ask about a file that is opened to try it.
const PATIENCE: Duration = Duration::from_secs(5);

const FANOTIFY: &str = "fanotify permission events";
const CGROUP: &str = "programs of cgroups";
const NOTHING: &str = "none";

use Extent::{Absent, Enforced, Partly};

/// What the two hooks can do where they work.
const OFFER: &[(Operation, Extent, &str, &str)] = &[
    (
        Operation::Read,
        Enforced,
        FANOTIFY,
        "what was opened before the first mark on its filesystem stays readable from Linux 6.14, and what was mapped always",
    ),
    (
        Operation::Write,
        Partly,
        FANOTIFY,
        "opening for writing is denied; nothing is asked about truncate(2), about replacing and removing a file, and about what is open already",
    ),
    (Operation::Create, Absent, FANOTIFY, "the kernel tells of new names and asks about none"),
    (Operation::Delete, Absent, FANOTIFY, "the kernel tells of removals and asks about none"),
    (Operation::Rename, Absent, FANOTIFY, "the kernel tells of renames and asks about none"),
    (Operation::Link, Absent, FANOTIFY, "the kernel tells of links and asks about none"),
    (Operation::Attributes, Absent, FANOTIFY, "the kernel tells of changes and asks about none"),
    (
        Operation::Execute,
        Enforced,
        FANOTIFY,
        "what a loader or an interpreter is given as an argument is read, not executed; nobody is asked about files in memory only (memfd_create)",
    ),
    (Operation::MapCode, Absent, FANOTIFY, "the kernel does not ask before code is mapped"),
    (
        Operation::Connect,
        Enforced,
        CGROUP,
        "MPTCP is refused to whom a rule of the network is about",
    ),
    (Operation::Bind, Enforced, CGROUP, ""),
    (
        Operation::Listen,
        Partly,
        CGROUP,
        "listen(2) succeeds, but nobody can connect; deny bind to refuse it",
    ),
    (Operation::Accept, Enforced, CGROUP, "who is not let in gets no answer"),
    (
        Operation::Send,
        Enforced,
        CGROUP,
        "for connected sockets by refusing to connect; a socket that is connected already goes on",
    ),
    (
        Operation::Receive,
        Enforced,
        CGROUP,
        "packets are dropped; sockets made before are not known",
    ),
    (
        Operation::RawSocket,
        Partly,
        CGROUP,
        "raw sockets of IPv4 and IPv6 are refused; nothing is asked about packet sockets",
    ),
];

/// What each operation comes to where all hooks work.
pub fn at_best() -> Vec<Capability> {
    let of = |operation: &Operation| {
        let found = OFFER.iter().find(|one| one.0 == *operation).copied();
        let (operation, extent, hook, why) =
            found.unwrap_or((*operation, Absent, NOTHING, "only LSM programs are asked"));
        Capability { operation, extent, hook, why: why.to_owned() }
    };
    Operation::ALL.iter().map(of).collect()
}

/// What each operation comes to here; `cgroup` as in [`Options`].
pub fn capabilities(cgroup: Option<&Path>) -> Vec<Capability> {
    found(&try_network(cgroup), &std::env::temp_dir())
}

/// The same for programs of cgroups that are loaded already; files are tried in a directory that is the agent's, since a service
/// may write nowhere else.
pub fn capabilities_of(network: &Network, own: &Path) -> Vec<Capability> {
    found(&Tried::of(network), own)
}

fn found(network: &Tried, place: &Path) -> Vec<Capability> {
    let files = try_files(place).err();
    let mut all = at_best();
    for one in &mut all {
        let failed = match one.hook {
            FANOTIFY => files.as_ref().map(ToString::to_string),
            CGROUP => network.failed(one.operation),
            _ => None,
        };
        if let Some(why) = failed {
            (one.extent, one.why) = (Absent, why);
        }
    }
    all
}

/// Marks a file, lets a thread open it, and refuses.
fn try_files(place: &Path) -> Result<(), Error> {
    let path = place.join(format!("aegisbpf-{}", std::process::id()));
    let failed = |error| Error::io(format!("mark {}", path.display()), error);
    // Nobody else's file, and no link to one.
    File::create_new(&path).map_err(failed)?;
    let tried = refuse_once(&path);
    fs::remove_file(&path).map_err(failed)?;
    tried
}

fn refuse_once(path: &Path) -> Result<(), Error> {
    let group = Group::new()?;
    let marked = group.mark(On::File, OPEN | EXECUTE | READ, path);
    marked.map_err(|error| Error::io(format!("mark {}", path.display()), error))?;
    let opened = std::thread::scope(|scope| {
        let opens = scope.spawn(|| File::open(path).map(drop));
        let until = Instant::now() + PATIENCE;
        while !opens.is_finished() && Instant::now() < until {
            while let Some(asked) = group.question()? {
                group.answer(&asked, false)?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Without a group nobody is asked any more, so the thread ends.
        drop(group);
        Ok(opens.join())
    })?;
    match opened {
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        _ => {
            let source = io::Error::other("it was opened although the answer was no");
            Err(Error::io("deny opening a file", source))
        }
    }
}

/// Which programs attach.
struct Tried(Result<Vec<(&'static str, String)>, String>);

impl Tried {
    /// Attaches each program for a moment, unless it is.
    fn of(network: &Network) -> Tried {
        let attached = network.attached();
        let programs = PROGRAMS.iter().filter(|one| !attached.contains(&one.0));
        let attach = |(name, _): &(&'static str, _)| {
            let error = network.attach(name).err()?;
            Some((*name, error.to_string()))
        };
        Tried(Ok(programs.filter_map(attach).collect()))
    }

    /// Why an operation cannot be denied: the first of its programs that does not attach.
    fn failed(&self, operation: Operation) -> Option<String> {
        let refused = match &self.0 {
            Ok(refused) => refused,
            Err(error) => return Some(error.clone()),
        };
        let needed = PROGRAMS.iter().filter(|(_, operations)| operations.contains(&operation));
        let mut failed = needed.filter_map(|(name, _)| refused.iter().find(|one| one.0 == *name));
        failed.next().map(|(name, why)| format!("{name}: {why}"))
    }
}

fn try_network(cgroup: Option<&Path>) -> Tried {
    let options =
        Options { cgroup: cgroup.map(Path::to_owned), blob_bytes: TRIED_BYTES, pins: None };
    match Network::open(&options) {
        Ok(network) => Tried::of(&network),
        Err(error) => Tried(Err(error.to_string())),
    }
}

/// Bytes of tables that are never filled.
const TRIED_BYTES: u32 = 64 << 10;

#[cfg(test)]
mod tests {
    use model::policy::Operation;

    use super::{Extent, capabilities};

    #[test]
    fn each_operation_has_a_state_and_what_is_left_out_has_a_reason() {
        let all = capabilities(None);
        let operations: Vec<Operation> = all.iter().map(|one| one.operation).collect();
        assert_eq!(operations, Operation::ALL);
        for one in &all {
            assert!(one.extent == Extent::Enforced || !one.why.is_empty(), "{one:?}");
        }
        let of = |operation: Operation| all.iter().find(|one| one.operation == operation).unwrap();
        assert_eq!(of(Operation::Delete).extent, Extent::Absent);
        assert_eq!(of(Operation::Ptrace).why, "only LSM programs are asked");
        if nix::unistd::geteuid().is_root() {
            for operation in [Operation::Read, Operation::Execute, Operation::Connect] {
                assert_eq!(of(operation).extent, Extent::Enforced, "{:?}", of(operation));
            }
        } else {
            assert_eq!(of(Operation::Connect).extent, Extent::Absent);
        }
    }

    #[test]
    fn without_its_cgroup_nothing_of_the_network_is_offered() {
        let all = capabilities(Some("/no/such/cgroup".as_ref()));
        let connect = all.iter().find(|one| one.operation == Operation::Connect).unwrap();
        assert_eq!(connect.extent, Extent::Absent);
        assert!(connect.why.contains("/no/such/cgroup"), "{}", connect.why);
    }
}
