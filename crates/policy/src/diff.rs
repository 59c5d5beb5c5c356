//! What changes from some policies to others: by rule, and by the verdict on sample requests.

use std::collections::BTreeMap;

use model::policy::{AllowList, Object, Operation, Policy, Rule, Subject, Verdict};

use crate::actor::{self, Actor};
use crate::compile::Compiled;
use crate::decide::Decision;
use crate::network::Endpoint;
use crate::pattern::Pattern;
use crate::question::{Question, Target};

/// Requests that are tried; with more the end of the list is left out, and that is said.
pub const SAMPLES_MAX: usize = 50_000;

/// What became of a rule or allow list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// These parts of it are not what they were.
    Changed(Vec<&'static str>),
}

/// A rule or allow list that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChange {
    /// Its policy.
    pub policy: String,
    /// Its id; empty for the policy itself.
    pub id: String,
    /// What became of it.
    pub change: Change,
}

/// A request that is answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    /// The request.
    pub question: Question,
    /// The old answer.
    pub before: Decision,
    /// The new answer.
    pub after: Decision,
}

/// Everything that changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// By rule, in the order of policies and ids.
    pub rules: Vec<RuleChange>,
    /// By request.
    pub turned: Vec<Turned>,
    /// How many requests were tried.
    pub tried: usize,
    /// Whether there would have been more to try.
    pub cut: bool,
}

/// One side: policies and their tables.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What was read.
    pub policies: &'a [Policy],
    /// What was made of it.
    pub compiled: &'a Compiled,
}

/// Compares two sides.
pub fn diff(before: Side<'_>, after: Side<'_>) -> Difference {
    let mut samples = Vec::new();
    for side in [before, after] {
        requests(side.policies, &mut samples);
    }
    let mut seen = std::collections::HashSet::new();
    samples.retain(|one| seen.insert(format!("{one:?}")));
    let cut = samples.len() > SAMPLES_MAX;
    samples.truncate(SAMPLES_MAX);
    let tried = samples.len();
    let turned = samples.into_iter().filter_map(|question| {
        let (old, new) = (decide(before, &question), decide(after, &question));
        (old.verdict != new.verdict || old.would.map(|one| one.0) != new.would.map(|one| one.0))
            .then_some(Turned { question, before: old, after: new })
    });
    Difference {
        turned: turned.collect(),
        rules: rules(before.policies, after.policies),
        tried,
        cut,
    }
}

fn decide(side: Side<'_>, question: &Question) -> Decision {
    let process = side.compiled.process(&question.actor);
    let labels = question.labels(side.compiled);
    side.compiled.tables.decide(&process, question.operation, &labels)
}

/// A rule or a list; the place in a file does not count.
enum Entry<'a> {
    Rule(&'a Rule),
    List(&'a AllowList),
    Whole(&'a Policy),
}

fn entries(policies: &[Policy]) -> BTreeMap<(&str, &str), Entry<'_>> {
    let mut all = BTreeMap::new();
    for policy in policies {
        let name = policy.name.as_str();
        all.insert((name, ""), Entry::Whole(policy));
        all.extend(policy.rules.iter().map(|one| ((name, one.id.as_str()), Entry::Rule(one))));
        let lists = policy.allow_lists.iter();
        all.extend(lists.map(|one| ((name, one.id.as_str()), Entry::List(one))));
    }
    all
}

fn rules(before: &[Policy], after: &[Policy]) -> Vec<RuleChange> {
    let (old, new) = (entries(before), entries(after));
    let mut changes = BTreeMap::new();
    for (key, entry) in &old {
        let change = match new.get(key) {
            None => Some(Change::Removed),
            Some(now) => Some(parts(entry, now)).filter(|all| !all.is_empty()).map(Change::Changed),
        };
        changes.extend(change.map(|change| (*key, change)));
    }
    let added = new.keys().filter(|key| !old.contains_key(*key));
    changes.extend(added.map(|key| (*key, Change::Added)));
    let owned = changes.into_iter().map(|((policy, id), change)| RuleChange {
        policy: policy.to_owned(),
        id: id.to_owned(),
        change,
    });
    owned.collect()
}

/// The parts that differ.
fn parts(old: &Entry<'_>, new: &Entry<'_>) -> Vec<&'static str> {
    let differing = |pairs: &[(&'static str, bool)]| {
        pairs.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect()
    };
    match (old, new) {
        (Entry::Rule(a), Entry::Rule(b)) => differing(&[
            ("verdict", a.verdict == b.verdict),
            ("operations", a.operations == b.operations),
            ("objects", a.objects == b.objects),
            ("subject", a.subject == b.subject),
            ("exception", a.exception == b.exception),
            ("after", a.after == b.after),
            ("severity", a.severity == b.severity),
            ("message", a.message == b.message),
        ]),
        (Entry::List(a), Entry::List(b)) => differing(&[
            ("operations", a.operations == b.operations),
            ("subject", a.subject == b.subject),
            ("errno", a.errno == b.errno),
        ]),
        (Entry::Whole(a), Entry::Whole(b)) => differing(&[("mode", a.mode == b.mode)]),
        _ => vec!["kind"],
    }
}

/// Requests that rules are about: each subject with each operation on an example of each object.
fn requests(policies: &[Policy], samples: &mut Vec<Question>) {
    for policy in policies {
        for rule in &policy.rules {
            let mut actor = actor::example(&rule.subject);
            actor.armed = rule.after.is_some();
            for operation in rule.operations.iter() {
                for object in &rule.objects {
                    let target = example(object, operation);
                    samples.extend(target.map(|target| question(operation, target, &actor)));
                }
            }
        }
        for list in &policy.allow_lists {
            let actor = actor::example(&list.subject);
            for operation in list.operations.iter() {
                let target = example(&Object::Any, operation);
                samples.extend(target.map(|target| question(operation, target, &actor)));
            }
        }
        if samples.len() > 2 * SAMPLES_MAX {
            return;
        }
    }
}

fn question(operation: Operation, target: Target, actor: &Actor) -> Question {
    Question { operation, target, actor: actor.clone() }
}

/// A peer that no policy means in particular.
const NOBODY: Endpoint = Endpoint {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)),
    port: 443,
    protocol: 6,
};

/// What an operation is done to.
#[derive(PartialEq, Eq)]
enum Sort {
    File,
    Peer,
    Capability,
    Process,
    Nothing,
}

fn sort(operation: Operation) -> Sort {
    use Operation as O;
    match operation {
        O::Connect | O::Bind | O::Listen | O::Accept | O::Send | O::Receive => Sort::Peer,
        O::Capability => Sort::Capability,
        O::Ptrace | O::Signal => Sort::Process,
        O::RawSocket | O::LoadModule | O::Bpf | O::Namespace | O::IoUring => Sort::Nothing,
        _ => Sort::File,
    }
}

/// Something that the object is, as far as words can say it and the operation can be about it.
fn example(object: &Object, operation: Operation) -> Option<Target> {
    let sort = sort(operation);
    let at = |ports: &Option<(u16, u16)>| ports.map_or(NOBODY.port, |ports| ports.0);
    let process = |subject: &Subject| Target::Process(Box::new(actor::example(subject)));
    match object {
        Object::Path(text) if sort == Sort::File => {
            let path = Pattern::parse(text).ok()?.example();
            Some(Target::Path(String::from_utf8_lossy(&path).into_owned()))
        }
        Object::Peer(peer) if sort == Sort::Peer => Some(Target::Peer(Endpoint {
            address: peer.network.map_or(NOBODY.address, |network| network.0),
            port: at(&peer.ports),
            protocol: peer.protocol.unwrap_or(NOBODY.protocol),
        })),
        Object::Domain { name, ports } if sort == Sort::Peer => {
            let name = name.strip_prefix("*.").map_or(name.clone(), |rest| format!("x.{rest}"));
            Some(Target::Name(name, Endpoint { port: at(ports), ..NOBODY }))
        }
        Object::Capability(number) if sort == Sort::Capability => Some(Target::Capability(*number)),
        Object::Process(subject) if sort == Sort::Process => Some(process(subject)),
        Object::Any => Some(match sort {
            Sort::File => Target::Path("/srv/some/file".to_owned()),
            Sort::Peer => Target::Peer(NOBODY),
            Sort::Capability => Target::Capability(0),
            Sort::Process => process(&Subject::default()),
            Sort::Nothing => Target::Nothing,
        }),
        _ => None,
    }
}

/// Whether an answer lets the request through.
pub fn is_allowed(decision: &Decision) -> bool {
    decision.verdict == Verdict::Allow
}
