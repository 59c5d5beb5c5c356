//! A policy in force for one cgroup, and what it denied.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kernel::enforce::cgroup::{Network, Options};
use kernel::enforce::{Carry, Generation, Id, IdKind, Mount};
use model::policy::*;
use model::program::Severity;
use model::wire::RecDenial;
use policy::subjects::{Maps, Resolve, Selector};
use policy::{Compiled, compile};
use zerocopy::FromBytes;

/// How long a record may take to arrive on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says why when the tests cannot run.
pub(super) fn skipped() -> bool {
    let skip = !nix::unistd::geteuid().is_root();
    if skip {
        println!("SKIP: loading BPF programs needs root");
    }
    skip
}

/// A cgroup that goes away.
pub(super) struct Scratch {
    pub(super) path: PathBuf,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Scratch {
    pub(super) fn new() -> Scratch {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fallback-{}-{number}", std::process::id());
        Scratch::at(root().join(name))
    }

    pub(super) fn below(&self, name: &str) -> Scratch {
        Scratch::at(self.path.join(name))
    }

    fn at(path: PathBuf) -> Scratch {
        fs::create_dir(&path).unwrap();
        Scratch { path }
    }

    pub(super) fn id(&self) -> u64 {
        fs::metadata(&self.path).unwrap().ino()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        // A process that has just ended may still be in it.
        while fs::remove_dir(&self.path).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where version 2 of cgroups is mounted.
fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let found = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?;
        (words.next() == Some("cgroup2")).then(|| PathBuf::from(point))
    });
    found.unwrap()
}

/// A rule.
pub(super) fn rule(id: &str, operations: &[Operation], objects: &[Object]) -> Rule {
    Rule {
        id: id.to_owned(),
        subject: Subject::default(),
        operations: operations.iter().fold(Operations::default(), |all, one| all.with(*one)),
        objects: objects.to_vec(),
        verdict: Verdict::Deny(Errno::Perm),
        severity: Severity::Low,
        message: None,
        exception: None,
        after: None,
        place: Place::default(),
    }
}

/// A network and a port.
pub(super) fn peer(network: &str, prefix: u8, port: Option<u16>) -> Object {
    Object::Peer(Peer {
        network: Some((network.parse().unwrap(), prefix)),
        ports: port.map(|port| (port, port)),
        protocol: None,
    })
}

/// The names of tests are numbers already; cgroups are those that are given.
struct Host<'a>(&'a BTreeMap<String, u64>);

impl Resolve for Host<'_> {
    fn user(&self, _: &str) -> Option<u32> {
        None
    }
    fn group(&self, _: &str) -> Option<u32> {
        None
    }
    fn cgroups(&self, path: &str) -> Vec<u64> {
        self.0.get(path).copied().into_iter().collect()
    }
    fn units(&self, _: &str) -> Vec<u64> {
        Vec::new()
    }
    fn containers(&self, _: &Container) -> Vec<u64> {
        Vec::new()
    }
}

/// A policy in force.
pub(super) struct World {
    pub(super) scratch: Scratch,
    pub(super) network: Network,
    pub(super) compiled: Compiled,
    cgroups: BTreeMap<String, u64>,
}

impl World {
    pub(super) fn new() -> World {
        World::of(Scratch::new(), None, 1 << 20)
    }

    /// In a cgroup, with pins and tables of that size.
    pub(super) fn of(scratch: Scratch, pins: Option<PathBuf>, blob_bytes: u32) -> World {
        let options = Options { cgroup: Some(scratch.path.clone()), blob_bytes, pins };
        let network = Network::open(&options).unwrap();
        assert_eq!(network.missing(), [], "this kernel takes all programs");
        let compiled = compiled(Vec::new(), 0);
        World { scratch, network, compiled, cgroups: BTreeMap::new() }
    }

    /// The loader is gone, the cgroup stays.
    pub(super) fn end(self) -> Scratch {
        self.scratch
    }

    /// Names a cgroup for the subjects of rules.
    pub(super) fn name(&mut self, name: &str, scratch: &Scratch) {
        self.cgroups.insert(name.to_owned(), scratch.id());
    }

    /// Puts rules in force.
    pub(super) fn apply(&mut self, rules: Vec<Rule>) {
        let before = std::mem::take(&mut self.compiled.selectors);
        self.compiled = compiled(rules, self.compiled.tables.generation + 1);
        let tables = self.compiled.tables.encode().unwrap();
        let maps = self.compiled.symbols.resolve(&Host(&self.cgroups));
        let generation = Generation {
            tables: &tables,
            mounts: mounts(&self.compiled),
            ids: ids(&maps),
            carry: carry(&before, &self.compiled.selectors),
            ..Generation::default()
        };
        self.network.apply(&generation).unwrap();
        let active = self.network.active().unwrap().unwrap();
        assert_eq!(active.generation, self.compiled.tables.generation);
        assert!(active.tables == tables, "the kernel has what it was given");
    }

    /// Whether tables that are cut off are refused, with the ones in force staying there.
    pub(super) fn broken(&mut self) -> bool {
        let tables = self.compiled.tables.encode().unwrap();
        let cut = tables.get(..tables.len() / 2).unwrap();
        let refused = self.network.apply(&Generation { tables: cut, ..Generation::default() });
        refused.is_err() && self.network.active().unwrap().unwrap().tables == tables
    }

    /// The id of the rule behind a record.
    pub(super) fn rule_of(&self, record: &RecDenial) -> &str {
        self.compiled.rules.get(record.rule as usize).map_or("none", |rule| rule.id.as_str())
    }

    /// Reads the records so far, waiting until there are so many.
    pub(super) fn records(&self, wanted: usize) -> Vec<RecDenial> {
        let mut denials = self.network.denials().unwrap();
        let (mut all, until) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            let some = denials.next(Duration::from_millis(20)).unwrap();
            all.extend(some.iter().map(|one| RecDenial::read_from_prefix(one).unwrap().0));
            if all.len() >= wanted || Instant::now() > until {
                return all;
            }
        }
    }
}

fn compiled(rules: Vec<Rule>, generation: u64) -> Compiled {
    let policies = [Policy { name: "p".to_owned(), rules, ..Policy::default() }];
    compile(&policies, &policy::Options { generation, mode: Mode::Enforce, now: 0 }).unwrap()
}

/// What bits of one generation are in the next one.
fn carry(before: &[Selector], after: &[Selector]) -> Carry {
    let mut carry = Carry::default();
    for (slot, selector) in carry.0.iter_mut().zip(before) {
        let found = after.iter().position(|one| one == selector);
        *slot = found.and_then(|at| u8::try_from(at).ok()).unwrap_or_default();
    }
    carry
}

fn ids(maps: &Maps) -> Vec<Id> {
    let users = maps.users.iter().map(|(id, set)| (IdKind::User, u64::from(*id), set.0));
    let groups = maps.groups.iter().map(|(id, set)| (IdKind::Group, u64::from(*id), set.0));
    let cgroups = maps.cgroups.iter().map(|(id, set)| (IdKind::Cgroup, *id, set.0));
    users.chain(groups).chain(cgroups).map(|(kind, id, set)| Id { kind, id, set }).collect()
}

/// The mounts that show whole filesystems, as this process sees them.
fn mounts(compiled: &Compiled) -> Vec<Mount> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let one = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (major, minor) = words.get(2)?.split_once(':')?;
        let device = major.parse::<u64>().ok()? << 20 | minor.parse::<u64>().ok()?;
        let fresh = words.get(3) == Some(&"/") && seen.insert(device);
        let start = compiled.tables.start(Path::new(words.get(4)?).as_os_str().as_encoded_bytes());
        fresh.then_some(Mount {
            device,
            root: 0,
            anchored: start.anchored,
            loose: start.loose,
            hits: start.hits,
        })
    };
    text.lines().filter_map(one).collect()
}
