//! Cases about files and mounts.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use model::op::Kind;

use super::{Case, Control};
use crate::agent::Operation;
use crate::expect::{Want, is, is_if_present};
use crate::lab::{Done, Lab};

/// Levels of the deep path.
const DEPTH: usize = 25;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "watched file",
        kind: Kind::Open,
        run: |lab| one(lab, "open", "watched/open"),
        want: |_, done| {
            let mut wants = path(done);
            wants.push(is_if_present("file.Ext.open.write", false));
            wants
        },
    },
    Case {
        name: "below a watched directory",
        kind: Kind::Open,
        run: |lab| one(lab, "open", "tree/below/file"),
        want: |_, done| path(done),
    },
    Case {
        name: "watched file",
        kind: Kind::Write,
        run: |lab| one(lab, "write", "watched/write"),
        want: |_, done| path(done),
    },
    Case {
        name: "truncate",
        kind: Kind::Write,
        run: |lab| one(lab, "truncate", "watched/write"),
        want: |_, done| path(done),
    },
    Case {
        name: "file",
        kind: Kind::Create,
        run: create,
        want: |_, done| {
            let mut wants = path(done);
            wants.extend([is("file.extension", "file"), is_if_present("file.type", "file")]);
            wants
        },
    },
    Case {
        name: "directory",
        kind: Kind::Create,
        run: |lab| one(lab, "mkdir", "new.d"),
        want: |_, done| {
            let mut wants = path(done);
            wants.push(is_if_present("file.type", "dir"));
            wants
        },
    },
    Case { name: "25 directories deep", kind: Kind::Create, run: deep, want: |_, done| path(done) },
    Case {
        name: "name that is not UTF-8",
        kind: Kind::Create,
        run: not_utf8,
        want: |_, done| path(done),
    },
    Case {
        name: "into another directory",
        kind: Kind::Rename,
        run: rename,
        want: |_, done| {
            let mut wants = path(done);
            wants.extend([
                is("file.Ext.original.path", done.fact("old")),
                is("file.Ext.original.name", "before.txt"),
                is("file.Ext.original.extension", "txt"),
            ]);
            wants
        },
    },
    Case {
        name: "file",
        kind: Kind::Unlink,
        run: |lab| on_new(lab, "unlink", "doomed", &[]),
        want: |_, done| path(done),
    },
    Case { name: "directory", kind: Kind::Unlink, run: rmdir, want: |_, done| path(done) },
    Case {
        name: "hard link",
        kind: Kind::Link,
        run: link,
        want: |lab, done| {
            let mut wants = path(done);
            // A file handle has one name only.
            let handles = lab.provider(Kind::Link) == "fanotify";
            let check = if handles { is_if_present } else { is };
            wants.push(check("file.Ext.original.path", done.fact("old")));
            wants
        },
    },
    Case {
        name: "chmod 4755",
        kind: Kind::Attr,
        run: |lab| on_new(lab, "chmod", "mode", &["4755"]),
        want: |_, done| {
            let mut wants = path(done);
            wants.extend([
                is("file.mode", 0o4755),
                is("file.Ext.setuid", true),
                is_if_present("file.Ext.changed", r#"["mode"]"#),
            ]);
            wants
        },
    },
    Case {
        name: "chown",
        kind: Kind::Attr,
        run: |lab| on_new(lab, "chown", "owner", &["65534", "65533"]),
        want: |_, done| {
            let mut wants = path(done);
            wants.extend([is("file.uid", 65534), is("file.gid", 65533)]);
            wants
        },
    },
    Case {
        name: "times",
        kind: Kind::Attr,
        run: |lab| on_new(lab, "touch", "times", &[]),
        want: |lab, done| {
            let mut wants = path(done);
            // There is no LSM hook for them: doctor names both and shows the first.
            let row = lab.doctor.operations.get(&Kind::Attr);
            if row.is_some_and(|row| row.hook.contains("fentry vfs_utimes")) {
                wants.push(is("event.provider", "fentry"));
            }
            wants
        },
    },
    Case {
        name: "extended attribute",
        kind: Kind::Attr,
        run: |lab| on_new(lab, "setxattr", "xattr", &["trusted.provoke"]),
        want: |_, done| path(done),
    },
    Case {
        name: "tmpfs",
        kind: Kind::Mount,
        run: mount,
        want: |_, done| {
            vec![
                is("file.path", done.fact("path")),
                is("file.Ext.filesystem", "tmpfs"),
                is_if_present("file.Ext.original.path", "provoke-source"),
            ]
        },
    },
    Case {
        name: "tmpfs",
        kind: Kind::Umount,
        run: umount,
        want: |_, done| vec![is("file.path", done.fact("path"))],
    },
    Case {
        name: "name",
        kind: Kind::Memfd,
        run: |lab| lab.act(&["memfd", "provoke-anonymous"]),
        want: |_, _| vec![is("process.Ext.memfd.name", "provoke-anonymous")],
    },
];

pub(super) const CONTROLS: &[Control] = &[
    Control {
        name: "open of an unwatched file",
        kind: Kind::Open,
        run: |lab| on_new(lab, "open", "unwatched", &[]),
    },
    Control {
        name: "write to an unwatched file",
        kind: Kind::Write,
        run: |lab| on_new(lab, "write", "unwatched", &[]),
    },
    Control {
        name: "read of a watched file",
        kind: Kind::Write,
        run: |lab| one(lab, "open", "watched/write"),
    },
    Control {
        name: "O_CREAT of a file that exists",
        kind: Kind::Create,
        run: |lab| on_new(lab, "create", "exists", &[]),
    },
    Control { name: "link", kind: Kind::Rename, run: link_again },
    Control { name: "rename", kind: Kind::Unlink, run: rename_again },
    Control { name: "symbolic link", kind: Kind::Link, run: symlink },
    Control { name: "stat", kind: Kind::Attr, run: |lab| on_new(lab, "stat", "looked-at", &[]) },
    Control { name: "mkdir", kind: Kind::Mount, run: |lab| one(lab, "mkdir", "no-mount") },
    Control { name: "rmdir", kind: Kind::Umount, run: |lab| one(lab, "rmdir", "no-mount") },
    Control { name: "O_TMPFILE", kind: Kind::Memfd, run: |lab| one(lab, "tmpfile", ".") },
];

/// The three fields that say where the file is.
fn path(done: &Done) -> Vec<Want> {
    let path = done.fact("path");
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    vec![is("file.path", path), is("file.name", name), is("file.directory", directory)]
}

/// An operation on a path below the scratch directory.
fn one(lab: &mut Lab, operation: &str, name: &str) -> Result<Done> {
    let path = lab.path(name);
    Ok(lab.act(&[operation, &path])?.with("path", path))
}

/// An operation on a file that the lab has just made.
fn on_new(lab: &mut Lab, operation: &str, name: &str, more: &[&str]) -> Result<Done> {
    let path = lab.file(name)?;
    let mut words = vec![operation, &path];
    words.extend_from_slice(more);
    let done = lab.act(&words)?;
    Ok(done.with("path", path))
}

fn deep(lab: &mut Lab) -> Result<Done> {
    let name = "level/".repeat(DEPTH);
    fs::create_dir_all(lab.scratch.join(&name)).context("creating the deep directory")?;
    one(lab, "create", &format!("{name}bottom"))
}

fn not_utf8(lab: &mut Lab) -> Result<Done> {
    let path = lab.scratch.join(OsStr::from_bytes(b"bad-\xff\xfe-name"));
    let done = lab.act(&[OsStr::new("create"), path.as_os_str()])?;
    // JSON holds text only: what is not UTF-8 is replaced there, and only there.
    Ok(done.with("path", path.to_string_lossy()))
}

fn create(lab: &mut Lab) -> Result<Done> {
    gone(&lab.path("new.file"))?;
    one(lab, "create", "new.file")
}

/// Takes away what an earlier run of the same case has left.
fn gone(path: &str) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {path}"))
        }
        _ => Ok(()),
    }
}

fn rename_as(lab: &mut Lab, from: &str, to: &str) -> Result<Done> {
    fs::create_dir_all(lab.scratch.join("elsewhere")).context("mkdir")?;
    let (old, new) = (lab.file(from)?, lab.path(to));
    Ok(lab.act(&["rename", &old, &new])?.with("path", new).with("old", old))
}

fn rename(lab: &mut Lab) -> Result<Done> {
    rename_as(lab, "before.txt", "elsewhere/after.bin")
}

fn rename_again(lab: &mut Lab) -> Result<Done> {
    rename_as(lab, "again.txt", "elsewhere/again.bin")
}

fn rmdir(lab: &mut Lab) -> Result<Done> {
    fs::create_dir(lab.scratch.join("doomed.d")).context("mkdir")?;
    one(lab, "rmdir", "doomed.d")
}

fn link_as(lab: &mut Lab, operation: &str, name: &str) -> Result<Done> {
    let (old, new) = (lab.file(&format!("{name}.first"))?, lab.path(name));
    gone(&new)?;
    Ok(lab.act(&[operation, &old, &new])?.with("path", new).with("old", old))
}

fn link(lab: &mut Lab) -> Result<Done> {
    link_as(lab, "link", "second-name")
}

fn link_again(lab: &mut Lab) -> Result<Done> {
    link_as(lab, "link", "third-name")
}

fn symlink(lab: &mut Lab) -> Result<Done> {
    link_as(lab, "symlink", "soft")
}

fn mount(lab: &mut Lab) -> Result<Done> {
    let done = mounted(lab, "mount-point")?;
    unmounted(lab, "mount-point")?;
    Ok(done)
}

fn umount(lab: &mut Lab) -> Result<Done> {
    mounted(lab, "umount-point")?;
    unmounted(lab, "umount-point")
}

fn mounted(lab: &mut Lab, name: &str) -> Result<Done> {
    let path = lab.path(name);
    fs::create_dir_all(&path).context("mkdir")?;
    let done = lab.act(&["mount", &path, "provoke-source"])?;
    if lab.doctor.operations.get(&Kind::Mount).is_some_and(Operation::seen) {
        // Some sources look at the mount after it was made: it must still be there.
        lab.wait(done.pid, "mount").context("expected the event of the mount, got none")?;
    }
    Ok(done.with("path", path))
}

fn unmounted(lab: &mut Lab, name: &str) -> Result<Done> {
    one(lab, "umount", name)
}
