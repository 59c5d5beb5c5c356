//! A root of its own for the suite on a host: in memory, with little more than the programs under test.
//!
//! Then rules can be about all files that there are, and whole filesystems be asked about, without
//! anybody else's being among them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// What is mounted in it, and where.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "proc"),
    ("sysfs", "sys"),
    ("devtmpfs", "dev"),
    ("cgroup2", CGROUPS),
    ("bpf", "sys/fs/bpf"),
    ("tracefs", "sys/kernel/tracing"),
    ("tmpfs", "tmp"),
];
/// What there is besides.
const DIRECTORIES: &[&str] = &["bin", "etc", "old", "root", "run", "usr", "var/lib"];
const USERS: &str = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Where cgroups are in it.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";
/// Where the program of the agent is in it.
pub(crate) const AGENT: &str = "/bin/aegisbpf";

/// This process, and those that it starts, are in it from now on; it goes with the last of them.
pub(crate) fn enter(agent: &Path) -> Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).context("mounts of its own")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    // Any directory will do: what is in it is hidden until this process ends, and from it alone.
    let root = Path::new("/mnt");
    fs::create_dir_all(root)?;
    let memory = Some("tmpfs");
    mount(memory, root, memory, MsFlags::empty(), Some("mode=755")).context("mounting a root")?;
    for name in DIRECTORIES {
        fs::create_dir_all(root.join(name))?;
    }
    for (program, name) in [
        (Path::new("/bin/busybox"), "bin/busybox"),
        (Path::new("/proc/self/exe"), "bin/evade"),
        (agent, "bin/aegisbpf"),
    ] {
        let to = root.join(name);
        fs::copy(program, &to).with_context(|| format!("copying {}", program.display()))?;
        for library in libraries(program)? {
            let to = root.join(library.strip_prefix("/").unwrap_or(&library));
            fs::create_dir_all(to.parent().context("a library without a directory")?)?;
            fs::copy(&library, to).with_context(|| format!("copying {}", library.display()))?;
        }
    }
    for name in ["sh", "env"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    fs::write(root.join("etc/passwd"), USERS)?;
    fs::write(root.join("etc/group"), GROUPS)?;
    fs::copy("/etc/machine-id", root.join("etc/machine-id")).context("copying the machine's id")?;
    for (kind, name) in MOUNTS {
        let at = root.join(name.trim_start_matches('/'));
        fs::create_dir_all(&at)?;
        let mounted = mount(Some(*kind), &at, Some(*kind), MsFlags::empty(), none);
        // Nothing that is tried needs it.
        ensure!(mounted.is_ok() || *kind == "tracefs", "mounting {kind}: {mounted:?}");
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    nix::unistd::pivot_root(root, &root.join("old")).context("exchanging the root")?;
    std::env::set_current_dir("/")?;
    umount2("/old", MntFlags::MNT_DETACH).context("leaving the old root")
}

/// Shared libraries of a program, and what loads them; none if it has none.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(fs::canonicalize(program)?).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}
