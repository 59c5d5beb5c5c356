//! What is given back is what was taken.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::super::record::Way;
use super::*;

#[test]
fn a_binary_file_is_given_back() {
    if !root("a_binary_file_is_given_back") {
        return;
    }
    let lab = Lab::new();
    let bytes: Vec<u8> =
        (0..50_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let path = lab.file("binary", &bytes);
    fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
    chown(&path, Some(1234), Some(4321)).unwrap();
    let record = lab.there_and_back(&path);
    assert_eq!((record.way, record.meta.uid, record.meta.gid), (Way::Moved, 1234, 4321));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn two_sparse_gigabytes_cost_what_is_in_them() {
    if !root("two_sparse_gigabytes_cost_what_is_in_them") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("sparse", "");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(2 << 30).unwrap();
    file.write_all_at(b"in the middle", 1 << 30).unwrap();
    drop(file);
    let start = Instant::now();
    let record = lab.there_and_back(&path);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((record.meta.size, record.meta.allocated < 1 << 20), (2 << 30, true));
    let now = fs::metadata(&path).unwrap();
    assert!(now.blocks() * 512 < 1 << 20, "the holes are holes: {}", now.blocks());
}

#[test]
fn other_names_of_a_file_lead_nowhere_meanwhile() {
    if !root("other_names_of_a_file_lead_nowhere_meanwhile") {
        return;
    }
    let lab = Lab::new();
    let path = lab.path("files").join("true");
    fs::copy("/bin/true", &path).unwrap();
    let other = lab.path("files").join("other");
    fs::hard_link(&path, &other).unwrap();
    let runs = || Command::new(&other).status().map(|status| status.success());
    assert!(runs().unwrap(), "before, it runs");
    let vault = lab.vault();
    let before = Seen::of(&path);
    let record = vault.take("a", &path, before.expected()).unwrap();
    assert_eq!(record.meta.links, 2, "that there is another name is written down");
    assert_eq!(runs().unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!(fs::metadata(&other).unwrap().mode() & 0o7777, 0);
    vault.restore("a", None, false).unwrap();
    before.is_again(&path, &record);
    assert!(runs().unwrap(), "it runs again");
}

#[test]
fn attributes_lists_and_capabilities_are_given_back() {
    if !root("attributes_lists_and_capabilities_are_given_back") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("attributes", "x");
    set_attribute(&path, "user.bytes", b"\0\xff\n");
    set_attribute(&path, "trusted.mine", b"t");
    set_attribute(&path, "system.posix_acl_access", &acl());
    // cap_net_raw+ep, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_attribute(&path, "security.capability", &capability);
    let record = lab.there_and_back(&path);
    let names: Vec<_> = record.meta.xattrs.iter().map(|(name, _)| name.0.as_slice()).collect();
    let expected: [&[u8]; 4] =
        [b"security.capability", b"system.posix_acl_access", b"trusted.mine", b"user.bytes"];
    assert_eq!(names, expected);
}

#[test]
fn set_user_id_is_away_with_the_file_and_back_with_it() {
    if !root("set_user_id_is_away_with_the_file_and_back_with_it") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("setuid", "x");
    chown(&path, Some(7), Some(8)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o6755)).unwrap();
    let record = lab.there_and_back(&path);
    assert_eq!(record.meta.mode, 0o6755);
}

#[test]
fn a_file_that_runs_and_is_open_stays_with_its_holders() {
    if !root("a_file_that_runs_and_is_open_stays_with_its_holders") {
        return;
    }
    let lab = Lab::new();
    let path = lab.path("files").join("sleep");
    fs::copy("/bin/sleep", &path).unwrap();
    let mut runs = Command::new(&path).arg("60").spawn().unwrap();
    let mut reads =
        Command::new("/bin/sleep").arg("60").stdin(File::open(&path).unwrap()).spawn().unwrap();
    // The child must have become the file, and sleep, before anybody looks: what it reads of the file
    // while it starts changes the time of the last access.
    let sleeps = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    };
    let is_file = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok().as_ref() == Some(&path);
    while !is_file(runs.id()) || !sleeps(runs.id()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let record = lab.there_and_back(&path);
    let mut holders: Vec<_> = record.holders.named.iter().map(|one| (one.pid, one.runs)).collect();
    holders.sort_unstable();
    let mut expected = [(runs.id(), true), (reads.id(), false)];
    expected.sort_unstable();
    assert_eq!(holders, expected);
    assert!(runs.try_wait().unwrap().is_none(), "who runs it goes on");
    for child in [&mut runs, &mut reads] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn what_a_holder_writes_meanwhile_is_not_given_back_in_silence() {
    if !root("what_a_holder_writes_meanwhile_is_not_given_back_in_silence") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("open", "before");
    let mut holder = File::options().read(true).write(true).open(&path).unwrap();
    let vault = lab.vault();
    vault.take("a", &path, Expected::default()).unwrap();
    holder.write_all(b"after!").unwrap();
    let (code, message) = refused(vault.restore("a", None, false));
    assert_eq!(code, "changed");
    assert!(message.contains("since it was taken") && message.contains("--changed"), "{message}");
    assert!(!path.exists());
    vault.restore("a", None, true).unwrap();
    let mut text = String::new();
    holder.seek(SeekFrom::Start(0)).unwrap();
    holder.read_to_string(&mut text).unwrap();
    assert_eq!((fs::read(&path).unwrap().as_slice(), text.as_str()), (&b"after!"[..], "after!"));
}

#[test]
fn an_immutable_file_is_immutable_again() {
    if !root("an_immutable_file_is_immutable_again") {
        return;
    }
    let lab = Lab::new();
    for flag in [IFlags::IMMUTABLE, IFlags::APPEND | IFlags::NODUMP] {
        let path = lab.file("fixed", "x");
        let file = File::open(&path).unwrap();
        let plain = ioctl_getflags(&file).unwrap();
        ioctl_setflags(&file, plain | flag).unwrap();
        assert!(fs::remove_file(&path).is_err(), "nobody else removes it");
        lab.there_and_back(&path);
        assert_eq!(ioctl_getflags(&file).unwrap(), plain | flag);
        ioctl_setflags(&file, plain).unwrap();
    }
}

#[test]
fn names_may_have_any_bytes() {
    if !root("names_may_have_any_bytes") {
        return;
    }
    let lab = Lab::new();
    let path = lab.path("files").join(OsStr::from_bytes(b"a\nb\x1b[2J\xff\"\\"));
    fs::write(&path, "x").unwrap();
    let record = lab.there_and_back(&path);
    assert_eq!(record.path.path(), path);
    assert!(!record.shown.contains('\n') && !record.shown.contains('\x1b'), "{:?}", record.shown);
}

#[test]
fn from_another_filesystem_a_copy_is_the_same() {
    if !root("from_another_filesystem_a_copy_is_the_same") {
        return;
    }
    let lab = Lab::new();
    elsewhere(&lab, |other| {
        let path = other.join("file");
        let file = File::create(&path).unwrap();
        file.set_len(2 << 30).unwrap();
        file.write_all_at(b"in the middle", 1 << 30).unwrap();
        chown(&path, Some(7), Some(8)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o4711)).unwrap();
        set_attribute(&path, "trusted.mine", b"t");
        set_attribute(&path, "system.posix_acl_access", &acl());
        let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set_attribute(&path, "security.capability", &capability);
        file.set_times(fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH)).unwrap();
        drop(file);
        let start = Instant::now();
        let record = lab.there_and_back(&path);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!((record.way, record.meta.xattrs.len()), (Way::Copied, 3));
        assert!(fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20, "the holes are holes");
    });
}

#[test]
fn a_file_goes_to_another_filesystem_if_that_is_asked_for() {
    if !root("a_file_goes_to_another_filesystem_if_that_is_asked_for") {
        return;
    }
    let lab = Lab::new();
    elsewhere(&lab, |other| {
        let path = lab.file("file", "x");
        let vault = lab.vault();
        let before = Seen::of(&path);
        let record = vault.take("a", &path, before.expected()).unwrap();
        assert_eq!(record.way, Way::Moved);
        let to = other.join("file");
        vault.restore("a", Some(&to), false).unwrap();
        let now = Seen::of(&to);
        assert_eq!((now.digest, now.meta.mtime), (before.digest, before.meta.mtime));
        assert!(!path.exists() && vault.list().unwrap().0.is_empty());
    });
}

#[test]
fn what_is_in_quarantine_does_not_run_and_is_not_read() {
    if !root("what_is_in_quarantine_does_not_run_and_is_not_read") {
        return;
    }
    let lab = Lab::new();
    let path = lab.path("files").join("true");
    fs::copy("/bin/true", &path).unwrap();
    let vault = lab.vault();
    vault.take("a", &path, Expected::default()).unwrap();
    let inside = lab.path("state/quarantine/a/content");
    let refused = Command::new(&inside).stdout(Stdio::null()).status().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    let modes = ["state/quarantine", "state/quarantine/a"].map(|dir| lab.path(dir));
    for dir in modes {
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
    }
}
