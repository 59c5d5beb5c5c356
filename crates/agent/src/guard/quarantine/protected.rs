//! Files that are never taken: without them the host, its operator or the agent would be lost.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::place::{Identity, same};

/// What no host of ours can do without, where it exists: by its path and by the inode that it is now.
const FILES: &[(&str, &str)] = &[
    ("/proc/1/exe", "init"),
    ("/sbin/init", "init"),
    ("/usr/lib/systemd/systemd", "init"),
    ("/usr/lib/systemd/systemd-journald", "the journal"),
    ("/usr/lib/systemd/systemd-logind", "logins"),
    ("/proc/self/exe", "the agent"),
    ("/usr/sbin/sshd", "sshd"),
    ("/usr/lib/openssh/sshd-session", "sshd"),
    ("/usr/libexec/openssh/sshd-session", "sshd"),
    ("/bin/sh", "a shell"),
    ("/bin/bash", "a shell"),
    ("/bin/dash", "a shell"),
    ("/bin/zsh", "a shell"),
    ("/bin/busybox", "a shell"),
    ("/bin/login", "logins"),
    ("/bin/su", "logins"),
    ("/usr/bin/sudo", "logins"),
    ("/etc/passwd", "logins"),
    ("/etc/shadow", "logins"),
    ("/etc/group", "logins"),
    ("/etc/nsswitch.conf", "logins"),
    ("/etc/ld.so.cache", "the dynamic loader"),
    ("/etc/fstab", "the boot"),
    ("/usr/bin/dpkg", "the package manager"),
    ("/usr/bin/apt", "the package manager"),
    ("/usr/bin/apt-get", "the package manager"),
    ("/usr/bin/rpm", "the package manager"),
    ("/usr/bin/dnf", "the package manager"),
    ("/usr/bin/apk", "the package manager"),
    ("/lib64/ld-linux-x86-64.so.2", "the dynamic loader"),
    ("/lib/ld-linux-aarch64.so.1", "the dynamic loader"),
    ("/lib/ld-musl-x86_64.so.1", "the dynamic loader"),
    ("/lib/ld-musl-aarch64.so.1", "the dynamic loader"),
    ("/lib/x86_64-linux-gnu/libc.so.6", "the C library"),
    ("/lib/aarch64-linux-gnu/libc.so.6", "the C library"),
    ("/lib64/libc.so.6", "the C library"),
];

/// Directories of which nothing is taken.
const BELOW: &[(&str, &str)] = &[("/boot", "the boot"), ("/etc/aegisbpf", "the agent")];

/// Processes whose libraries are protected too, whatever they are called here.
const MAPPED: &[(&str, &str)] =
    &[("/proc/1/maps", "init runs from it"), ("/proc/self/maps", "the agent runs from it")];

/// Bytes read of the command line of the first process: a path has no more.
const WORD_MAX: u64 = 4 << 10;
/// Bytes read of the mappings of a process; a process with more has libraries that we do not see.
const MAPS_MAX: u64 = 4 << 20;

/// Why this file is protected, if it is: by our list, or by the operator's.
pub(super) fn why(
    path: &Path,
    identity: Identity,
    state: &Path,
    more: &[PathBuf],
) -> Option<String> {
    let known =
        FILES.iter().find(|(file, _)| path == Path::new(file) || same(Path::new(file), identity));
    let below = BELOW.iter().find(|(dir, _)| path.starts_with(dir));
    if let Some((_, what)) = known.or(below) {
        return Some(format!("it belongs to {what}"));
    }
    if init().is_some_and(|init| path == init || same(&init, identity)) {
        return Some("it belongs to init".to_owned());
    }
    if path.starts_with(state) {
        return Some("it belongs to the agent".to_owned());
    }
    if more.iter().any(|file| path.starts_with(file) || same(file, identity)) {
        return Some("the operator said so".to_owned());
    }
    let mapped = MAPPED.iter().find(|(maps, _)| is_mapped(Path::new(maps), identity));
    mapped.map(|(_, what)| (*what).to_owned())
}

/// The program of the first process, by its own word: `/proc/1/exe` is not always ours to read.
fn init() -> Option<PathBuf> {
    let mut words = Vec::new();
    fs::File::open("/proc/1/cmdline").ok()?.take(WORD_MAX).read_to_end(&mut words).ok()?;
    let first = words.split(|byte| *byte == 0).next()?;
    Some(PathBuf::from(OsStr::from_bytes(first))).filter(|path| path.is_absolute())
}

/// Whether a process has mapped the file. Only paths of files are compared, and by what they lead to:
/// the numbers of devices in this list are not always those of `stat`.
fn is_mapped(maps: &Path, identity: Identity) -> bool {
    let Ok(file) = fs::File::open(maps) else { return false };
    let mut before = String::new();
    for line in BufReader::new(file.take(MAPS_MAX)).split(b'\n') {
        let Ok(line) = line else { return false };
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some(at) = line.find('/') else { continue };
        let path = line.get(at..).unwrap_or_default();
        if path != before && same(Path::new(path), identity) {
            return true;
        }
        path.clone_into(&mut before);
    }
    false
}
