//! The files that are installed: one tree for all packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{BINARIES, SHELLS, ask_built, completions, created, emptied, pages, sign};
use crate::sh;

/// Files as they are in the repository, and where they go.
const FILES: &[(&str, &str)] = &[
    ("packaging/systemd/aegisbpf.service", "usr/lib/systemd/system/aegisbpf.service"),
    ("packaging/sysusers.d/aegisbpf.conf", "usr/lib/sysusers.d/aegisbpf.conf"),
    ("packaging/tmpfiles.d/aegisbpf.conf", "usr/lib/tmpfiles.d/aegisbpf.conf"),
    ("packaging/config/config.toml", "etc/aegisbpf/config.toml"),
    ("packaging/config/20-enforce.toml", "usr/share/doc/aegisbpf/examples/20-enforce.toml"),
    // Not where systemd would find it: whether rules may move files is the operator's to say.
    ("packaging/systemd/quarantine.conf", "usr/share/doc/aegisbpf/examples/quarantine.conf"),
    ("config/prometheus/alerts.yml", "usr/share/aegisbpf/prometheus/alerts.yml"),
    ("config/grafana/aegisbpf.json", "usr/share/aegisbpf/grafana/aegisbpf.json"),
    // Not where systemd would find it: whether Prometheus may ask is the operator's to say.
    (METRICS_UNIT, "usr/share/aegisbpf/prometheus/aegisbpf-metrics.service"),
    // Not where AppArmor would load it: a profile that is too narrow would blind the agent.
    ("packaging/apparmor/usr.bin.aegisbpf", "usr/share/aegisbpf/apparmor/usr.bin.aegisbpf"),
    ("packaging/apparmor/quarantine", "usr/share/aegisbpf/apparmor/quarantine"),
    ("packaging/selinux/aegisbpf.te", "usr/share/aegisbpf/selinux/aegisbpf.te"),
    ("packaging/selinux/aegisbpf.fc", "usr/share/aegisbpf/selinux/aegisbpf.fc"),
    ("packaging/selinux/aegisbpf.if", "usr/share/aegisbpf/selinux/aegisbpf.if"),
];

/// What gives Prometheus an address.
const METRICS_UNIT: &str = "packaging/systemd/aegisbpf-metrics.service";

/// A page that those of `docs/` lead to; it is beside them as in the repository.
const SECURITY: &str = "SECURITY.md";

/// Where pages are.
pub(super) const DOCUMENTS: &str = "usr/share/doc/aegisbpf";

/// Where operators put what is theirs.
const EMPTY: &[&str] = &[
    "etc/aegisbpf/config.d",
    "etc/aegisbpf/rules.d",
    "etc/aegisbpf/packs.d",
    "etc/aegisbpf/policies.d",
    "etc/aegisbpf/suppressions.d",
    "etc/aegisbpf/keys",
];

const FILE: u32 = 0o644;
const DIRECTORY: u32 = 0o755;

/// Where each shell looks; zsh's place is called otherwise in Debian.
pub(super) struct Shells {
    /// Below the root, for zsh.
    pub(super) zsh: &'static str,
}

/// Lays out the tree at `root`, from the binaries that were built; signed, if there is a key.
pub(super) fn lay(root: &Path, shells: &Shells, key: Option<&Path>) -> Result<()> {
    emptied(root.to_owned())?;
    for (_, program) in BINARIES {
        let file = root.join("usr/bin").join(program);
        put(&sh::release(program), &file, DIRECTORY)?;
        // Names of functions are of no use without what debuggers need beside them.
        sh::run(sh::cmd("strip").arg("--strip-unneeded").arg(&file))?;
        if let Some(key) = key.filter(|_| program == sign::SIGNED) {
            sign::seal(&file, key)?;
        }
    }
    for (from, to) in FILES {
        put(&sh::at(from), &root.join(to), FILE)?;
    }
    for entry in fs::read_dir(sh::at("rules"))? {
        let file = entry?.path();
        if file.extension().is_some_and(|end| end == "toml")
            && let Some(name) = file.file_name()
        {
            put(&file, &root.join("usr/lib/aegisbpf/rules").join(name), FILE)?;
        }
    }
    for directory in EMPTY {
        created(root.join(directory))?;
    }
    pages(&root.join("usr/share/man/man1"), ask_built)?;
    let places = ["usr/share/bash-completion/completions", shells.zsh, FISH];
    for ((shell, ..), place) in SHELLS.iter().zip(places) {
        completions(shell, &root.join(place), ask_built)?;
    }
    let documents = root.join(DOCUMENTS);
    for page in files(&sh::at("docs"))?.iter().map(|page| format!("docs/{page}")) {
        put(&sh::at(&page), &documents.join(&page), FILE)?;
    }
    put(&sh::at(SECURITY), &documents.join(SECURITY), FILE)?;
    let changes = documents.join("changelog");
    put(&sh::at("CHANGELOG.md"), &changes, FILE)?;
    let manual = root.join("usr/share/man/man1");
    let pages: Vec<_> = fs::read_dir(&manual)?.collect::<Result<_, _>>()?;
    compress(pages.iter().map(fs::DirEntry::path).chain([changes]))?;
    // Whatever the umask was.
    sh::run(sh::cmd("chmod").args(["-R", "u=rwX,go=rX"]).arg(root))
}

const FISH: &str = "usr/share/fish/vendor_completions.d";

/// In the form in which systems keep pages and changes; no time and no name inside.
pub(super) fn compress(files: impl Iterator<Item = std::path::PathBuf>) -> Result<()> {
    sh::run(sh::cmd("gzip").args(["-9", "-n", "-f"]).args(files))
}

pub(super) fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let place = to.parent().context("no directory")?;
    created(place.to_owned())?;
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// All regular files below, sorted, relative to it.
pub(super) fn files(root: &Path) -> Result<Vec<String>> {
    let list = sh::capture(sh::cmd("find").arg(root).args(["-type", "f", "-printf", "%P\n"]))?;
    let mut files: Vec<String> = list.lines().map(str::to_owned).collect();
    files.sort_unstable();
    Ok(files)
}
