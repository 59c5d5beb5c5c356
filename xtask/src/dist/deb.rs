//! The Debian package: the tree, what `dpkg` is to know of it, and the scripts of `packaging/debian`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tree::{self, Shells};
use super::{BINARIES, VERSION, created, emptied, epoch, folder, sbom};
use crate::sh;

/// Which package of this version.
const REVISION: &str = "1";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// Files that are the administrator's once they are changed: an upgrade asks before it replaces one.
const CONFFILES: &str = "/etc/aegisbpf/config.toml\n";

/// The package; the same source gives the same bytes.
pub(super) fn make(key: Option<&Path>) -> Result<PathBuf> {
    let root = folder()?.join("deb");
    tree::lay(&root, &Shells { zsh: "usr/share/zsh/vendor-completions" }, key)?;
    let source = sh::at("packaging/debian");
    let pages = root.join(tree::DOCUMENTS);
    tree::put(&source.join("copyright"), &pages.join("copyright"), 0o644)?;
    let overrides = root.join("usr/share/lintian/overrides/aegisbpf");
    tree::put(&source.join("lintian-overrides"), &overrides, 0o644)?;
    let bills = sbom::write(&pages)?;
    let changes = pages.join("changelog.Debian");
    let template = fs::read_to_string(source.join("control"))?;
    fs::write(&changes, changelog(&template)?)?;
    tree::compress(bills.into_iter().chain([changes]))?;
    let about = created(root.join("DEBIAN"))?;
    for script in SCRIPTS {
        tree::put(&source.join(script), &about.join(script), 0o755)?;
    }
    fs::write(about.join("conffiles"), CONFFILES)?;
    describe(&root, &about, &template)?;
    let package = folder()?.join(format!("aegisbpf_{VERSION}-{REVISION}_amd64.deb"));
    let mut build = sh::cmd("dpkg-deb");
    build.env("SOURCE_DATE_EPOCH", epoch()?).args(["--root-owner-group", "-Zxz", "-z1", "--build"]);
    sh::capture(build.arg(&root).arg(&package))?;
    Ok(package)
}

/// `control`, and the sums of all files; dpkg itself minds those of the administrator.
fn describe(root: &Path, about: &Path, template: &str) -> Result<()> {
    let files: Vec<String> = tree::files(root)?
        .into_iter()
        .filter(|file| !file.starts_with("DEBIAN/") && !file.starts_with("etc/"))
        .collect();
    let mut bytes = 0;
    for file in &files {
        bytes += fs::metadata(root.join(file))?.len();
    }
    let text = template
        .replace("@VERSION@", &format!("{VERSION}-{REVISION}"))
        .replace("@SIZE@", &bytes.div_ceil(1024).to_string())
        .replace("@DEPENDS@", &libraries(root)?);
    fs::write(about.join("control"), text)?;
    let sums = sh::capture(sh::cmd("md5sum").current_dir(root).args(&files))?;
    fs::write(about.join("md5sums"), sums).context("cannot write md5sums")
}

/// The packages whose libraries the binaries need, with the least versions that do.
fn libraries(root: &Path) -> Result<String> {
    // The tool wants to stand in a source package.
    let scratch = emptied(folder()?.join("shlibdeps"))?;
    fs::create_dir(scratch.join("debian"))?;
    fs::write(
        scratch.join("debian/control"),
        "Source: aegisbpf\n\nPackage: aegisbpf\nArchitecture: any\n",
    )?;
    let mut ask = sh::cmd("dpkg-shlibdeps");
    ask.current_dir(&scratch).arg("-O");
    ask.args(BINARIES.map(|(_, program)| root.join("usr/bin").join(program)));
    let said = sh::capture(&mut ask)?;
    let list = said.trim().strip_prefix("shlibs:Depends=");
    Ok(list.context("dpkg-shlibdeps names no libraries")?.to_owned())
}

/// What Debian wants to know, by whom `control` names; what changed is in the other changelog.
fn changelog(control: &str) -> Result<String> {
    let maintainer = control.lines().find_map(|line| line.strip_prefix("Maintainer: "));
    let maintainer = maintainer.context("packaging/debian/control names no maintainer")?;
    let date = sh::capture(sh::cmd("date").args(["-u", "-R", "-d", &format!("@{}", epoch()?)]))?;
    Ok(format!(
        "aegisbpf ({VERSION}-{REVISION}) unstable; urgency=medium\n\n  * Release {VERSION}; see \
         changelog.gz.\n\n -- {maintainer}  {date}"
    ))
}
