//! A world of its own for what rules forbid: a private mount namespace whose root is an overlay of
//! the host's, so that `/etc` and all else can be written and nothing of it stays.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Directories in whose place the new world is built.
const PLACES: &[&str] = &["/mnt", "/media", "/srv", "/opt"];
/// Directories of the host that stay what they are: kernel interfaces.
const BOUND: &[&str] = &["/proc", "/sys", "/dev"];
/// Directories that begin empty.
const FRESH: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/run"];

/// Moves this process, which must have one thread, into the new world. What is named is there at
/// the same path, even if it lies in a directory that begins empty.
pub(super) fn enter(needed: &[PathBuf]) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace of our own")?;
    // Nothing that is mounted from here on is seen by the host.
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("private mounts")?;
    // Its own file system, so that it can hold what an overlay needs. It hides a directory of the
    // host from us alone, and goes with the namespace.
    let is_free = |place: &&&str| {
        Path::new(place).is_dir() && !needed.iter().any(|path| path.starts_with(place))
    };
    let base = PLACES.iter().find(is_free).context("no directory that can be hidden")?;
    mounted(Path::new(base), needed)
}

fn mounted(base: &Path, needed: &[PathBuf]) -> Result<()> {
    let none = None::<&str>;
    mount(Some("provoke"), base, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .context("a scratch file system")?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| base.join(name));
    for directory in [&upper, &work, &root] {
        fs::create_dir(directory).context("creating a directory")?;
    }
    // The sensors ask the file system for the names of files: it must find them again.
    let options = format!(
        "lowerdir=/,upperdir={},workdir={},index=on,nfs_export=on",
        upper.display(),
        work.display()
    );
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .context("an overlay of the host's root")?;
    let within = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    for directory in BOUND {
        let to = within(Path::new(directory));
        mount(Some(*directory), &to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
            .with_context(|| format!("{directory} in the new root"))?;
    }
    for directory in FRESH {
        let to = within(Path::new(directory));
        if fs::canonicalize(&to).is_ok_and(|real| real == to) {
            mount(Some("provoke"), &to, Some("tmpfs"), MsFlags::empty(), Some("mode=1777"))
                .with_context(|| format!("an empty {directory}"))?;
        }
    }
    for path in needed {
        let to = within(path);
        // On the host's root it is in the overlay already.
        if to.exists() {
            continue;
        }
        fs::create_dir_all(&to).with_context(|| format!("creating {}", to.display()))?;
        mount(Some(path), &to, none, MsFlags::MS_BIND, none)
            .with_context(|| format!("{} in the new root", path.display()))?;
    }
    std::env::set_current_dir(&root).context("entering the new root")?;
    // The old root comes to lie on the new one and is then taken away.
    nix::unistd::pivot_root(".", ".").context("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("letting go of the host's root")?;
    std::env::set_current_dir("/").context("entering the new root")
}

/// Files and directories that must be there before the agent starts: it watches them.
pub(super) fn furnish(files: &[&str], directories: &[&str]) -> Result<()> {
    for directory in directories {
        fs::create_dir_all(directory).with_context(|| format!("creating {directory}"))?;
    }
    for file in files {
        if let Some(parent) = Path::new(file).parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        let opened = fs::OpenOptions::new().append(true).create(true).open(file);
        opened.with_context(|| format!("creating {file}"))?;
    }
    Ok(())
}

/// Writes a script that anybody can run.
pub(super) fn script(path: &Path, text: &str) -> Result<OsString> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("chmod")?;
    Ok(path.into())
}
