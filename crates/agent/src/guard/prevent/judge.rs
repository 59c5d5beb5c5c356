//! Decides about files where no LSM program loads: from the same tables, and from what `/proc` says
//! of who asks.
//!
//! A process is made up anew from its ancestors for each request, which waits meanwhile. So rules that
//! need what can be known only by having followed a process (`policy::needs`) are never put in force.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::enforce::guard::{Executed, Identity, Judge, Request, Wanted};
use model::policy::{Operation, Verdict};
use model::wire::{DENIAL_AUDIT, DENIAL_WOULD, RecDenial, Span};
use policy::marking::Marking;
use policy::mounts::Mount;
use policy::needs::ASKED;
use policy::subjects::{Facts, Maps, Process};
use policy::verdicts::{Answer, Layer};
use policy::{Bits, Content, Labels, Tables, Why};
use zerocopy::FromZeros;

use super::host;
use super::running::Running;
use super::told::{Limit, Teller};
use crate::guard::image;
use crate::policy::store::About;

/// Ancestors of a process that are looked at.
const ANCESTORS_MAX: usize = 64;
/// Bytes of a file of a process.
const PROC_MAX: u64 = 64 << 10;
/// Labels of files that were seen; beyond that they are found again by their paths.
const KNOWN_MAX: usize = 1 << 20;
/// Nanoseconds of the clock in which `/proc` tells when a process started.
pub(in crate::guard) const TICK: u64 = 10_000_000;

/// Decides for one generation.
pub(super) struct Policed {
    tables: Tables,
    marking: Marking,
    named: Vec<PathBuf>,
    /// Changes when names mean something else.
    maps: Arc<Mutex<Maps>>,
    mounts: HashMap<u64, Vec<Mount>>,
    known: HashMap<Identity, Labels>,
    cgroups: PathBuf,
    /// To whom rules about what a file holds say anything, when it is executed.
    by_hash: Bits,
    /// What the programs hold that run.
    running: Running,
    teller: Teller,
    limit: Limit,
}

/// Whether a generation says anything about files that can be asked about.
pub(super) fn is_needed(tables: &Tables) -> bool {
    tables.verdicts.layers.iter().any(is_about_files) || Marking::new(tables, &ASKED).any()
}

fn is_about_files(layer: &Layer) -> bool {
    let guarded = |one: &Operation| layer.guarded.get(*one as usize).copied().unwrap_or_default();
    ASKED.iter().any(|one| !guarded(one).is_empty()) || has_list(layer)
}

fn has_list(layer: &Layer) -> bool {
    ASKED.iter().any(|one| layer.defaults.get(*one as usize).is_some_and(|row| *row != 0))
}

impl Policed {
    /// Ready to decide, and to tell what it denies.
    pub(super) fn new(
        tables: Tables,
        about: &About,
        maps: Arc<Mutex<Maps>>,
        teller: Teller,
    ) -> std::io::Result<Policed> {
        let mounts = host::shown(&tables)?;
        let cgroups = host::cgroup_root();
        let known = HashMap::new();
        let marking = Marking::new(&tables, &ASKED);
        let named = about.exact.iter().map(PathBuf::from).collect();
        let limit = Limit::default();
        let by_hash = by_hash(&tables);
        let running = if tables.subjects.hashes.is_empty() {
            Running::default()
        } else {
            Running::now().map_err(std::io::Error::other)?
        };
        Ok(Policed {
            tables,
            marking,
            named,
            maps,
            mounts,
            known,
            cgroups,
            by_hash,
            running,
            teller,
            limit,
        })
    }

    fn labels(&self, request: &Request) -> Labels {
        let known = self.known.get(&request.file).copied().unwrap_or_default();
        let place = request.inside.as_ref();
        let shown = place.and_then(|place| Some((self.mounts.get(&place.device)?, &place.path)));
        let named = shown.map_or(Labels::UNRESOLVED, |(mounts, path)| {
            self.tables.label_inside(mounts, path.as_os_str().as_bytes())
        });
        // A file with labels of its own is known, whatever its name.
        let named = if named.unresolved && !known.as_slice().is_empty() { known } else { named };
        known.with(&named, &self.tables.verdicts)
    }

    /// A file stays what it is, whatever becomes of its name.
    fn keep(&mut self, file: Identity, labels: &Labels) {
        let room = self.known.len() < KNOWN_MAX || self.known.contains_key(&file);
        if room && !labels.as_slice().is_empty() {
            let kept = self.known.entry(file).or_default();
            *kept = kept.with(labels, &self.tables.verdicts);
        }
    }

    /// The process as its ancestors made it; the oldest of them comes first.
    fn subject(&self, tid: u32) -> Option<Process> {
        let (mut line, mut next) = (Vec::new(), Some(tid));
        while let Some(pid) = next.filter(|pid| *pid > 0 && line.len() < ANCESTORS_MAX) {
            let Some(one) = Status::of(pid) else { break };
            next = Some(one.parent);
            line.push((pid, one));
        }
        if line.is_empty() {
            return None;
        }
        let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut process = Process::default();
        for (pid, status) in line.iter().rev() {
            let path = image::executable(*pid).unwrap_or_default();
            let executable = self.tables.label_path(path.as_os_str().as_bytes());
            let hash = if self.tables.subjects.hashes.is_empty() {
                Content::Other
            } else {
                self.running.content(*pid)
            };
            let facts = Facts {
                executable: executable.as_slice(),
                script: &[],
                hash,
                user: maps.user(status.user),
                group: maps.group(&status.groups),
                cgroup: self.cgroup(*pid, &maps),
                login: login(*pid),
            };
            process = self.tables.subjects.exec(&facts, &process);
        }
        Some(process)
    }

    /// What the nearest cgroup that rules know satisfies.
    fn cgroup(&self, pid: u32, maps: &Maps) -> Bits {
        let text = proc_text(pid, "cgroup").unwrap_or_default();
        let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let path = self.cgroups.join(path.trim_start_matches('/'));
        let inside = path.ancestors().take_while(|one| one.starts_with(&self.cgroups));
        let mut ids = inside.filter_map(|one| fs::metadata(one).ok()).map(|one| one.ino());
        let known = ids.find_map(|id| maps.cgroups.get(&id));
        known.copied().unwrap_or_else(|| maps.cgroup(0))
    }

    fn tell(
        &mut self,
        request: &Request,
        operation: Operation,
        (verdict, why): (Verdict, Why),
        flag: u32,
    ) {
        let path = request.inside.as_ref().map(|place| place.path.as_os_str().as_bytes());
        let path = path.unwrap_or_default();
        let status = Status::of(request.tid);
        let mut record = RecDenial::new_zeroed();
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        record.h.time = seconds.saturating_mul(1_000_000_000);
        record.h.time += u64::try_from(now.tv_nsec).unwrap_or_default();
        record.h.pid = status.as_ref().map_or(request.tid, |one| one.process);
        record.h.tid = request.tid;
        record.h.uid = status.as_ref().map_or(0, |one| one.user);
        record.generation = self.tables.generation;
        (record.dev, record.ino) = (request.file.device, request.file.inode);
        record.rule = policy::lint::decider(why).unwrap_or(u32::MAX);
        record.operation = operation as u16;
        record.answer = if verdict == Verdict::Kill { Answer::Kill } else { Answer::Perm } as u16;
        record.flags = u16::try_from(flag).unwrap_or_default();
        let bytes = size_of::<RecDenial>();
        let off = u16::try_from(bytes).unwrap_or_default();
        record.path = Span { off, len: u16::try_from(path.len()).unwrap_or_default() };
        if let Some(untold) = self.limit.untold(&record, &self.teller) {
            record.untold = untold;
            record.h.start = started(record.h.pid).unwrap_or_default().saturating_mul(TICK);
            self.teller.tell(&record, path);
        }
    }
}

impl Judge for Policed {
    fn everywhere(&self) -> bool {
        self.marking.everywhere()
    }

    fn executables(&self) -> bool {
        !self.tables.things.hashes.is_empty() || !self.tables.subjects.hashes.is_empty()
    }

    fn named(&self) -> Vec<PathBuf> {
        self.named.clone()
    }

    fn below(&mut self, directory: &Path) -> bool {
        self.marking.below(&self.tables, directory.as_os_str().as_bytes())
    }

    fn children(&mut self, directory: &Path) -> bool {
        self.marking.children(&self.tables, directory.as_os_str().as_bytes())
    }

    fn concerns(&self, file: &Path) -> bool {
        self.marking.concerns(&self.tables, file.as_os_str().as_bytes())
    }

    fn known(&mut self, file: Identity, path: &Path) {
        let labels = self.tables.label_path(path.as_os_str().as_bytes());
        self.keep(file, &labels);
    }

    fn remounted(&mut self) {
        match host::shown(&self.tables) {
            Ok(mounts) => self.mounts = mounts,
            Err(error) => tracing::error!(%error, "files of new mounts cannot be told apart"),
        }
    }

    fn allows(&mut self, request: &Request, file: &mut Executed<'_>) -> bool {
        let mut labels = self.labels(request);
        let by_hash = request.wanted == Wanted::Execute && self.executables();
        // Where whole filesystems are marked, most files are nobody's business.
        if !by_hash && !self.marking.decides(&labels) {
            return true;
        }
        // Who is gone already asks for nothing any more.
        let Some(subject) = self.subject(request.tid) else { return false };
        self.keep(request.file, &labels);
        let of_program = !self.tables.subjects.hashes.is_empty();
        let asked = self.by_hash.meets(&self.tables.subjects.bits(&subject));
        if by_hash && (of_program || asked) {
            let content = file.hash().map_or(Content::Unknown, Content::Is);
            if of_program {
                self.running.note(request.file, content);
            }
            labels = labels.with(&self.tables.label_content(&content), &self.tables.verdicts);
        }
        let asked: &[Operation] = match request.wanted {
            Wanted::Execute => &[Operation::Execute],
            Wanted::Read | Wanted::Open { read: true, write: false } => &[Operation::Read],
            Wanted::Open { read: false, .. } => &[Operation::Write],
            Wanted::Open { .. } => &[Operation::Read, Operation::Write],
        };
        for operation in asked {
            let decision = self.tables.decide(&subject, *operation, &labels);
            if decision.audited {
                for rule in self.tables.audits(&subject, *operation, &labels) {
                    let reported = (Verdict::Audit, Why::Rule(rule));
                    self.tell(request, *operation, reported, DENIAL_AUDIT);
                }
            }
            if decision.verdict != Verdict::Allow {
                self.tell(request, *operation, (decision.verdict, decision.why), 0);
                return false;
            }
            if let Some(would) = decision.would.filter(|one| one.0 != Verdict::Allow) {
                self.tell(request, *operation, would, DENIAL_WOULD);
            }
        }
        true
    }

    fn allows_unseen(&self) -> bool {
        // If anything is carried out at all, what cannot be decided is refused.
        !self.tables.verdicts.layers.first().is_some_and(is_about_files)
    }
}

/// To whom the labels of hashes say anything about executing.
fn by_hash(tables: &Tables) -> Bits {
    let labels = tables.things.hashes.iter().map(|one| one.1).chain([tables.things.unhashed]);
    let row = |layer: &Layer, label: u32| {
        let row = *layer.rows.get(label as usize)?.get(Operation::Execute as usize)?;
        let row = tables.verdicts.rows.get(row as usize)?;
        Some(row.deny | row.allow | row.except | row.audit)
    };
    let layers = &tables.verdicts.layers;
    let all = labels.flat_map(|label| layers.iter().filter_map(move |layer| row(layer, label)));
    all.fold(Bits::NONE, |all, one| all | one)
}

/// What `/proc` says of a thread.
struct Status {
    process: u32,
    parent: u32,
    user: u32,
    groups: Vec<u32>,
}

impl Status {
    fn of(pid: u32) -> Option<Status> {
        let text = proc_text(pid, "status")?;
        let numbers = |name: &str| -> Vec<u32> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        // Of real, effective, saved and that of files, the second.
        let effective = |name| numbers(name).get(1).copied();
        let mut groups = numbers("Groups:");
        groups.extend(effective("Gid:"));
        Some(Status {
            process: numbers("Tgid:").first().copied()?,
            parent: numbers("PPid:").first().copied().unwrap_or_default(),
            user: effective("Uid:")?,
            groups,
        })
    }
}

fn login(pid: u32) -> bool {
    let id = proc_text(pid, "loginuid").and_then(|text| text.trim().parse::<u32>().ok());
    id.is_some_and(|id| id != u32::MAX)
}

/// When a process started, in the ticks of `/proc`.
pub(in crate::guard) fn started(pid: u32) -> Option<u64> {
    let text = proc_text(pid, "stat")?;
    // The name of the program may hold anything; it ends at the last parenthesis.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

fn proc_text(pid: u32, name: &str) -> Option<String> {
    let bytes = crate::worker::read_limited(Path::new(&format!("/proc/{pid}/{name}")), PROC_MAX);
    Some(String::from_utf8_lossy(&bytes.ok()?).into_owned())
}
