//! `aegisbpf-VERSION-x86_64.tar.gz`: the tree for systems without packages of ours.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::tree::{self, Shells};
use super::{VERSION, emptied, epoch, folder};
use crate::sh;

/// Pages that one reads before anything is installed.
const BESIDE: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE-APACHE",
    "LICENSE-GPL2",
];
/// What they lead to, and where it is in the tree.
const LINKS: &[(&str, &str)] =
    &[("docs", "usr/share/doc/aegisbpf/docs"), ("rules", "usr/lib/aegisbpf/rules")];

/// The archive; the same source gives the same bytes.
pub(super) fn make(key: Option<&Path>) -> Result<PathBuf> {
    let name = format!("aegisbpf-{VERSION}-x86_64");
    let above = emptied(folder()?.join("tarball"))?;
    let root = above.join(&name);
    tree::lay(&root, &Shells { zsh: "usr/share/zsh/site-functions" }, key)?;
    for page in BESIDE {
        tree::put(&sh::at(page), &root.join(page), 0o644)?;
    }
    for (link, place) in LINKS {
        symlink(place, root.join(link))?;
    }
    let plain = folder()?.join(format!("{name}.tar"));
    let mut tar = sh::cmd("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar"]);
    tar.arg(format!("--mtime=@{}", epoch()?)).arg("-C").arg(&above);
    sh::run(tar.arg("-cf").arg(&plain).arg(&name))?;
    sh::run(sh::cmd("gzip").args(["-n", "-f"]).arg(&plain))?;
    Ok(plain.with_extension("tar.gz"))
}
