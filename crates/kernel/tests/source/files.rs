//! Files and mounts.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use kernel::sink::Sink;
use model::op::Kind;
use model::wire;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::time::ClockId;
use tempfile::tempdir;

use crate::children::{child, run, shell};
use crate::collect::{Live, root};

const FLAGS: u32 = wire::FLAG_NO_CREDS | wire::FLAG_NO_START | wire::FLAG_LATE_TIME;
const NAMES: &[Kind] = &[Kind::Create, Kind::Rename, Kind::Unlink, Kind::Link, Kind::Attr];

fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).unwrap()
}

/// A tmpfs that goes away with the test.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn new(at: &'a Path) -> Self {
        mount(Some("scratch"), at, Some("tmpfs"), MsFlags::MS_NOSUID, Some("size=64m")).unwrap();
        Tmpfs(at)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _gone = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn create_says_path_state_and_process() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let path = dir.path().join("new");
    let mut live = Live::new(NAMES, &[]);
    let before = now();
    let pid = run("mkdir", &["-m", "711", path.to_str().unwrap()]);
    let seen = live.settle();
    let made = seen.one(Kind::Create, &path);
    let stat = fs::metadata(&path).unwrap();
    assert_eq!(made.ring, wire::RING_REST);
    assert_eq!(made.record.h.pid, pid);
    assert_eq!(made.record.h.flags, FLAGS | wire::FLAG_AFTER);
    assert_eq!(u32::from(made.record.h.provider), wire::PROVIDER_FANOTIFY);
    assert!((before..now()).contains(&made.record.h.time), "time is not that of the record");
    assert_eq!(made.record.ino, stat.ino());
    let dev = nix::sys::stat::major(stat.dev()) << 20 | nix::sys::stat::minor(stat.dev());
    assert_eq!(made.record.dev, dev, "the kernel's encoding");
    assert_eq!(made.record.mode, 0o40711);
    assert!(made.old.is_empty());
}

#[test]
fn chmod_and_chown_say_what_changed() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let path = dir.path().join("tool");
    let name = path.to_str().unwrap();
    let mut live = Live::new(NAMES, &[]);
    shell(&format!("umask 022; : > {name}"));
    live.settle();
    let pid = run("chmod", &["4755", name]);
    live.settle();
    let owner = run("chown", &["12:34", name]);
    live.settle();
    run("touch", &["-d", "2020-01-01", name]);
    let seen = live.settle();
    let all: Vec<_> =
        seen.files.iter().filter(|f| f.kind == Kind::Attr && f.path == name.as_bytes()).collect();
    assert_eq!(all.len(), 3, "{all:#?}");
    assert_eq!((all[0].record.h.pid, all[0].record.mode), (pid, 0o104_755));
    assert_eq!(all[0].record.changed, wire::ATTR_MODE);
    assert_eq!((all[1].record.h.pid, all[1].record.uid, all[1].record.gid), (owner, 12, 34));
    // chown takes the set-user-id bit away.
    assert_eq!(all[1].record.changed, wire::ATTR_OWNER | wire::ATTR_MODE);
    assert_eq!(all[2].record.changed, 0, "times are not told apart");
}

#[test]
fn rename_says_both_names() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("sub/new"));
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(&old, "12345").unwrap();
    let mut live = Live::new(NAMES, &[]);
    let pid = run("mv", &[old.to_str().unwrap(), new.to_str().unwrap()]);
    let seen = live.settle();
    let renamed = seen.one(Kind::Rename, &new);
    assert_eq!(renamed.old, old.as_os_str().as_bytes());
    assert_eq!((renamed.record.h.pid, renamed.record.size), (pid, 5));
    assert_eq!(seen.below(dir.path()).len(), 1, "a rename is one record");
}

#[test]
fn a_hard_link_is_no_new_file_and_a_deletion_knows_its_name() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, "").unwrap();
    let mut live = Live::new(NAMES, &[]);
    let linker = run("ln", &[file.to_str().unwrap(), link.to_str().unwrap()]);
    live.settle();
    let remover = run("rm", &[link.to_str().unwrap()]);
    let seen = live.settle();
    assert_eq!(seen.kinds_of(&link), [Kind::Link, Kind::Unlink]);
    let linked = seen.one(Kind::Link, &link);
    assert_eq!(
        (linked.record.h.pid, linked.record.ino),
        (linker, fs::metadata(&file).unwrap().ino())
    );
    let gone = seen.one(Kind::Unlink, &link);
    assert_eq!((gone.record.h.pid, gone.record.ino), (remover, 0));
    assert_eq!(gone.record.h.flags, FLAGS, "there is no state after a deletion");
    assert_eq!(seen.kinds_of(&file), [], "the link count is no event of the first name");
}

#[test]
fn a_renamed_directory_gives_new_paths_below_it() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (old, new) = (dir.path().join("a"), dir.path().join("b"));
    fs::create_dir_all(old.join("deep/er")).unwrap();
    let mut live = Live::new(NAMES, &[]);
    run("mkdir", &[old.join("deep/er/1").to_str().unwrap()]);
    live.settle();
    run("mv", &[old.to_str().unwrap(), new.to_str().unwrap()]);
    run("mkdir", &[new.join("deep/er/2").to_str().unwrap()]);
    let seen = live.settle();
    seen.one(Kind::Create, &old.join("deep/er/1"));
    seen.one(Kind::Create, &new.join("deep/er/2"));
}

#[test]
fn replacing_a_name_tells_the_deletion_first() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let path = dir.path().join("f");
    let name = path.to_str().unwrap();
    fs::write(&path, "").unwrap();
    let mut live = Live::new(&[Kind::Create, Kind::Unlink], &[]);
    // One process, nobody reads in between: the kernel merges the two.
    run("python3", &["-c", &format!("import os; os.unlink('{name}'); open('{name}','w')")]);
    let kinds = live.settle().kinds_of(&path);
    assert_eq!(kinds, [Kind::Unlink, Kind::Create]);
    run(
        "python3",
        &[
            "-c",
            &format!("import os; os.unlink('{name}'); open('{name}','w'); os.unlink('{name}')"),
        ],
    );
    let kinds = live.settle().kinds_of(&path);
    assert_eq!(kinds[2..], [Kind::Create, Kind::Unlink], "what is gone was deleted last");
}

#[test]
fn names_may_hold_any_byte() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"a\nb\xff\xfe c\\040"));
    let mut live = Live::new(NAMES, &[]);
    let status = std::process::Command::new("mkdir").arg(&path).status().unwrap();
    assert!(status.success());
    live.settle().one(Kind::Create, &path);
}

#[test]
fn a_queue_that_runs_over_is_told() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let _tmpfs = Tmpfs::new(dir.path());
    let mut live = Live::new(&[Kind::Create], &[]);
    child(&format!("many {}", dir.path().display()));
    let seen = live.settle();
    let over = (wire::RING_REST, wire::LOSS_SOURCE, 1);
    assert!(seen.lost.contains(&over), "20,000 files fit into a queue of 16,384?");
    assert!(seen.below(dir.path()).len() > 10_000, "what was in the queue is lost too");
}

#[test]
fn a_mount_says_where_what_and_who() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let point = dir.path().join("with space");
    fs::create_dir(&point).unwrap();
    let name = point.to_str().unwrap();
    let mut live = Live::new(&[Kind::Mount, Kind::Umount], &[]);
    let mounter = run("mount", &["-t", "tmpfs", "-o", "nosuid,noexec", "src", name]);
    live.settle();
    let stat = fs::metadata(&point).unwrap();
    let remover = run("umount", &[name]);
    let seen = live.settle();
    for (kind, pid) in [(Kind::Mount, mounter), (Kind::Umount, remover)] {
        let said = seen.one(kind, &point);
        assert_eq!((&said.old[..], &said.name[..]), (&b"src"[..], &b"tmpfs"[..]));
        assert_eq!(said.record.open_flags, 2 | 8, "MS_NOSUID and MS_NOEXEC");
        assert_eq!(said.record.dev, nix::sys::stat::minor(stat.dev()));
        if u32::from(said.record.h.provider) == wire::PROVIDER_FANOTIFY {
            assert_eq!((said.record.h.pid, said.record.magic), (pid, 0x0102_1994));
        } else {
            assert_eq!(said.record.h.pid, 0, "mountinfo does not tell who");
            println!("SKIP: the acting process needs Linux 6.14");
        }
    }
}

#[test]
fn a_filesystem_mounted_later_is_covered() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let mut live = Live::new(NAMES, &[]);
    let _tmpfs = Tmpfs::new(dir.path());
    live.settle();
    let path = dir.path().join("in-tmpfs");
    let pid = run("mkdir", &[path.to_str().unwrap()]);
    assert_eq!(live.settle().one(Kind::Create, &path).record.h.pid, pid);
    // Nothing of ours keeps it busy.
    umount2(dir.path(), MntFlags::empty()).unwrap();
}

#[test]
fn what_the_agent_does_itself_is_left_out() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let mut live = Live::new(NAMES, &[]);
    fs::create_dir(&ours).unwrap();
    run("mkdir", &[theirs.to_str().unwrap()]);
    let seen = live.settle();
    assert_eq!(seen.kinds_of(&ours), []);
    assert_eq!(seen.kinds_of(&theirs), [Kind::Create]);
}

/// Counts records.
#[derive(Debug, Default)]
struct Count(u32);

impl Sink for Count {
    fn submit(&mut self, _ring: u32, _record: &mut [u8]) {
        self.0 += 1;
    }

    fn lost(&mut self, _ring: u32, _cause: u32, _count: u64) {}
}

/// All events that wait are handled in a few calls. Not a test of speed, which could fail on a busy
/// machine: it prints what an event costs.
#[test]
fn a_full_queue_is_emptied_in_few_calls() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let _tmpfs = Tmpfs::new(dir.path());
    let mut live = Live::new(&[Kind::Create], &[]);
    let script = format!("for i in range(8000): open('{}/%d' % i, 'w')", dir.path().display());
    run("python3", &["-c", &script]);
    let mut count = Count::default();
    let spent = || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap());
    let start = spent();
    for _ in 0..20 {
        live.sources().service(&mut count);
    }
    let spent = spent().saturating_sub(start);
    assert!(count.0 >= 8000, "{count:?}");
    println!("{:.2} us of CPU an event", spent.as_secs_f64() * 1e6 / f64::from(count.0));
}
