//! `aegisbpf-VERSION-x86_64.tar.gz`: the tree for systems without packages of ours.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::tree::{self, Shells};
use super::{VERSION, emptied, epoch, folder};
use crate::sh;

/// Pages that one reads before anything is installed.
const BESIDE: &[&str] = &["README.md", "LICENSE-APACHE", "LICENSE-GPL2", "docs/install.md"];

/// The archive; the same source gives the same bytes.
pub(super) fn make(key: Option<&Path>) -> Result<PathBuf> {
    let name = format!("aegisbpf-{VERSION}-x86_64");
    let above = emptied(folder()?.join("tarball"))?;
    let root = above.join(&name);
    tree::lay(&root, &Shells { zsh: "usr/share/zsh/site-functions" }, key)?;
    for page in BESIDE {
        let file = page.rsplit('/').next().unwrap_or(page);
        tree::put(&sh::at(page), &root.join(file), 0o644)?;
    }
    let plain = folder()?.join(format!("{name}.tar"));
    let mut tar = sh::cmd("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar"]);
    tar.arg(format!("--mtime=@{}", epoch()?)).arg("-C").arg(&above);
    sh::run(tar.arg("-cf").arg(&plain).arg(&name))?;
    sh::run(sh::cmd("gzip").args(["-n", "-f"]).arg(&plain))?;
    Ok(plain.with_extension("tar.gz"))
}
