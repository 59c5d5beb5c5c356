//! What is not taken or not given back, and the reason; beside each refusal what is not refused.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, IFlags, Mode, ioctl_getflags, ioctl_setflags, mknodat};

use super::super::protected;
use super::*;

/// The code, and that the file is where it was.
fn code(vault: &Vault, path: &Path) -> &'static str {
    let before = fs::symlink_metadata(path).ok().map(|about| Identity::of(&about));
    let (code, message) = refused(vault.take("a", path, Expected::default()));
    let after = fs::symlink_metadata(path).ok().map(|about| Identity::of(&about));
    assert_eq!(before, after, "{message}");
    assert!(vault.list().unwrap().0.is_empty(), "nothing is left in the vault: {message}");
    code
}

#[test]
fn only_regular_files_of_real_filesystems_are_taken() {
    if !root("only_regular_files_of_real_filesystems_are_taken") {
        return;
    }
    let lab = Lab::new();
    let vault = lab.vault();
    let files = lab.path("files");
    let fifo = files.join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let device = files.join("null");
    mknodat(CWD, &device, FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 3))
        .unwrap();
    let socket = files.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let expected = [
        (Path::new("/"), "root"),
        (Path::new("relative"), "path-not-plain"),
        (&files.join("../files/x"), "path-not-plain"),
        (&files, "not-regular"),
        (&fifo, "not-regular"),
        (&device, "not-regular"),
        (&socket, "not-regular"),
        (Path::new("/proc/self/status"), "through-link"),
        (Path::new("/proc/version"), "pseudo-filesystem"),
        (Path::new("/sys/kernel/uevent_seqnum"), "pseudo-filesystem"),
        (&files.join("none"), "no-file"),
        (&files.join("none/none"), "parent-gone"),
    ];
    for (path, expected) in expected {
        assert_eq!(code(&vault, path), expected, "{}", path.display());
    }
    vault.take("a", &lab.file("file", "x"), Expected::default()).unwrap();
}

#[test]
fn no_link_is_followed() {
    if !root("no_link_is_followed") {
        return;
    }
    let lab = Lab::new();
    let vault = lab.vault();
    let file = lab.file("file", "x");
    symlink(&file, lab.path("files/link")).unwrap();
    symlink(lab.path("files"), lab.path("way")).unwrap();
    assert_eq!(code(&vault, &lab.path("files/link")), "through-link");
    assert_eq!(code(&vault, &lab.path("way/file")), "through-link");
    vault.take("a", &file, Expected::default()).unwrap();
    let (code, _) = refused(vault.restore("a", Some(&lab.path("way/file")), false));
    assert_eq!(code, "through-link");
    vault.restore("a", Some(&lab.path("files/back")), false).unwrap();
}

#[test]
fn only_the_file_that_was_seen_is_taken() {
    if !root("only_the_file_that_was_seen_is_taken") {
        return;
    }
    let lab = Lab::new();
    let vault = lab.vault();
    let path = lab.file("file", "x");
    let seen = Seen::of(&path);
    // Another file of the same name: the first one lives on, so that its inode is not given again.
    fs::rename(&path, lab.path("files/first")).unwrap();
    fs::write(&path, "y").unwrap();
    let (code, message) = refused(vault.take("a", &path, seen.expected()));
    assert!(code == "replaced" && message.contains("inode"), "{message}");
    let size = Expected { file: None, size: Some(7) };
    let (code, message) = refused(vault.take("a", &path, size));
    assert!(code == "replaced" && message.contains("1 bytes, not 7"), "{message}");
    vault.take("a", &path, Seen::of(&path).expected()).unwrap();
}

#[test]
fn protected_files_stay() {
    if !root("protected_files_stay") {
        return;
    }
    let lab = Lab::new();
    let (file, other) = (lab.file("mine", "x"), lab.file("other", "x"));
    let inside = lab.file("dir", "x");
    let limits =
        Limits { protected: vec![file.clone(), lab.path("files/below")], ..Limits::default() };
    let (vault, _) = lab.open(limits);
    // The operator's file by another name is the operator's file.
    let link = lab.path("files/link");
    fs::hard_link(&file, &link).unwrap();
    fs::create_dir(lab.path("files/below")).unwrap();
    let below = lab.file("below/file", "x");
    fs::write(lab.path("state/own"), "x").unwrap();
    for path in [&file, &link, &below, &lab.path("state/own")] {
        assert_eq!(code(&vault, path), "protected", "{}", path.display());
    }
    for (id, path) in [("a", other), ("b", inside)] {
        vault.take(id, &path, Expected::default()).unwrap();
    }
}

/// Asked, not tried: a host whose shell is taken has no next test.
#[test]
fn what_the_host_needs_is_protected_by_path_and_by_inode() {
    let why = |path: &Path, named: &Path| {
        let identity = Identity::of(&fs::metadata(path).unwrap());
        protected::why(named, identity, Path::new("/nowhere"), &[])
    };
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = |line: &'static str| line.get(line.find('/')?..);
    let library = maps.leak().lines().filter_map(path).find(|path| path.contains("libc.so"));
    let init = fs::read("/proc/1/cmdline").unwrap();
    let init = std::str::from_utf8(init.split(|byte| *byte == 0).next().unwrap()).unwrap();
    let needed = [
        (std::env::current_exe().unwrap(), "the agent"),
        ("/bin/sh".into(), "a shell"),
        ("/etc/passwd".into(), "logins"),
        (library.unwrap().into(), "the C library"),
        (init.into(), "init"),
    ];
    for (path, what) in needed.iter().filter(|(path, _)| path.is_absolute() && path.exists()) {
        for named in [path, Path::new("/tmp/another-name")] {
            let why = why(path, named).unwrap();
            assert!(why.contains(what), "{}: {why}", path.display());
        }
    }
    let free = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(why(free.path(), free.path()), None);
    assert_eq!(why(free.path(), Path::new("/boot/vmlinuz")).unwrap(), "it belongs to the boot");
}

#[test]
fn limits_hold() {
    if !root("limits_hold") {
        return;
    }
    let lab = Lab::new();
    let limits =
        Limits { file_bytes: 1 << 20, vault_bytes: 1 << 20, files: 2, ..Limits::default() };
    let (vault, _) = lab.open(limits);
    let [large, a, b, c] = [2 << 20, 700 << 10, 700 << 10, 1]
        .map(|size: usize| lab.file(&size.to_string(), vec![1; size]));
    assert_eq!(code(&vault, &large), "too-large");
    let b2 = lab.file("b", vec![1; 700 << 10]);
    vault.take("a", &a, Expected::default()).unwrap();
    assert!(!b.exists(), "it has the name of the first");
    let (code, message) = refused(vault.take("b", &b2, Expected::default()));
    assert!(code == "quarantine-full" && message.contains("bytes"), "{message}");
    vault.take("c", &c, Expected::default()).unwrap();
    let d = lab.file("d", "x");
    let (code, message) = refused(vault.take("d", &d, Expected::default()));
    assert!(code == "quarantine-full" && message.contains("2 files"), "{message}");
    vault.restore("c", None, false).unwrap();
    vault.take("d", &d, Expected::default()).unwrap();
}

#[test]
fn ids_are_names_and_used_once() {
    if !root("ids_are_names_and_used_once") {
        return;
    }
    let lab = Lab::new();
    let vault = lab.vault();
    let (a, b) = (lab.file("a", "x"), lab.file("b", "x"));
    for id in ["", "..", "a/b", "lock", &"x".repeat(65)] {
        assert_eq!(refused(vault.take(id, &a, Expected::default())).0, "bad-id");
    }
    vault.take("a", &a, Expected::default()).unwrap();
    assert_eq!(refused(vault.take("a", &b, Expected::default())).0, "id-taken");
    assert_eq!(refused(vault.restore("b", None, false)).0, "unknown-id");
    vault.restore("a", None, false).unwrap();
}

#[test]
fn nothing_is_overwritten_and_no_directory_is_made_up() {
    if !root("nothing_is_overwritten_and_no_directory_is_made_up") {
        return;
    }
    let lab = Lab::new();
    let vault = lab.vault();
    let path = lab.file("file", "old");
    vault.take("a", &path, Expected::default()).unwrap();
    fs::write(&path, "new").unwrap();
    assert_eq!(refused(vault.restore("a", None, false)).0, "name-taken");
    assert_eq!(fs::read(&path).unwrap(), b"new");
    fs::remove_file(&path).unwrap();
    fs::remove_dir(lab.path("files")).unwrap();
    assert_eq!(refused(vault.restore("a", None, false)).0, "parent-gone");
    fs::create_dir(lab.path("files")).unwrap();
    vault.restore("a", None, false).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_directory_that_is_fixed_is_told() {
    if !root("a_directory_that_is_fixed_is_told") {
        return;
    }
    let lab = Lab::new();
    let vault = lab.vault();
    let path = lab.file("file", "x");
    let dir = File::open(lab.path("files")).unwrap();
    let plain = ioctl_getflags(&dir).unwrap();
    ioctl_setflags(&dir, plain | IFlags::IMMUTABLE).unwrap();
    let code = code(&vault, &path);
    ioctl_setflags(&dir, plain).unwrap();
    assert_eq!(code, "parent-fixed");
    vault.take("a", &path, Expected::default()).unwrap();
}

#[test]
fn a_file_of_two_names_is_not_copied_away() {
    if !root("a_file_of_two_names_is_not_copied_away") {
        return;
    }
    let lab = Lab::new();
    elsewhere(&lab, |other| {
        let vault = lab.vault();
        let (path, link) = (other.join("file"), other.join("link"));
        fs::write(&path, "x").unwrap();
        fs::hard_link(&path, &link).unwrap();
        assert_eq!(code(&vault, &path), "hard-linked");
        fs::remove_file(&link).unwrap();
        vault.take("a", &path, Expected::default()).unwrap();
    });
}

#[test]
fn a_vault_that_others_can_enter_is_not_used() {
    if !root("a_vault_that_others_can_enter_is_not_used") {
        return;
    }
    let lab = Lab::new();
    drop(lab.vault());
    let dir = lab.path("state/quarantine");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let opened = Vault::open(&lab.path("state"), Limits::default());
    assert_eq!(refused(opened.map(|_| ())).0, "open-vault");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    drop(lab.vault());
}
