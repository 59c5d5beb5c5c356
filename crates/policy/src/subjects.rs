//! Who asks: selectors as bits, and what a process must show to have them.
//!
//! A process has a selector's bit if it satisfies the selector in every dimension. For each
//! dimension there is the mask of the selectors that ask nothing there, and for each value the
//! selectors that the value satisfies; the masks of all dimensions are and-ed.

use std::collections::{BTreeMap, HashMap};

use model::policy::{Container, Subject, Trigger};

use crate::bits::Bits;
use crate::error::{Error, number};
use crate::limits::SUBJECTS_MAX;
use crate::tables::Content;

/// Dimensions in which masks are and-ed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dimension {
    /// Path of the executable.
    Executable,
    /// Hash of the executable.
    Hash,
    /// Path of the script.
    Script,
    /// User.
    User,
    /// Groups.
    Group,
    /// Cgroup, by path, unit and container.
    Cgroup,
    /// Executables of ancestors.
    Ancestor,
}

/// How many dimensions there are.
pub const DIMENSIONS: usize = 7;

/// What the kernel needs of selectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    /// Bits in use.
    pub known: Bits,
    /// For each dimension the selectors that ask nothing there.
    pub free: [Bits; DIMENSIONS],
    /// The selectors that a process without and with a login session can have.
    pub login: [Bits; 2],
    /// Selectors that pass to all that is started.
    pub inherit: Bits,
    /// Selectors that hold only once they are armed.
    pub after: Bits,
    /// Hashes of executables and what they satisfy, in order.
    pub hashes: Vec<([u8; 32], Bits)>,
    /// What an executable satisfies whose hash cannot be had: the selectors that only deny.
    pub unhashed: Bits,
    /// For each label of files the number of the set that it satisfies as executable, script and
    /// ancestor.
    pub labels: Vec<[u32; 3]>,
    /// Sets, each stored once; set 0 is empty.
    pub sets: Vec<Bits>,
}

/// A subject, and the deed that it must have done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Who.
    pub subject: Subject,
    /// After what.
    pub after: Option<Trigger>,
    /// Whether rules allow something by it. Only told apart where it names hashes: a process whose
    /// hash cannot be had is one that may be denied something, and none that is allowed something.
    pub grants: bool,
}

/// Numbers selectors.
#[derive(Debug)]
pub(crate) struct Selectors {
    numbers: HashMap<Selector, u8>,
    pub(crate) all: Vec<Selector>,
}

impl Selectors {
    /// Only bit 0: every process.
    pub(crate) fn new() -> Selectors {
        let everyone = Selector { subject: Subject::default(), after: None, grants: false };
        Selectors { numbers: HashMap::from([(everyone.clone(), 0)]), all: vec![everyone] }
    }

    /// The bit of a subject; `grants` as in [`Selector`].
    pub(crate) fn bit(
        &mut self,
        subject: &Subject,
        after: Option<&Trigger>,
        grants: bool,
    ) -> Result<u8, Error> {
        let grants = grants && !subject.hashes.is_empty();
        let selector = Selector { subject: canonical(subject), after: after.cloned(), grants };
        if let Some(known) = self.numbers.get(&selector) {
            return Ok(*known);
        }
        let next = self.all.len();
        let bit = u8::try_from(next).ok().filter(|_| next < SUBJECTS_MAX);
        let bit = bit.ok_or(Error::TooMany {
            what: "different subjects",
            max: SUBJECTS_MAX,
            found: next + 1,
            advice: "give rules about the same processes the same subject",
        })?;
        self.all.push(selector.clone());
        self.numbers.insert(selector, bit);
        Ok(bit)
    }
}

fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list.dedup();
    list
}

/// Subjects that mean the same are equal, as far as order and repetition go.
fn canonical(subject: &Subject) -> Subject {
    let mut one = Subject {
        executables: sorted(&subject.executables),
        hashes: sorted(&subject.hashes),
        scripts: sorted(&subject.scripts),
        users: sorted(&subject.users),
        groups: sorted(&subject.groups),
        cgroups: sorted(&subject.cgroups),
        units: sorted(&subject.units),
        ancestors: sorted(&subject.ancestors),
        ..subject.clone()
    };
    if one == (Subject { descendants: true, ..Subject::default() }) {
        one.descendants = false;
    }
    one
}

/// What of a selector means something only on a host: names and the bits that need them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Users.
    pub users: BTreeMap<String, Bits>,
    /// Groups.
    pub groups: BTreeMap<String, Bits>,
    /// Paths of cgroups.
    pub cgroups: BTreeMap<String, Bits>,
    /// Units of systemd.
    pub units: BTreeMap<String, Bits>,
    /// Containers.
    pub containers: Vec<(Container, Bits)>,
    /// Selectors that ask nothing of user, group, cgroup, unit, container.
    pub free: [Bits; 5],
}

impl Symbols {
    pub(crate) fn of(selectors: &[Selector]) -> Symbols {
        let mut symbols = Symbols::default();
        let mut containers: HashMap<Container, Bits> = HashMap::new();
        for (bit, Selector { subject, .. }) in (0..=u8::MAX).zip(selectors) {
            let lists = [
                (&subject.users, &mut symbols.users),
                (&subject.groups, &mut symbols.groups),
                (&subject.cgroups, &mut symbols.cgroups),
                (&subject.units, &mut symbols.units),
            ];
            for ((names, known), free) in lists.into_iter().zip(&mut symbols.free) {
                if names.is_empty() {
                    free.set(bit);
                }
                for name in names {
                    known.entry(name.clone()).or_default().set(bit);
                }
            }
            if let [.., free] = &mut symbols.free
                && subject.containers.is_empty()
            {
                free.set(bit);
            }
            for container in &subject.containers {
                containers.entry(container.clone()).or_default().set(bit);
            }
        }
        symbols.containers = containers.into_iter().collect();
        symbols.containers.sort_by_key(|one| (one.1, one.0.name.clone(), one.0.image.clone()));
        symbols
    }

    /// Looks up all names on this host.
    pub fn resolve(&self, host: &dyn Resolve) -> Maps {
        let [user, group, cgroup, unit, container] = self.free;
        let mut maps = Maps { free: [user, group, cgroup & unit & container], ..Maps::default() };
        let ids = |name: &str, known: Option<u32>| name.parse::<u32>().ok().or(known);
        for (name, bits) in &self.users {
            match ids(name, host.user(name)) {
                Some(id) => *maps.users.entry(id).or_insert(user) |= *bits,
                None => maps.unresolved.push(format!("user {name}")),
            }
        }
        for (name, bits) in &self.groups {
            match ids(name, host.group(name)) {
                Some(id) => *maps.groups.entry(id).or_insert(group) |= *bits,
                None => maps.unresolved.push(format!("group {name}")),
            }
        }
        let mut places: BTreeMap<u64, [Bits; 3]> = BTreeMap::new();
        let mut place = |ids: Vec<u64>, kind: usize, bits: Bits| {
            for id in ids {
                let place = places.entry(id).or_insert([cgroup, unit, container]);
                if let Some(slot) = place.get_mut(kind) {
                    *slot |= bits;
                }
            }
        };
        self.cgroups.iter().for_each(|(path, bits)| place(host.cgroups(path), 0, *bits));
        self.units.iter().for_each(|(unit, bits)| place(host.units(unit), 1, *bits));
        self.containers.iter().for_each(|(one, bits)| place(host.containers(one), 2, *bits));
        let merged = places.into_iter().map(|(id, [one, two, three])| (id, one & two & three));
        maps.cgroups = merged.collect();
        maps
    }
}

/// What names mean on a host. Lists of cgroups hold the whole subtrees, as they are now.
pub trait Resolve {
    /// The number of a user.
    fn user(&self, name: &str) -> Option<u32>;
    /// The number of a group.
    fn group(&self, name: &str) -> Option<u32>;
    /// The cgroups at and below a path.
    fn cgroups(&self, path: &str) -> Vec<u64>;
    /// The cgroups at and below that of a unit or slice.
    fn units(&self, name: &str) -> Vec<u64>;
    /// The cgroups at and below those of the containers that fit.
    fn containers(&self, container: &Container) -> Vec<u64>;
}

/// Whether a text is as a pattern says, in which `*` stands for any bytes and `?` for one.
pub fn wildcard(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut back: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                pattern = rest;
                back = Some((rest, text));
            }
            (Some((wanted, rest)), Some((byte, tail))) if *wanted == b'?' || wanted == byte => {
                (pattern, text) = (rest, tail);
            }
            (None, None) => return true,
            _ => match back.and_then(|(rest, from)| Some((rest, from.get(1..)?))) {
                Some((rest, from)) => {
                    (pattern, text) = (rest, from);
                    back = Some((rest, from));
                }
                None => return false,
            },
        }
    }
}

/// Names as numbers: what fills the maps of users, groups and cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maps {
    /// What a user that is not listed satisfies; a group; a cgroup.
    pub free: [Bits; 3],
    /// What a user satisfies.
    pub users: BTreeMap<u32, Bits>,
    /// What a group satisfies. The masks of all groups of a process are or-ed.
    pub groups: BTreeMap<u32, Bits>,
    /// What a cgroup satisfies.
    pub cgroups: BTreeMap<u64, Bits>,
    /// Names that mean nothing here: rules about them fit nobody yet.
    pub unresolved: Vec<String>,
}

impl Maps {
    /// The mask of a user.
    pub fn user(&self, id: u32) -> Bits {
        self.users.get(&id).copied().unwrap_or(self.free[0])
    }

    /// The mask of all groups of a process.
    pub fn group(&self, ids: &[u32]) -> Bits {
        let masks = ids.iter().filter_map(|id| self.groups.get(id));
        masks.fold(self.free[1], |all, mask| all | *mask)
    }

    /// The mask of a cgroup.
    pub fn cgroup(&self, id: u64) -> Bits {
        self.cgroups.get(&id).copied().unwrap_or(self.free[2])
    }
}

/// What is known of a process when its mask is made. Files are given by their labels.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Labels of the executable.
    pub executable: &'a [u32],
    /// Labels of the script; empty if none runs.
    pub script: &'a [u32],
    /// What the executable holds.
    pub hash: Content,
    /// Mask of its user, from [`Maps`].
    pub user: Bits,
    /// Mask of its groups.
    pub group: Bits,
    /// Mask of its cgroup.
    pub cgroup: Bits,
    /// Whether it belongs to a login session.
    pub login: bool,
}

/// A process as verdicts see it. A fork has the same; an exec makes it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Process {
    /// Selectors that it satisfies, armed or not.
    pub fits: Bits,
    /// Selectors that were armed by a deed; they pass to everything that is started.
    pub armed: Bits,
    /// What the executables before its own satisfy as ancestors.
    pub ancestors: Bits,
    /// What its own executable will satisfy as an ancestor.
    pub ancestor: Bits,
}

impl Subjects {
    /// The selectors that hold for a process.
    pub fn bits(&self, process: &Process) -> Bits {
        (process.fits & !self.after) | process.armed
    }

    /// The process after an exec; `before` is what it was, which a fork has from its parent.
    pub fn exec(&self, facts: &Facts<'_>, before: &Process) -> Process {
        let ancestors = before.ancestors | before.ancestor;
        let ancestor = self.of_labels(facts.executable, 2);
        let fits = self.own(facts, ancestors) | (before.fits & self.inherit);
        Process { fits, armed: before.armed, ancestors, ancestor }
    }

    /// The process after its user, groups, cgroup or session changed. What it starts from then on
    /// stays what it starts: selectors with descendants are not lost.
    pub fn change(&self, facts: &Facts<'_>, before: &Process) -> Process {
        let fits = self.own(facts, before.ancestors) | (before.fits & self.inherit);
        Process { fits, ..*before }
    }

    /// The selectors that facts satisfy in all dimensions.
    fn own(&self, facts: &Facts<'_>, ancestors: Bits) -> Bits {
        let [executable, hash, script, user, group, cgroup, ancestor] = self.free;
        let [without, with] = self.login;
        let of_hash = |hash: &[u8; 32]| {
            let at = self.hashes.binary_search_by_key(hash, |one| one.0).ok()?;
            self.hashes.get(at).map(|one| one.1)
        };
        let hashed = match &facts.hash {
            Content::Is(hash) => of_hash(hash),
            Content::Other => None,
            Content::Unknown => Some(self.unhashed),
        };
        (executable | self.of_labels(facts.executable, 0))
            & (hash | hashed.unwrap_or_default())
            & (script | self.of_labels(facts.script, 1))
            & (user | facts.user)
            & (group | facts.group)
            & (cgroup | facts.cgroup)
            & (ancestor | ancestors)
            & if facts.login { with } else { without }
            & self.known
    }

    /// What labels satisfy as executable (0), script (1) or ancestor (2).
    fn of_labels(&self, labels: &[u32], role: usize) -> Bits {
        let mut all = Bits::NONE;
        for label in labels {
            let set = self.labels.get(*label as usize).and_then(|sets| sets.get(role));
            all |= set.and_then(|set| self.sets.get(*set as usize)).copied().unwrap_or_default();
        }
        all
    }

    pub(crate) fn of(selectors: &[Selector], symbols: &Symbols) -> Subjects {
        let mut subjects = Subjects {
            known: Bits::NONE,
            free: [Bits::NONE; DIMENSIONS],
            login: [Bits::NONE; 2],
            inherit: Bits::NONE,
            after: Bits::NONE,
            hashes: Vec::new(),
            unhashed: Bits::NONE,
            labels: Vec::new(),
            sets: vec![Bits::NONE],
        };
        let [user, group, cgroup, unit, container] = symbols.free;
        let mut hashes: BTreeMap<[u8; 32], Bits> = BTreeMap::new();
        let mut free = [Bits::NONE; 4];
        for (bit, Selector { subject, after, grants }) in (0..=u8::MAX).zip(selectors) {
            subjects.known.set(bit);
            let empty = [
                subject.executables.is_empty(),
                subject.hashes.is_empty(),
                subject.scripts.is_empty(),
                subject.ancestors.is_empty(),
            ];
            for (free, _) in free.iter_mut().zip(empty).filter(|one| one.1) {
                free.set(bit);
            }
            for (login, mask) in [false, true].into_iter().zip(&mut subjects.login) {
                if subject.login_session.is_none_or(|wanted| wanted == login) {
                    mask.set(bit);
                }
            }
            if subject.descendants {
                subjects.inherit.set(bit);
            }
            if after.is_some() {
                subjects.after.set(bit);
            }
            if !subject.hashes.is_empty() && !grants {
                subjects.unhashed.set(bit);
            }
            for hash in &subject.hashes {
                hashes.entry(*hash).or_default().set(bit);
            }
        }
        let [executable, hash, script, ancestor] = free;
        let place = cgroup & unit & container;
        subjects.free = [executable, hash, script, user, group, place, ancestor];
        subjects.hashes = hashes.into_iter().collect();
        subjects
    }

    /// Says for each label what it satisfies.
    pub(crate) fn label(&mut self, claims: &[crate::labels::Claim]) {
        use crate::labels::Claim;
        let mut roles = [Bits::NONE; 3];
        for claim in claims {
            match claim {
                Claim::Executable(bit) => roles[0].set(*bit),
                Claim::Script(bit) => roles[1].set(*bit),
                Claim::Ancestor(bit) => roles[2].set(*bit),
                Claim::Rule(_) | Claim::Trigger(_) => {}
            }
        }
        let sets = roles.map(|bits| {
            let known = self.sets.iter().position(|set| *set == bits);
            number(known.unwrap_or_else(|| {
                self.sets.push(bits);
                self.sets.len() - 1
            }))
        });
        self.labels.push(sets);
    }
}
