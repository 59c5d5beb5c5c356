//! What is read and what is refused, on a real directory.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn write(path: &Path, text: &[u8], mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    root
}

fn names(texts: &[Text]) -> Vec<&str> {
    texts.iter().map(|text| text.name.rsplit('/').next().unwrap()).collect()
}

#[test]
fn files_come_sorted_and_by_extension() {
    let root = directory();
    fs::create_dir(root.path().join("a")).unwrap();
    write(&root.path().join("a/z.toml"), b"1", 0o644);
    write(&root.path().join("c.toml"), b"2", 0o644);
    write(&root.path().join("b.toml"), b"3", 0o644);
    write(&root.path().join("b.txt"), b"4", 0o644);
    write(&root.path().join(".d.toml"), b"5", 0o644);
    let (texts, errors) = read_all(&[root.path().to_owned()], &["toml"], Trust::Owner);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(names(&texts), ["z.toml", "b.toml", "c.toml"]);
    assert_eq!(texts[1].text, "3");
}

#[test]
fn a_link_is_followed_only_if_it_was_named() {
    let root = directory();
    write(&root.path().join("real"), b"x", 0o644);
    let link = root.path().join("link.toml");
    symlink(root.path().join("real"), &link).unwrap();
    let (texts, errors) = read_all(&[root.path().to_owned()], &["toml"], Trust::Owner);
    assert!(texts.is_empty());
    assert!(matches!(errors.as_slice(), [ReadError::NotRegular { .. }]), "{errors:?}");
    let (texts, errors) = read_all(&[link], &["toml"], Trust::Owner);
    assert!(errors.is_empty() && texts.len() == 1, "{errors:?}");
}

#[test]
fn what_others_can_write_is_not_obeyed() {
    let root = directory();
    let file = root.path().join("a.toml");
    write(&file, b"x", 0o664);
    let refused = |path: &Path| {
        let (texts, errors) = read_all(&[path.to_owned()], &["toml"], Trust::Owner);
        texts.is_empty() && matches!(errors.as_slice(), [ReadError::Untrusted { .. }])
    };
    assert!(refused(&file));
    assert_eq!(read_all(std::slice::from_ref(&file), &["toml"], Trust::Anyone).0.len(), 1);
    write(&file, b"x", 0o644);
    assert!(!refused(root.path()));
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(refused(root.path()), "a directory in which others can exchange files");
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let root = directory();
    let file = root.path().join("key");
    let read = |mode| {
        write(&file, b"x", mode);
        read_bytes(&file, 100, Trust::Private)
    };
    for mode in [0o600, 0o640, 0o400] {
        assert_eq!(read(mode).unwrap(), b"x", "{mode:o}");
    }
    for loose in [0o644, 0o660, 0o604, 0o666] {
        let refused = read(loose).unwrap_err();
        assert!(matches!(&refused, ReadError::Open { mode, .. } if *mode == loose), "{refused:?}");
        assert!(refused.to_string().contains("0600"), "{refused}");
    }
    if geteuid().is_root() {
        write(&file, b"x", 0o600);
        nix::unistd::chown(&file, Some(65534.into()), None).unwrap();
        let refused = read_bytes(&file, 100, Trust::Private).unwrap_err();
        assert!(matches!(refused, ReadError::Open { owner: 65534, .. }), "{refused:?}");
    }
    // What may be read by all may still be obeyed.
    write(&file, b"x", 0o644);
    nix::unistd::chown(&file, Some(geteuid()), None).unwrap();
    assert!(read_bytes(&file, 100, Trust::Owner).is_ok());
}

#[test]
fn pipes_long_files_and_bytes_that_are_no_text_are_refused() {
    let root = directory();
    let pipe = root.path().join("p.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let long = root.path().join("l.toml");
    File::create(&long).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let bytes = root.path().join("n.toml");
    write(&bytes, b"ab\xff", 0o644);
    let (texts, errors) =
        read_all(&[pipe, long, bytes, root.path().join("none")], &["toml"], Trust::Anyone);
    assert!(texts.is_empty());
    assert!(
        matches!(
            errors.as_slice(),
            [
                ReadError::NotRegular { .. },
                ReadError::TooMuch { what: "bytes", .. },
                ReadError::NotText { at: 2, .. },
                ReadError::Io { .. },
            ]
        ),
        "{errors:?}"
    );
}

#[test]
fn a_fingerprint_changes_with_the_files_that_would_be_read_and_with_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let print = || fingerprint(&[dir.path().to_owned()], &["toml"]);
    let mut last = print();
    let mut changes = |what: &str, expected: bool| {
        let now = print();
        assert_eq!(now != last, expected, "{what}");
        last = now;
    };
    changes("nothing", false);
    fs::write(path("a.toml"), "1").unwrap();
    changes("a file", true);
    fs::write(path("a.toml"), "22").unwrap();
    changes("its content", true);
    fs::write(path("new"), "22").unwrap();
    changes("a file of another kind", false);
    fs::rename(path("new"), path("a.toml")).unwrap();
    changes("a file of the same length in its place", true);
    fs::create_dir(path("below")).unwrap();
    changes("a directory", true);
    fs::write(path("below/b.toml"), "1").unwrap();
    changes("a file below", true);
    fs::remove_file(path("below/b.toml")).unwrap();
    changes("its removal", true);
}

/// A directory with a file, another beside it, and links from the first to the second.
fn beside() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("in/sub")).unwrap();
    fs::create_dir(at("out")).unwrap();
    fs::write(at("in/sub/a"), "inside").unwrap();
    fs::write(at("out/a"), "outside").unwrap();
    std::os::unix::fs::symlink("../out", at("in/link")).unwrap();
    std::os::unix::fs::symlink("sub", at("in/within")).unwrap();
    std::os::unix::fs::symlink("a", at("in/sub/b")).unwrap();
    dir
}

#[test]
fn no_name_leads_out_of_a_directory_with_openat2_and_without() {
    let dir = beside();
    let inside = Directory::open(&dir.path().join("in"), Trust::Owner).unwrap();
    let out = dir.path().join("out/a");
    let names = [
        "../out/a",
        "sub/../../out/a",
        out.to_str().unwrap(),
        "link/a",
        "within/a",
        "sub/b",
        "sub/../sub/b",
    ];
    assert_eq!(inside.read("sub/a", 6).unwrap(), b"inside", "the control");
    assert_eq!(inside.read_step_by_step("sub/a").unwrap(), b"inside", "the control");
    for name in names {
        let found = inside.read(name, 100).unwrap_err();
        assert!(matches!(found, ReadError::NotRegular { .. }), "{name}: {found}");
        let found = inside.read_step_by_step(name);
        assert!(found.is_err(), "{name}: {found:?}");
    }
    let found = inside.read("sub", 100).unwrap_err();
    assert!(matches!(found, ReadError::NotRegular { .. }), "a directory: {found}");
    let found = inside.read("sub/a", 5).unwrap_err();
    assert!(matches!(found, ReadError::TooMuch { limit: 5, .. }), "{found}");
}

#[test]
fn a_directory_tells_all_of_its_files_or_why_not() {
    let dir = beside();
    let names = |name: &str, most| {
        Directory::open(&dir.path().join(name), Trust::Owner).and_then(|it| it.names(most))
    };
    assert!(matches!(names("in", 9), Err(ReadError::NotRegular { .. })), "links");
    assert_eq!(names("out", 9).unwrap(), ["a"]);
    fs::write(dir.path().join("out/.hidden"), "").unwrap();
    fs::create_dir(dir.path().join("out/empty")).unwrap();
    assert_eq!(names("out", 9).unwrap(), [".hidden", "a", "empty/"]);
    assert!(matches!(names("out", 1), Err(ReadError::TooMuch { what: "files", .. })));
    let deep = dir.path().join("out").join("d/".repeat(MAX_DEPTH + 1));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "").unwrap();
    assert!(matches!(names("out", 9), Err(ReadError::TooMuch { .. })), "too deep");
}

/// What is refused by each way of reading, in the order `read_all`, `read_bytes`, `Directory`.
fn refusals(dir: &Path, file: &str) -> [Option<ReadError>; 3] {
    let path = dir.join(file);
    let (texts, mut errors) = read_all(&[dir.to_owned()], &["toml"], Trust::Owner);
    let by_all = if texts.is_empty() { errors.pop() } else { None };
    let by_bytes = read_bytes(&path, 100, Trust::Owner).err();
    let below = Directory::open(dir, Trust::Owner).and_then(|it| it.read(file, 100));
    [by_all, by_bytes, below.err()]
}

fn all_untrusted(found: &[Option<ReadError>; 3]) -> bool {
    found.iter().all(|one| matches!(one, Some(ReadError::Untrusted { .. })))
}

#[test]
fn nothing_below_a_directory_that_others_can_write_is_obeyed() {
    let root = directory();
    let dir = root.path().join("parent/rules");
    fs::create_dir_all(&dir).unwrap();
    write(&dir.join("a.toml"), b"x", 0o644);
    let mode = |mode| {
        let parent = root.path().join("parent");
        fs::set_permissions(parent, fs::Permissions::from_mode(mode)).unwrap();
        refusals(&dir, "a.toml")
    };
    for open in [0o777, 0o775, 0o757] {
        let found = mode(open);
        assert!(all_untrusted(&found), "{open:o}: {found:?}");
        let said = found[0].as_ref().unwrap().to_string();
        assert!(said.contains("parent: others can write"), "{said}");
    }
    assert!(mode(0o755).iter().all(Option::is_none), "the control");
    assert!(mode(0o1777).iter().all(Option::is_none), "sticky: what is ours stays");
}

#[test]
fn what_belongs_to_somebody_else_is_not_obeyed() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP what_belongs_to_somebody_else_is_not_obeyed: giving files away needs root");
        return;
    }
    let root = directory();
    let dir = root.path().join("rules");
    fs::create_dir(&dir).unwrap();
    write(&dir.join("a.toml"), b"x", 0o644);
    assert!(refusals(&dir, "a.toml").iter().all(Option::is_none), "the control");
    let give = |path: &Path, uid| std::os::unix::fs::chown(path, Some(uid), None).unwrap();
    for path in [dir.join("a.toml"), dir.clone(), root.path().to_owned()] {
        give(&path, 12_345);
        let found = refusals(&dir, "a.toml");
        // A file that was named does not ask whose directory it is in, but whose way leads there.
        assert!(found.iter().flatten().count() >= 2, "{}: {found:?}", path.display());
        for one in found.iter().flatten() {
            assert!(matches!(one, ReadError::Untrusted { owner: 12_345, .. }), "{one}");
        }
        give(&path, 0);
    }
    // A hard link to what is root's, made where somebody else may write, is reached through what is his.
    let trap = root.path().join("trap");
    fs::create_dir(&trap).unwrap();
    fs::hard_link(dir.join("a.toml"), trap.join("a.toml")).unwrap();
    assert!(refusals(&trap, "a.toml").iter().all(Option::is_none), "the control");
    give(&trap, 12_345);
    assert!(all_untrusted(&refusals(&trap, "a.toml")));
    // And one of his own file among ours stays his.
    let his = root.path().join("his");
    write(&his, b"x", 0o644);
    give(&his, 12_345);
    fs::remove_file(dir.join("a.toml")).unwrap();
    fs::hard_link(&his, dir.join("a.toml")).unwrap();
    assert!(all_untrusted(&refusals(&dir, "a.toml")));
}

#[test]
fn pipes_and_links_are_refused_by_every_way_of_reading() {
    let root = directory();
    let at = |name: &str| root.path().join(name);
    nix::unistd::mkfifo(&at("p.toml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let found = refusals(root.path(), "p.toml");
    let not_regular = |one: &Option<ReadError>| matches!(one, Some(ReadError::NotRegular { .. }));
    assert!(found.iter().all(not_regular), "none of them waits: {found:?}");
    fs::remove_file(at("p.toml")).unwrap();
    write(&at("real"), b"x", 0o644);
    symlink(at("real"), at("l.toml")).unwrap();
    let [by_all, _, below] = refusals(root.path(), "l.toml");
    assert!(not_regular(&by_all) && not_regular(&below), "{by_all:?} {below:?}");
}

#[test]
fn a_file_that_another_names_lies_beside_it_or_below() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lib")).unwrap();
    fs::write(dir.path().join("lib/one"), "it").unwrap();
    let beside = |file: &Path, name: &str| read_beside(file, name, MAX_BYTES, Trust::Anyone);
    assert_eq!(beside(&dir.path().join("rule.toml"), "lib/one").unwrap(), b"it");
    assert!(beside(&dir.path().join("lib/rule.toml"), "../lib/one").is_err(), "not above");
    // What has no directory lies where we are, as what came by standard input does.
    let here = beside(Path::new("rule.toml"), "Cargo.toml").unwrap();
    assert!(here.starts_with(b"[package]\nname = \"files\""));
}
