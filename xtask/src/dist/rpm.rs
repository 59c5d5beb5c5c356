//! The RPM package, by `packaging/rpm/aegisbpf.spec`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tree::{self, Shells};
use super::{VERSION, emptied, epoch, folder, sbom};
use crate::sh;

/// The package.
pub(super) fn make(key: Option<&Path>) -> Result<PathBuf> {
    let above = emptied(folder()?.join("rpm"))?;
    let root = above.join("tree");
    tree::lay(&root, &Shells { zsh: "usr/share/zsh/site-functions" }, key)?;
    let pages = root.join(tree::DOCUMENTS);
    sbom::write(&pages)?;
    for licence in ["LICENSE-APACHE", "LICENSE-GPL2"] {
        tree::put(&sh::at(licence), &pages.join(licence), 0o644)?;
    }
    let mut build = sh::cmd("rpmbuild");
    build.env("SOURCE_DATE_EPOCH", epoch()?).args(["-bb", "--quiet", "--target", "x86_64"]);
    for (name, value) in
        [("_topdir", above.display().to_string()), ("tree", root.display().to_string())]
    {
        build.arg("--define").arg(format!("{name} {value}"));
    }
    build.arg("--define").arg(format!("release_version {VERSION}"));
    sh::run(build.arg(sh::at("packaging/rpm/aegisbpf.spec")))?;
    let name = format!("aegisbpf-{VERSION}-1.x86_64.rpm");
    let package = folder()?.join(&name);
    std::fs::rename(above.join("RPMS/x86_64").join(&name), &package)
        .with_context(|| format!("rpmbuild left no {name}"))?;
    Ok(package)
}
