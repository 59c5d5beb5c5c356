//! Loads the sensors, collects records, and turns them into something that owns its bytes.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests")]

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use kernel::{Options, Report, Rings, Sensors, State};
use model::interest::{Interest, Watch};
use model::op::{Kind, KindSet};
use model::wire::Record;

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

/// Sensors with a reader.
pub(super) struct Bench {
    pub(super) sensors: Sensors,
    pub(super) report: Report,
    rings: Rings,
    seen: Vec<Vec<u8>>,
}

/// An interest in kinds of the whole host.
pub(super) fn interest(kinds: &[Kind]) -> Interest {
    let kinds: KindSet = kinds.iter().copied().collect();
    Interest { kinds, ..Interest::default() }
}

/// An interest in opens and writes of one file or directory.
pub(super) fn watching(path: &Path, kinds: &[Kind]) -> Interest {
    let mut interest = interest(kinds);
    let path = path.to_str().unwrap().to_owned();
    interest.watch.push(Watch { path, recursive: false, kinds: interest.kinds });
    interest
}

/// The sensors with the given kinds attached; events of this process are not left out.
pub(super) fn bench(kinds: &[Kind], options: Options) -> Bench {
    bench_of(&interest(kinds), options)
}

/// The same for any interest.
pub(super) fn bench_of(interest: &Interest, options: Options) -> Bench {
    let mut sensors = Sensors::load(Options { own_pids: Vec::new(), ..options }).unwrap();
    let report = sensors.subscribe(interest).unwrap();
    let fds: [OwnedFd; 3] = sensors.ring_fds().map(|fd| fd.try_clone_to_owned().unwrap());
    Bench { sensors, report, rings: Rings::new(fds).unwrap(), seen: Vec::new() }
}

impl Bench {
    /// Whether this kernel cannot tell an operation; says so.
    pub(super) fn lacks(&self, kind: Kind) -> bool {
        let row = self.report.operations.iter().find(|row| row.kind == kind).unwrap();
        if row.state == State::Absent {
            assert!(!row.note.is_empty(), "an absent operation says why");
            println!("SKIP: {} is absent here: {}", kind.name(), row.note);
        }
        row.state == State::Absent
    }

    /// The first record that `fits`, within the patience.
    pub(super) fn find(&mut self, what: &str, fits: impl Fn(&Record<'_>) -> bool) -> Vec<u8> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.sensors.service().unwrap();
            let seen = &mut self.seen;
            self.rings.drain(u64::MAX, usize::MAX, &mut |bytes| seen.push(bytes.to_vec()));
            let found = self.seen.iter().find(|b| fits(&Record::parse(b).unwrap()));
            if let Some(found) = found {
                return found.clone();
            }
            assert!(Instant::now() < until, "no record of {what} among {}", self.seen.len());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All records so far that `fit`.
    pub(super) fn count(&self, fits: impl Fn(&Record<'_>) -> bool) -> usize {
        self.seen.iter().filter(|b| fits(&Record::parse(b).unwrap())).count()
    }
}
