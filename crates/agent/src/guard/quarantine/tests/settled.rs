//! What a crash can leave, state by state; the whole program is killed at random moments in
//! `tests/quarantine.rs`.

use std::fs;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::super::record::{Bytes, State, Way};
use super::super::{CONTENT, meta, record};
use super::*;

/// The vault is left as a crash would: what it is opened as next tells what became of it.
fn reopened(lab: &Lab) -> Vec<(String, &'static str)> {
    let (_, left) = lab.open(Limits::default());
    left.into_iter().map(|one| (one.id, one.code)).collect()
}

fn code(code: &'static str) -> [(String, &'static str); 1] {
    [("a".to_owned(), code)]
}

/// A file that is in quarantine, with its record told to be in another state.
fn held(lab: &Lab, path: &Path, state: State) -> (Seen, Record) {
    let vault = lab.vault();
    let before = Seen::of(path);
    let mut record = vault.take("a", path, before.expected()).unwrap();
    record.state = state;
    record.write(&vault.cell("a").unwrap()).unwrap();
    (before, record)
}

#[test]
fn what_was_not_begun_leaves_nothing() {
    if !root("what_was_not_begun_leaves_nothing") {
        return;
    }
    let lab = Lab::new();
    drop(lab.vault());
    fs::create_dir(lab.path("state/quarantine/a")).unwrap();
    fs::write(lab.path("state/quarantine/a").join(record::NEW), "{\"vers").unwrap();
    assert_eq!(reopened(&lab), code("empty"));
    assert_eq!(reopened(&lab), []);
}

#[test]
fn what_was_written_down_but_not_moved_is_in_its_place() {
    if !root("what_was_written_down_but_not_moved_is_in_its_place") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    let (before, record) = held(&lab, &path, State::Taking);
    let content = lab.path("state/quarantine/a").join(CONTENT);
    fs::rename(content, &path).unwrap();
    record.meta.apply(&fs::File::open(&path).unwrap(), &path).unwrap();
    assert_eq!(reopened(&lab), code("not-taken"));
    assert_eq!(Seen::of(&path).meta, before.meta);
    assert_eq!(reopened(&lab), []);
}

#[test]
fn what_was_moved_is_in_quarantine_and_shut() {
    if !root("what_was_moved_is_in_quarantine_and_shut") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    let (before, record) = held(&lab, &path, State::Taking);
    let content = lab.path("state/quarantine/a").join(CONTENT);
    let file = fs::File::open(&content).unwrap();
    record.meta.apply(&file, &content).unwrap();
    assert_eq!(reopened(&lab), code("taken"));
    assert_eq!(fs::metadata(&content).unwrap().mode() & 0o7777, 0);
    lab.vault().restore("a", None, false).unwrap();
    assert_eq!(Seen::of(&path).meta, before.meta);
}

#[test]
fn what_somebody_else_removed_is_told_to_be_gone() {
    if !root("what_somebody_else_removed_is_told_to_be_gone") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    held(&lab, &path, State::Taking);
    fs::remove_file(lab.path("state/quarantine/a").join(CONTENT)).unwrap();
    assert_eq!(reopened(&lab), code("gone"));
}

#[test]
fn another_file_that_was_moved_by_mistake_is_put_back() {
    if !root("another_file_that_was_moved_by_mistake_is_put_back") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    held(&lab, &path, State::Taking);
    let content = lab.path("state/quarantine/a").join(CONTENT);
    let kept = lab.path("kept");
    fs::rename(&content, &kept).unwrap();
    fs::write(&content, "another").unwrap();
    assert_eq!(reopened(&lab), code("gone"));
    assert_eq!(fs::read(&path).unwrap(), b"another");
}

#[test]
fn what_was_being_given_back_is_back_or_in_quarantine() {
    if !root("what_was_being_given_back_is_back_or_in_quarantine") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    let restoring = || State::Restoring { to: Bytes::of(&path), made: None };
    let (before, record) = held(&lab, &path, restoring());
    let content = lab.path("state/quarantine/a").join(CONTENT);
    record.meta.apply(&fs::File::open(&content).unwrap(), &content).unwrap();
    // A copy that was begun beside the place, and is not written down yet.
    let aside = lab.path("files").join(super::super::take::aside("a"));
    fs::write(&aside, "").unwrap();
    assert_eq!(reopened(&lab), code("not-restored"));
    assert!(!aside.exists());
    assert_eq!(fs::metadata(&content).unwrap().mode() & 0o7777, 0);
    // The same, but the rename was done.
    let vault = lab.vault();
    let mut record = vault.list().unwrap().0.remove(0);
    record.state = restoring();
    record.write(&vault.cell("a").unwrap()).unwrap();
    drop(vault);
    fs::rename(&content, &path).unwrap();
    record.meta.apply(&fs::File::open(&path).unwrap(), &path).unwrap();
    assert_eq!(reopened(&lab), code("restored"));
    assert_eq!(Seen::of(&path).meta, before.meta);
    assert_eq!(reopened(&lab), []);
}

#[test]
fn a_copy_of_which_the_first_is_unlinked_is_in_quarantine() {
    if !root("a_copy_of_which_the_first_is_unlinked_is_in_quarantine") {
        return;
    }
    let lab = Lab::new();
    elsewhere(&lab, |other| {
        let path = other.join("file");
        fs::write(&path, "x").unwrap();
        let (before, record) = held(&lab, &path, State::Taking);
        assert_eq!(record.way, Way::Copied);
        assert_eq!(reopened(&lab), code("taken"));
        let (back, _) = lab.vault().restore("a", None, false).unwrap();
        before.is_again(&path, &back);
    });
}

#[test]
fn what_is_deleted_is_no_more_also_if_that_was_cut_off() {
    if !root("what_is_deleted_is_no_more_also_if_that_was_cut_off") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    let (_, record) = held(&lab, &path, State::Held);
    let (vault, left) = lab.open(Limits::default());
    assert!(left.is_empty() && vault.delete("a").unwrap().path == record.path);
    assert_eq!(refused(vault.restore("a", None, false)).0, "unknown-id");
    drop(vault);
    let other = lab.file("other", "x");
    held(&lab, &other, State::Deleting);
    assert_eq!(reopened(&lab), code("deleted"));
    assert!(!path.exists() && !other.exists() && !lab.path("state/quarantine/a").exists());
}

#[test]
fn a_record_that_cannot_be_read_keeps_its_file() {
    if !root("a_record_that_cannot_be_read_keeps_its_file") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    held(&lab, &path, State::Held);
    let name = lab.path("state/quarantine/a").join(record::NAME);
    let text = fs::read_to_string(&name).unwrap();
    fs::write(&name, "{}").unwrap();
    assert_eq!(reopened(&lab), code("record"));
    assert!(lab.path("state/quarantine/a").join(CONTENT).exists());
    fs::write(&name, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    assert_eq!(reopened(&lab), code("record"));
    fs::write(&name, text).unwrap();
    assert_eq!(reopened(&lab), []);
    lab.vault().restore("a", None, false).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[test]
fn a_flag_that_was_cleared_is_set_again() {
    if !root("a_flag_that_was_cleared_is_set_again") {
        return;
    }
    let lab = Lab::new();
    let path = lab.file("file", "x");
    let file = fs::File::open(&path).unwrap();
    let plain = ioctl_getflags(&file).unwrap();
    ioctl_setflags(&file, plain | IFlags::IMMUTABLE).unwrap();
    let (_, record) = held(&lab, &path, State::Taking);
    fs::rename(lab.path("state/quarantine/a").join(CONTENT), &path).unwrap();
    record.meta.apply(&file, &path).unwrap();
    meta::loosen(&file, &path).unwrap();
    assert_eq!(reopened(&lab), code("not-taken"));
    let now = ioctl_getflags(&file).unwrap();
    ioctl_setflags(&file, plain).unwrap();
    assert_eq!(now, plain | IFlags::IMMUTABLE);
}
