//! Files: those that are watched, all others, and the directory tree.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::id;

use kernel::Options;
use model::op::Kind;
use model::wire::{Body, RecFile, Record};
use nix::mount::{MsFlags, mount, umount};

use super::harness::{Bench, bench, bench_of, skipped, watching};

fn file<'a>(record: &'a Record<'a>) -> &'a RecFile {
    match record.body() {
        Body::File(file) => file,
        other => panic!("not a file record: {other:?}"),
    }
}

/// Whether a record says that this process did that to the file.
fn is(record: &Record<'_>, kind: Kind, path: &Path) -> bool {
    record.kind() == kind
        && record.header().pid == id()
        && record.bytes(file(record).path) == path.as_os_str().as_encoded_bytes()
}

fn find(bench: &mut Bench, kind: Kind, path: &Path) -> Vec<u8> {
    bench.find(&format!("{} of {}", kind.name(), path.display()), |r| is(r, kind, path))
}

#[test]
fn opens_of_other_files_give_no_record() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [watched, other, last] = ["watched", "other", "last"].map(|name| dir.path().join(name));
    for path in [&watched, &other, &last] {
        fs::write(path, "x").unwrap();
    }
    let mut interest = watching(&watched, &[Kind::Open]);
    interest.watch.extend(watching(&last, &[Kind::Open]).watch);
    let mut bench = bench_of(&interest, Options::default());
    if bench.lacks(Kind::Open) {
        return;
    }
    File::open(&watched).unwrap();
    for _ in 0..100 {
        File::open(&other).unwrap();
    }
    File::open(&last).unwrap();
    find(&mut bench, Kind::Open, &last);
    // Records of one source keep their order: what there is of the others has come.
    assert_eq!(bench.count(|r| is(r, Kind::Open, &watched)), 1);
    assert_eq!(bench.count(|r| is(r, Kind::Open, &other)), 0);
}

#[test]
fn the_first_write_to_an_open_file_is_told() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [watched, last] = ["watched", "last"].map(|name| dir.path().join(name));
    fs::write(&watched, "x").unwrap();
    let mut bench = bench_of(&watching(dir.path(), &[Kind::Write]), Options::default());
    if bench.lacks(Kind::Write) {
        return;
    }
    let mut open = OpenOptions::new().append(true).open(&watched).unwrap();
    for _ in 0..5 {
        open.write_all(b"y").unwrap();
    }
    drop(open);
    File::open(&watched).unwrap();
    let mut open = OpenOptions::new().create(true).append(true).open(&last).unwrap();
    open.write_all(b"z").unwrap();
    find(&mut bench, Kind::Write, &last);
    assert_eq!(bench.count(|r| is(r, Kind::Write, &watched)), 1, "five pieces are one write");
}

#[test]
fn a_watched_name_is_followed_to_a_new_file() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [watched, other] = ["watched", "other"].map(|name| dir.path().join(name));
    let mut bench = bench_of(&watching(&watched, &[Kind::Open]), Options::default());
    if bench.lacks(Kind::Open) {
        return;
    }
    fs::write(&watched, "first").unwrap();
    let bytes = find(&mut bench, Kind::Open, &watched);
    let first = file(&Record::parse(&bytes).unwrap()).ino;
    fs::write(&other, "second").unwrap();
    fs::rename(&other, &watched).unwrap();
    // Lets the source in user space see the rename, where there is one.
    bench.sensors.service().unwrap();
    File::open(&watched).unwrap();
    bench.find("the open of the new file", |r| is(r, Kind::Open, &watched) && file(r).ino != first);
}

#[test]
fn changes_of_the_tree_say_both_names() {
    if skipped() {
        return;
    }
    let kinds = [Kind::Create, Kind::Rename, Kind::Link, Kind::Unlink, Kind::Attr];
    let mut bench = bench(&kinds, Options::default());
    if kinds.iter().any(|kind| bench.lacks(*kind)) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [old, new, link] = ["old", "new", "link"].map(|name| dir.path().join(name));
    fs::write(&old, "x").unwrap();
    bench.sensors.service().unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o4711)).unwrap();
    find(&mut bench, Kind::Create, &old);
    let bytes = find(&mut bench, Kind::Attr, &old);
    assert_eq!(file(&Record::parse(&bytes).unwrap()).mode & 0o7777, 0o4711);
    fs::rename(&old, &new).unwrap();
    let bytes = find(&mut bench, Kind::Rename, &new);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(record.bytes(file(&record).old_path), old.as_os_str().as_encoded_bytes());
    fs::hard_link(&new, &link).unwrap();
    find(&mut bench, Kind::Link, &link);
    fs::remove_file(&link).unwrap();
    find(&mut bench, Kind::Unlink, &link);
}

#[test]
fn a_mount_and_its_end_name_the_mount_point() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Mount, Kind::Umount], Options::default());
    if bench.lacks(Kind::Mount) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    mount(Some("kestrel"), dir.path(), Some("tmpfs"), MsFlags::MS_NOEXEC, None::<&str>).unwrap();
    let point = |r: &Record<'_>, kind| {
        r.kind() == kind && r.bytes(file(r).path) == dir.path().as_os_str().as_encoded_bytes()
    };
    let bytes = bench.find("mount", |r| point(r, Kind::Mount));
    umount(dir.path()).unwrap();
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(record.bytes(file(&record).name), b"tmpfs");
    bench.find("umount", |r| point(r, Kind::Umount));
}
