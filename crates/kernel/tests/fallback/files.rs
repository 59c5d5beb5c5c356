//! Files where no LSM program loads: a guard is asked before they are opened, executed and read.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use io_uring::{opcode, types};
use kernel::enforce::guard::{DEADLINE, Guard, Request};
use model::policy::{Mode, Object, Operation, Policy, Rule, Subject};
use nix::libc;
use policy::compile;

use super::acts::{checked, ring, tried, tried_with};
use super::judge::Policed;
use super::world::{Scratch, rule, skipped};

const EPERM: i32 = libc::EPERM;
/// How long a mark on a new directory may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens, and reads a byte if it can.
fn used(fd: OwnedFd) -> io::Result<()> {
    let mut byte = [0];
    File::from(fd).read(&mut byte).map(drop)
}

/// What an acting process does with a file.
pub(super) fn act(what: &str, path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    match what {
        "read" => File::open(path)?.read(&mut [0]).map(drop),
        "write" => File::options().write(true).open(path).map(drop),
        "ring-read" => {
            let open = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), name.as_ptr());
            ring(&open.flags(libc::O_RDONLY).build())
        }
        "openat2" => {
            let how: [u64; 3] = [0; 3];
            // SAFETY: name and structure outlive the call, and the length is the structure's.
            let fd = checked(unsafe {
                let size = size_of_val(&how);
                libc::syscall(
                    libc::SYS_openat2,
                    libc::AT_FDCWD,
                    name.as_ptr(),
                    &raw const how,
                    size,
                )
            })?;
            // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
            used(unsafe { OwnedFd::from_raw_fd(fd.try_into().unwrap()) })
        }
        "reopen" => {
            use std::os::unix::fs::OpenOptionsExt;
            let path = File::options().read(true).custom_flags(libc::O_PATH).open(path)?;
            used(File::open(format!("/proc/self/fd/{}", path.as_raw_fd()))?.into())
        }
        "mounted" => {
            use nix::mount::{MsFlags, mount};
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            let here = path.parent().unwrap();
            let elsewhere = here.with_file_name("open");
            mount(Some(here), &elsewhere, none, MsFlags::MS_BIND, none)?;
            File::open(elsewhere.join(path.file_name().unwrap())).map(drop)
        }
        other => panic!("no such act: {other}"),
    }
}

/// A directory with protected files, a program that the rules are about, and one that they are not.
struct Place {
    directory: tempfile::TempDir,
    scratch: Scratch,
    free: PathBuf,
    covered: PathBuf,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let at = directory.path().canonicalize().unwrap();
        let covered = at.join("covered");
        let free = std::env::current_exe().unwrap();
        fs::copy(&free, &covered).unwrap();
        for below in ["kept/deep", "open", "run"] {
            fs::create_dir_all(at.join(below)).unwrap();
        }
        for file in
            ["kept/file", "kept/deep/file", "kept/other", "open/file", "exact", "unwritable"]
        {
            fs::write(at.join(file), "content").unwrap();
        }
        fs::hard_link(at.join("kept/file"), at.join("open/linked")).unwrap();
        std::os::unix::fs::symlink(at.join("kept/file"), at.join("open/symbolic")).unwrap();
        fs::copy("/bin/true", at.join("run/program")).unwrap();
        fs::copy("/bin/true", at.join("open/program")).unwrap();
        Place { directory, scratch: Scratch::new(), free, covered }
    }

    fn at(&self, name: &str) -> String {
        let at = self.directory.path().canonicalize().unwrap().join(name);
        at.to_str().unwrap().to_owned()
    }

    fn rules(&self) -> Vec<Rule> {
        let path = |name: &str| Object::Path(self.at(name));
        vec![
            rule("read", &[Operation::Read], &[path("kept/**"), path("exact")]),
            rule("run", &[Operation::Execute], &[path("run/*")]),
            rule("write", &[Operation::Write], &[path("exact"), path("unwritable")]),
        ]
    }

    fn guard(&self, delay: Duration) -> (Guard, Receiver<(Request, bool)>) {
        self.guard_with(self.rules(), delay)
    }

    /// With other rules about the covered program.
    fn guard_with(
        &self,
        mut rules: Vec<Rule>,
        delay: Duration,
    ) -> (Guard, Receiver<(Request, bool)>) {
        let subject = Subject { executables: vec![self.at("covered")], ..Subject::default() };
        for rule in &mut rules {
            rule.subject = subject.clone();
        }
        let policies = [Policy { name: "p".to_owned(), rules, ..Policy::default() }];
        let options = policy::Options { generation: 1, mode: Mode::Enforce, now: 0 };
        let (told, said) = channel();
        let mut judge = Policed::new(compile(&policies, &options).unwrap(), told);
        judge.delay = delay;
        (Guard::start(Box::new(judge)).unwrap(), said)
    }

    /// The error of one act of the covered program, after the same act of the other one succeeded.
    fn denied(&self, act: &str) -> i32 {
        assert_eq!(tried(&self.free, &self.scratch.path, &[act]), [0], "{act}: control");
        let errors = tried(&self.covered, &self.scratch.path, &[act]);
        errors.first().copied().unwrap()
    }
}

#[test]
fn a_protected_file_is_protected_by_every_way_to_it() {
    if skipped() {
        return;
    }
    let place = Place::new();
    let (guard, said) = place.guard(Duration::ZERO);
    let ways = [
        "read kept/file",
        "read kept/deep/file",
        "read kept/../kept/file",
        "read exact",
        "read open/linked",
        "read open/symbolic",
        "ring-read kept/file",
        "openat2 kept/file",
        "reopen kept/file",
        "mounted kept/file",
        "run run/program",
        "write unwritable",
        "write exact",
    ];
    for way in ways {
        let (what, name) = way.split_once(' ').unwrap();
        assert_eq!(place.denied(&format!("{what} {}", place.at(name))), EPERM, "{way}");
        let refused = said.try_iter().filter(|one| !one.1).count();
        assert_eq!(refused, 1, "{way}: it was the guard");
    }
    let through_root = format!("read /proc/self/root{}", place.at("kept/file"));
    assert_eq!(place.denied(&through_root), EPERM);
    for allowed in ["read open/file", "run open/program", "write kept/file", "read unwritable"] {
        let (what, name) = allowed.split_once(' ').unwrap();
        let act = format!("{what} {}", place.at(name));
        assert_eq!(place.denied(&act), 0, "{allowed}: no rule about it");
    }
    // Opened by somebody whom no rule is about, and passed on. (What was opened before the first mark
    // on its filesystem is asked about up to Linux 6.13 only.)
    let input = || File::open(place.at("kept/other")).unwrap().into();
    let path = &place.scratch.path;
    assert_eq!(tried_with(&place.free, path, &["read-input"], input()), [0]);
    assert_eq!(tried_with(&place.covered, path, &["read-input"], input()), [EPERM]);
    let counters = guard.counters();
    assert_eq!((counters.late, counters.unmarked), (0, 0));
    assert!(counters.denied >= 15 && guard.is_alive(), "{counters:?}");
}

#[test]
fn what_is_renamed_or_made_later_is_protected() {
    if skipped() {
        return;
    }
    let place = Place::new();
    let (guard, _said) = place.guard(Duration::ZERO);
    let read = |name: &str| format!("read {}", place.at(name));
    fs::rename(place.at("kept/other"), place.at("open/moved")).unwrap();
    assert_eq!(place.denied(&read("open/moved")), EPERM, "it was protected once");
    fs::write(place.at("kept/new"), "content").unwrap();
    assert_eq!(place.denied(&read("kept/new")), EPERM, "a new file");
    fs::write(place.at("open/replacement"), "content").unwrap();
    fs::rename(place.at("open/replacement"), place.at("exact")).unwrap();
    assert_eq!(place.denied(&read("exact")), EPERM, "another file of that name");
    fs::remove_file(place.at("kept/file")).unwrap();
    fs::write(place.at("kept/file"), "content").unwrap();
    assert_eq!(place.denied(&read("kept/file")), EPERM, "made anew");
    fs::create_dir_all(place.at("kept/late/below")).unwrap();
    fs::write(place.at("kept/late/below/file"), "content").unwrap();
    let (from, mut open) = (Instant::now(), 0);
    while place.denied(&read("kept/late/below/file")) == 0 {
        open += 1;
        assert!(from.elapsed() < PATIENCE, "a new directory gets its mark");
    }
    println!("a new directory was open to {open} readers");
    assert_eq!(place.denied(&read("open/file")), 0, "no rule about it");
    assert_eq!(guard.counters().unmarked, 0);
}

#[test]
fn who_opens_a_file_beside_what_is_protected_is_not_asked() {
    if skipped() {
        return;
    }
    let place = Place::new();
    let kept = Object::Path(place.at("kept/**"));
    let rules = vec![rule("read", &[Operation::Read], &[kept])];
    let (guard, _said) = place.guard_with(rules, Duration::ZERO);
    let read = |name: &str| format!("read {}", place.at(name));
    for beside in ["exact", "open/file"] {
        assert_eq!(place.denied(&read(beside)), 0, "{beside}: no rule about it");
    }
    fs::write(place.at("new"), "content").unwrap();
    assert_eq!(place.denied(&read("new")), 0, "a new one");
    assert_eq!(guard.counters().asked, 0, "nobody waited");
    // The same guard is asked about what is protected, and about all who want it.
    assert_eq!(place.denied(&read("kept/file")), EPERM);
    let asked = guard.counters().asked;
    assert!(asked >= 2, "{asked} questions for two processes");
    // Another thing of that name is protected again, and its neighbours are not asked about.
    fs::rename(place.at("kept"), place.at("gone")).unwrap();
    assert_eq!(place.denied(&read("gone/file")), EPERM, "it was protected once");
    fs::write(place.at("kept"), "a file now").unwrap();
    let from = Instant::now();
    while place.denied(&read("kept")) == 0 {
        assert!(from.elapsed() < PATIENCE, "a file in the place of the directory gets its mark");
    }
    let asked = guard.counters().asked;
    assert_eq!(place.denied(&read("exact")), 0);
    assert_eq!(guard.counters().asked, asked, "nobody waited");
    assert_eq!(guard.counters().unmarked, 0);
}

#[test]
fn a_name_that_may_be_anywhere_is_protected_on_every_filesystem() {
    if skipped() {
        return;
    }
    let place = Place::new();
    // Nobody else on this host has a file of that name.
    let name = format!("x.anywhere-{}", std::process::id());
    fs::write(place.at(&name), "content").unwrap();
    fs::hard_link(place.at(&name), place.at("open/other")).unwrap();
    let pattern = Object::Path(format!("**/{name}"));
    let from = Instant::now();
    let rules = vec![rule("read", &[Operation::Read], &[pattern])];
    let (guard, said) = place.guard_with(rules, Duration::ZERO);
    println!("in force after {:?}", from.elapsed());
    let read = |path: &str| format!("read {}", place.at(path));
    for (path, why) in [(name.as_str(), "there before"), ("open/other", "another name of it")] {
        assert_eq!(place.denied(&read(path)), EPERM, "{why}");
    }
    fs::create_dir_all(place.at("late/below")).unwrap();
    let late = format!("late/below/{name}");
    fs::write(place.at(&late), "content").unwrap();
    assert_eq!(place.denied(&read(&late)), EPERM, "made later, at once");
    fs::rename(place.at(&late), place.at("late/renamed")).unwrap();
    assert_eq!(place.denied(&read("late/renamed")), EPERM, "it was protected once");
    assert_eq!(said.try_iter().filter(|one| !one.1).count(), 4, "each by the guard");
    assert_eq!(place.denied(&read("exact")), 0, "no rule about it");
    let counters = guard.counters();
    assert_eq!((counters.late, counters.unmarked), (0, 0));
}

/// An overlay over a directory, for as long as it is needed.
struct Overlay(String);

impl Overlay {
    fn new(place: &Place, lower: &str, name: &str) -> Overlay {
        use nix::mount::{MsFlags, mount};
        let at = |part: &str| place.at(&format!("{name}-{part}"));
        for part in ["upper", "work", "merged"] {
            fs::create_dir_all(at(part)).unwrap();
        }
        let lower = place.at(lower);
        let options = format!("lowerdir={lower},upperdir={},workdir={}", at("upper"), at("work"));
        let (kind, point) = (Some("overlay"), at("merged"));
        mount(kind, point.as_str(), kind, MsFlags::empty(), Some(options.as_str())).unwrap();
        Overlay(point)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        nix::mount::umount2(self.0.as_str(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn files_in_layers_are_asked_about_and_nobody_waits_for_ever() {
    if skipped() {
        return;
    }
    let place = Place::new();
    let name = format!("x.layered-{}", std::process::id());
    for file in [name.as_str(), "free", "written"] {
        fs::write(place.at(&format!("open/{file}")), "content").unwrap();
    }
    let _one = Overlay::new(&place, "open", "one");
    let _two = Overlay::new(&place, "one-merged", "two");
    let pattern = Object::Path(format!("**/{name}"));
    let rules = vec![rule("read", &[Operation::Read], &[pattern])];
    let (guard, said) = place.guard_with(rules, Duration::ZERO);
    for merged in ["one-merged", "two-merged"] {
        let read = |file: &str| format!("read {}", place.at(&format!("{merged}/{file}")));
        let acts = vec![read("free"); 10];
        let acts: Vec<&str> = acts.iter().map(String::as_str).collect();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    assert_eq!(tried(&place.free, &place.scratch.path, &acts), [0; 10]);
                });
            }
        });
        let errno = place.denied(&read("free"));
        let refused: Vec<_> = said.try_iter().filter(|one| !one.1).collect();
        assert_eq!(
            (errno, &refused[..]),
            (0, &[][..]),
            "{merged}: no rule about it, nor about its layers"
        );
        assert_eq!(place.denied(&read(&name)), EPERM, "{merged}");
        assert_eq!(said.try_iter().filter(|one| !one.1).count(), 1, "{merged}: by the guard");
        let write = format!("write {}", place.at(&format!("{merged}/written")));
        assert_eq!(place.denied(&write), 0, "{merged}: copied up, and no rule about it");
    }
    let counters = guard.counters();
    assert_eq!((counters.late, counters.unmarked), (0, 0));
}

#[test]
fn a_filesystem_that_is_mounted_later_is_protected() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    if skipped() {
        return;
    }
    let place = Place::new();
    let (guard, _said) = place.guard(Duration::ZERO);
    let none = None::<&str>;
    let below = place.at("kept/deep");
    mount(Some("tmpfs"), below.as_str(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
    fs::write(place.at("kept/deep/file"), "content").unwrap();
    let read = format!("read {}", place.at("kept/deep/file"));
    let from = Instant::now();
    let protected = loop {
        match place.denied(&read) {
            0 if from.elapsed() < PATIENCE => {}
            other => break other,
        }
    };
    println!("a new mount was open for {:?}", from.elapsed());
    umount2(below.as_str(), MntFlags::MNT_DETACH).unwrap();
    assert_eq!(protected, EPERM);
    assert_eq!(guard.counters().unmarked, 0);
}

#[test]
fn a_guard_that_is_late_is_answered_for_and_one_that_is_gone_lets_through() {
    if skipped() {
        return;
    }
    let place = Place::new();
    let (guard, _said) = place.guard(2 * DEADLINE);
    let from = Instant::now();
    // Refused, as the judge says of what it did not see; the program's own mark is not concerned.
    let act = format!("read {}", place.at("exact"));
    assert_eq!(tried(&place.free, &place.scratch.path, &[&act]), [EPERM]);
    assert!(from.elapsed() >= DEADLINE, "{:?}", from.elapsed());
    assert!(guard.counters().late >= 1);
    assert!(guard.is_alive());
    drop(guard);
    assert_eq!(tried(&place.covered, &place.scratch.path, &[&act]), [0], "nobody guards");
}
