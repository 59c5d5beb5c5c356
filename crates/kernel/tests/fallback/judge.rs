//! Decides for the guard from the tables of a policy, with the reference decision.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use kernel::enforce::guard::{Executed, Identity, Judge, Request, Wanted};
use model::policy::{Operation, Verdict};
use policy::marking::Marking;
use policy::mounts::Mount;
use policy::subjects::{Facts, Maps, Process};
use policy::{Bits, Compiled, Content, Labels};

/// A policy, and what it needs to know of this host.
pub(super) struct Policed {
    pub(super) compiled: Compiled,
    pub(super) mounts: BTreeMap<u64, Vec<Mount>>,
    pub(super) kept: BTreeMap<Identity, Labels>,
    marking: Marking,
    /// Of each request what it was and whether it went through.
    pub(super) told: Sender<(Request, bool)>,
    /// Sleeps so long before each answer.
    pub(super) delay: Duration,
}

impl Policed {
    pub(super) fn new(compiled: Compiled, told: Sender<(Request, bool)>) -> Policed {
        let mounts = shown(&compiled);
        let asked = [Operation::Read, Operation::Write, Operation::Execute];
        let marking = Marking::new(&compiled.tables, &asked);
        Policed { compiled, mounts, kept: BTreeMap::new(), marking, told, delay: Duration::ZERO }
    }

    fn labels(&self, request: &Request) -> Labels {
        let tables = &self.compiled.tables;
        let kept = self.kept.get(&request.file).copied().unwrap_or_default();
        let place = request.inside.as_ref();
        let shown = place.and_then(|place| Some((self.mounts.get(&place.device)?, &place.path)));
        let named = shown.map_or(Labels::UNRESOLVED, |(mounts, path)| {
            tables.label_inside(mounts, path.as_os_str().as_bytes())
        });
        kept.with(&named, &tables.verdicts)
    }

    fn subject(&self, tid: u32) -> Process {
        let tables = &self.compiled.tables;
        let executable = fs::read_link(format!("/proc/{tid}/exe")).unwrap_or_default();
        let labels = tables.label_path(executable.as_os_str().as_bytes());
        let [user, group, cgroup] = Maps::default().free.map(|_| Bits::ALL);
        let facts = Facts {
            executable: labels.as_slice(),
            script: &[],
            hash: Content::Other,
            user,
            group,
            cgroup,
            login: false,
        };
        tables.subjects.exec(&facts, &Process::default())
    }
}

/// The mounts of each filesystem.
fn shown(compiled: &Compiled) -> BTreeMap<u64, Vec<Mount>> {
    let mut mounts: BTreeMap<u64, Vec<Mount>> = BTreeMap::new();
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, _, device, root, point, ..] = words.as_slice() else { continue };
        let (major, minor) = device.split_once(':').unwrap();
        let device = major.parse::<u64>().unwrap() << 20 | minor.parse::<u64>().unwrap();
        let mount = compiled.tables.mount(point.as_bytes(), root.as_bytes());
        mounts.entry(device).or_default().push(mount);
    }
    mounts
}

impl Judge for Policed {
    fn everywhere(&self) -> bool {
        self.marking.everywhere()
    }

    fn named(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn below(&mut self, directory: &Path) -> bool {
        self.marking.below(&self.compiled.tables, directory.as_os_str().as_bytes())
    }

    fn children(&mut self, directory: &Path) -> bool {
        self.marking.children(&self.compiled.tables, directory.as_os_str().as_bytes())
    }

    fn concerns(&self, file: &Path) -> bool {
        self.marking.concerns(&self.compiled.tables, file.as_os_str().as_bytes())
    }

    fn known(&mut self, file: Identity, path: &Path) {
        let tables = &self.compiled.tables;
        let labels = tables.label_path(path.as_os_str().as_bytes());
        let kept = self.kept.entry(file).or_default();
        *kept = kept.with(&labels, &tables.verdicts);
    }

    fn remounted(&mut self) {
        self.mounts = shown(&self.compiled);
    }

    fn executables(&self) -> bool {
        !self.compiled.tables.things.hashes.is_empty()
    }

    fn allows(&mut self, request: &Request, file: &mut Executed<'_>) -> bool {
        std::thread::sleep(self.delay);
        let (mut labels, subject) = (self.labels(request), self.subject(request.tid));
        if self.executables() && request.wanted == Wanted::Execute {
            let tables = &self.compiled.tables;
            let content = file.hash().map_or(Content::Unknown, Content::Is);
            labels = labels.with(&tables.label_content(&content), &tables.verdicts);
        }
        if !labels.as_slice().is_empty() {
            self.kept.insert(request.file, labels);
        }
        let asked: &[Operation] = match request.wanted {
            Wanted::Execute => &[Operation::Execute],
            Wanted::Read | Wanted::Open { read: true, write: false } => &[Operation::Read],
            Wanted::Open { read: false, .. } => &[Operation::Write],
            Wanted::Open { .. } => &[Operation::Read, Operation::Write],
        };
        let allows = |operation: &Operation| {
            self.compiled.tables.decide(&subject, *operation, &labels).verdict == Verdict::Allow
        };
        let allowed = asked.iter().all(allows);
        // A test that has seen enough does not listen any more: who asks then is answered as before.
        let _heard = self.told.send((request.clone(), allowed));
        allowed
    }

    fn allows_unseen(&self) -> bool {
        false
    }
}
