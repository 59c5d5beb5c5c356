//! A sink that keeps what it is given, and what the tests do with it.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use kernel::sink::Sink;
use kernel::source::Sources;
use model::interest::{Interest, Watch};
use model::op::{Kind, KindSet};
use model::wire::{Body, RecAct, RecFile, RecIds, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Whether the test can run; tells why not. The tests look at the whole host and some flood it, so
/// one runs at a time, also where each has a process of its own.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(crate) fn root() -> Option<File> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: needs root");
        return None;
    }
    let alone = File::open(std::env::current_exe().unwrap()).unwrap();
    alone.lock().unwrap();
    Some(alone)
}

/// What a record says, with its strings cut out.
#[derive(Debug, Clone)]
pub(crate) struct Said<T> {
    pub(crate) kind: Kind,
    pub(crate) ring: u32,
    pub(crate) record: T,
    pub(crate) path: Vec<u8>,
    pub(crate) old: Vec<u8>,
    pub(crate) name: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) files: Vec<Said<RecFile>>,
    pub(crate) ids: Vec<Said<RecIds>>,
    pub(crate) acts: Vec<Said<RecAct>>,
    pub(crate) lost: Vec<(u32, u32, u64)>,
}

impl Sink for Collected {
    fn submit(&mut self, ring: u32, bytes: &mut [u8]) {
        // Aligned, as the ring gives it.
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        let aligned = zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice());
        aligned[..bytes.len()].copy_from_slice(bytes);
        let record = Record::parse(aligned).unwrap();
        assert_eq!(record.header().len as usize, bytes.len(), "length in the header");
        assert_eq!(record.header().start, 0, "made up a start");
        let kind = record.kind();
        let text = |span| record.bytes(span).to_vec();
        match record.body() {
            Body::File(r) => {
                let (path, old, name) = (text(r.path), text(r.old_path), text(r.name));
                self.files.push(Said { kind, ring, record: *r, path, old, name });
            }
            Body::Ids(r) => {
                let none = Vec::new;
                self.ids.push(Said {
                    kind,
                    ring,
                    record: *r,
                    path: none(),
                    old: none(),
                    name: none(),
                });
            }
            Body::Act(r) => {
                let (path, name) = (text(r.path), text(r.name));
                self.acts.push(Said { kind, ring, record: *r, path, old: Vec::new(), name });
            }
            other => panic!("a source made a {other:?}"),
        }
    }

    fn lost(&mut self, ring: u32, cause: u32, count: u64) {
        self.lost.push((ring, cause, count));
    }
}

impl Collected {
    /// Records about files below a directory, in order.
    pub(crate) fn below(&self, dir: &Path) -> Vec<&Said<RecFile>> {
        let inside = |path: &[u8]| path.starts_with(dir.as_os_str().as_bytes());
        self.files.iter().filter(|f| inside(&f.path) || inside(&f.old)).collect()
    }

    /// The one record of that kind about that path.
    #[track_caller]
    pub(crate) fn one(&self, kind: Kind, path: &Path) -> &Said<RecFile> {
        let path = path.as_os_str().as_bytes();
        let found: Vec<_> =
            self.files.iter().filter(|f| f.kind == kind && f.path == path).collect();
        let shown = String::from_utf8_lossy(path);
        assert_eq!(found.len(), 1, "{} of {shown}: {found:#?}", kind.name());
        found[0]
    }

    /// Kinds of the records about one path, in order.
    pub(crate) fn kinds_of(&self, path: &Path) -> Vec<Kind> {
        let path = path.as_os_str().as_bytes();
        self.files.iter().filter(|f| f.path == path).map(|f| f.kind).collect()
    }
}

/// Sources at work for some kinds.
pub(crate) struct Live {
    sources: Sources,
    pub(crate) seen: Collected,
}

impl Live {
    #[track_caller]
    pub(crate) fn new(kinds: &[Kind], watch: &[Watch]) -> Live {
        let kinds: KindSet = kinds.iter().copied().collect();
        let interest = Interest { kinds, watch: watch.to_vec(), env: Vec::new() };
        let mut live = Live {
            sources: Sources::new(&[std::process::id()]).unwrap(),
            seen: Collected::default(),
        };
        let errors = live.sources.set(kinds, &interest, &mut live.seen);
        assert!(errors.is_empty(), "{errors:?}");
        live
    }

    pub(crate) fn sources(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// Takes what comes until nothing has come for 150 ms (at most 5 s).
    pub(crate) fn settle(&mut self) -> &Collected {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let mut fds = [PollFd::new(self.sources.epoll_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, PollTimeout::from(150u16)).unwrap();
            self.sources.service(&mut self.seen);
            if ready == 0 {
                break;
            }
        }
        &self.seen
    }
}

pub(crate) fn watch(path: &Path, recursive: bool, kinds: &[Kind]) -> Watch {
    let path = path.to_str().unwrap().to_owned();
    Watch { path, recursive, kinds: kinds.iter().copied().collect() }
}
