//! The disk of the guests that are whole systems: Debian as debootstrap leaves it, with nothing of ours on it. What the confinements
//! need is installed, and each file has its label of SELinux; whether a guest has one of them its kernel is told when it boots.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::sh;

/// The release that the packages are made for.
const RELEASE: &str = "bookworm";
/// A system that boots, what the package depends on, and what loads and reads profiles and policies.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "libelf1",
    "libstdc++6",
    "procps",
    "curl",
    "apparmor",
    "selinux-policy-default",
    "policycoreutils",
];
/// Room for what a guest installs; only what is written takes any.
const SIZE: &str = "3G";
/// Labels the files below `$1` in the way of the policy that is installed there. `setfiles` goes by /proc, so this runs in a mount
/// namespace of its own.
const LABEL: &str = r#"mount -t proc proc "$1/proc" &&
exec chroot "$1" setfiles -F /etc/selinux/default/contexts/files/file_contexts /"#;

/// The disk, made once; guests write into copies of what they change.
pub(super) fn image(cache: &Path) -> Result<PathBuf> {
    let (image, made_of) = (cache.join("system.ext4"), cache.join("system.packages"));
    let wanted = format!("{RELEASE} {}\n", PACKAGES.join(" "));
    if image.exists() && std::fs::read_to_string(&made_of).is_ok_and(|known| known == wanted) {
        return Ok(image);
    }
    let (root, part) = (cache.join("system"), cache.join("system.part"));
    let remove = || sh::run(sh::as_root("rm")?.arg("-rf").args([&root, &part]));
    remove()?;
    let mut fetch = sh::as_root("debootstrap")?;
    fetch.args(["--variant=minbase", &format!("--include={}", PACKAGES.join(",")), RELEASE]);
    sh::capture(fetch.arg(&root)).context("fetching the system")?;
    let mut clean = sh::as_root("chroot")?;
    sh::run(clean.arg(&root).args(["apt-get", "clean"]))?;
    let mut label = sh::as_root("unshare")?;
    label.args(["--mount", "--propagation", "private", "sh", "-c", LABEL, "label"]);
    sh::capture(label.arg(&root)).context("labelling the system")?;
    let mut pack = sh::as_root("mke2fs")?;
    sh::capture(pack.args(["-q", "-F", "-t", "ext4", "-d"]).arg(&root).arg(&part).arg(SIZE))?;
    std::fs::rename(&part, &image).context("naming the disk")?;
    remove()?;
    std::fs::write(&made_of, wanted).context("noting what the disk is made of")?;
    Ok(image)
}
