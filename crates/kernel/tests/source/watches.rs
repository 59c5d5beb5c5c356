//! Opens and writes of watched files.

use std::fs;
use std::path::Path;

use model::op::Kind;
use model::wire;
use tempfile::tempdir;

use crate::children::{run, shell};
use crate::collect::{Live, root, watch};

const USES: &[Kind] = &[Kind::Open, Kind::Write];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn only_the_watched_file_is_told() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (watched, other) = (dir.path().join("shadow"), dir.path().join("hosts"));
    fs::write(&watched, "x").unwrap();
    fs::write(&other, "x").unwrap();
    let mut live = Live::new(USES, &[watch(&watched, false, USES)]);
    let reader = run("cat", &[text(&watched), text(&other)]);
    live.settle();
    let writer = shell(&format!("echo 1 >> {}", text(&watched)));
    shell(&format!("echo 1 >> {}", text(&other)));
    let seen = live.settle();
    assert_eq!(seen.kinds_of(&watched), [Kind::Open, Kind::Open, Kind::Write]);
    assert_eq!(seen.kinds_of(&other), []);
    let opened = seen.below(&watched)[0];
    assert_eq!((opened.record.h.pid, opened.record.size), (reader, 1));
    let written = seen.one(Kind::Write, &watched);
    assert_eq!((written.record.h.pid, written.record.size), (writer, 3));
    assert_eq!(written.record.h.flags & wire::FLAG_AFTER, wire::FLAG_AFTER);
}

#[test]
fn many_pieces_are_one_write() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let file = dir.path().join("log");
    fs::write(&file, "").unwrap();
    let mut live = Live::new(USES, &[watch(&file, false, &[Kind::Write])]);
    let script = format!(
        "import os,time\nf=open('{}','ab',0)\nfor i in range(5): f.write(b'x'); time.sleep(.02)",
        text(&file)
    );
    let worker = std::thread::spawn(move || run("python3", &["-c", &script]));
    while !worker.is_finished() {
        live.settle();
    }
    assert_eq!(live.settle().kinds_of(&file), [Kind::Write], "opens are not wanted here");
}

#[test]
fn a_file_that_comes_later_is_told_from_its_first_open() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let file = dir.path().join("ld.so.preload");
    let other = dir.path().join("other");
    let mut live = Live::new(USES, &[watch(&file, false, USES)]);
    shell(&format!("echo 1 > {}", text(&other)));
    live.settle();
    let pid = shell(&format!("echo 1 > {}", text(&file)));
    let seen = live.settle();
    assert_eq!(seen.kinds_of(&file), [Kind::Open, Kind::Write]);
    assert_eq!(seen.kinds_of(&other), []);
    assert_eq!(seen.one(Kind::Write, &file).record.h.pid, pid);
    run("cat", &[text(&file)]);
    assert_eq!(live.settle().kinds_of(&file).len(), 3, "its own mark took over, once");
}

#[test]
fn a_file_in_a_directory_that_comes_later_is_told() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let file = dir.path().join(".ssh/authorized_keys");
    let parent = file.parent().unwrap();
    let mut live = Live::new(USES, &[watch(&file, false, USES)]);
    for round in 1..=2 {
        run("mkdir", &[text(parent)]);
        live.settle();
        shell(&format!("echo 1 > {}", text(&file)));
        let seen = live.settle().kinds_of(&file);
        assert_eq!(seen.len(), 2 * round, "round {round}: {seen:?}");
        run("rm", &["-r", text(parent)]);
        live.settle();
    }
}

#[test]
fn a_replaced_file_is_still_watched() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (file, new) = (dir.path().join("passwd"), dir.path().join("passwd.new"));
    fs::write(&file, "x").unwrap();
    let mut live = Live::new(USES, &[watch(&file, false, USES)]);
    shell(&format!("echo 1 > {}", text(&new)));
    run("mv", &[text(&new), text(&file)]);
    assert_eq!(live.settle().kinds_of(&file), [], "a rename is neither open nor write");
    run("cat", &[text(&file)]);
    live.settle();
    run("rm", &[text(&file)]);
    live.settle();
    shell(&format!("echo 1 > {}", text(&file)));
    assert_eq!(live.settle().kinds_of(&file), [Kind::Open, Kind::Open, Kind::Write]);
}

#[test]
fn another_name_of_a_watched_file_is_told() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (file, link) = (dir.path().join("shadow"), dir.path().join("sub/innocent"));
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(&file, "x").unwrap();
    fs::hard_link(&file, &link).unwrap();
    let mut live = Live::new(USES, &[watch(&file, false, USES)]);
    run("cat", &[text(&link)]);
    assert_eq!(live.settle().kinds_of(&link), [Kind::Open]);
}

#[test]
fn a_watched_directory_covers_its_children_and_a_recursive_one_all_below() {
    let Some(_alone) = root() else { return };
    let dir = tempdir().unwrap();
    let (flat, deep) = (dir.path().join("flat"), dir.path().join("deep"));
    fs::create_dir_all(flat.join("sub")).unwrap();
    fs::create_dir_all(deep.join("a/b")).unwrap();
    let watches = [watch(&flat, false, USES), watch(&deep, true, USES)];
    let mut live = Live::new(USES, &watches);
    run("mkdir", &[text(&deep.join("a/c"))]);
    live.settle();
    for file in ["flat/1", "flat/sub/2", "deep/3", "deep/a/b/4", "deep/a/c/5"] {
        shell(&format!("echo 1 > {}", text(&dir.path().join(file))));
    }
    let seen = live.settle();
    let both = [Kind::Open, Kind::Write];
    assert_eq!(seen.kinds_of(&flat.join("1")), both);
    assert_eq!(seen.kinds_of(&flat.join("sub/2")), []);
    assert_eq!(seen.kinds_of(&deep.join("3")), both);
    assert_eq!(seen.kinds_of(&deep.join("a/b/4")), both);
    assert_eq!(seen.kinds_of(&deep.join("a/c/5")), both, "a directory made after the watch");
    run("ls", &[text(&deep)]);
    assert_eq!(live.settle().below(&deep).len(), 6, "reading a directory is no open of a file");
}
