//! `cargo xtask vm-system [--built] [--smoke] [NAME…]`: the Debian package in whole systems, as those have it who install it.
//!
//! A Debian boots from a disk that holds nothing of ours ([`image`]), with systemd and with the kernel of its release, and runs one
//! of the scripts of `packaging/tests/guest` as a unit. Packages and scripts come in with the initramfs, which is nothing but the way to
//! the disk; all that comes out is the serial log. What the guest writes to the disk goes with the guest.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::debian::{Found, Kernel, Mirror, find};
use super::report::{self, Log, Row, Verdict};
use super::{boot_all, cache, guest, image, qemu};
use crate::outcome::Outcome;
use crate::sh;

/// A guest, and what it is booted for.
#[derive(Debug)]
pub(super) struct System {
    pub(super) name: &'static str,
    /// The script, and the word that it is given.
    script: &'static str,
    /// What the kernel is told beside what it is always told.
    append: &'static str,
    /// Whether packages of other versions come in, too; with `--smoke` only one of them is taken.
    upgrades: bool,
}

/// Those that take longest come first.
pub(super) const SYSTEMS: &[System] = &[
    System {
        name: "life",
        script: "life",
        append: "lsm=lockdown,capability,landlock,yama,bpf",
        upgrades: true,
    },
    System {
        name: "selinux",
        script: "confined selinux",
        append: "selinux=1 enforcing=1 lsm=lockdown,capability,landlock,yama,selinux,bpf",
        upgrades: false,
    },
    System {
        name: "apparmor",
        script: "confined apparmor",
        append: "apparmor=1 lsm=lockdown,capability,landlock,yama,apparmor,bpf",
        upgrades: false,
    },
    System {
        name: "fallback",
        script: "fallback",
        append: "lsm=lockdown,capability,landlock,yama",
        upgrades: false,
    },
];

/// The series of the kernel of the release that the packages are made for.
pub(super) const KERNEL: &str = "6.1";
/// The way to the disk, each module after those that it depends on.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
];
/// Memory of a guest in MiB: the initramfs with three packages in it, and the agent.
const MEMORY_MIB: &str = "2048";
/// A guest takes some minutes.
const TIMEOUT: Duration = Duration::from_mins(20);

/// First process: mounts the disk, puts what came in below /run, and lets systemd begin.
const INIT: &str = r"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read module; do insmod /modules/$module.ko; done < /modules/list
mount -t ext4 /dev/vda /system
mount -t tmpfs -o mode=755 tmpfs /system/run
mkdir -p /system/run/systemd/system/multi-user.target.wants
mv /guest /system/run/guest
mv /system/run/guest/guest.service /system/run/systemd/system/
ln -s ../guest.service /system/run/systemd/system/multi-user.target.wants/
umount /proc /sys
exec switch_root /system /sbin/init
";

/// What each kernel is told: the serial line is the script's alone, and nothing of what is logged is left out.
const APPEND: &str = "console=ttyS0 panic=-1 quiet edd=off log_buf_len=4M systemd.show_status=no \
                      systemd.mask=serial-getty@ttyS0.service";

/// Runs the script on the serial line, where SELinux is in force as an operator who has logged in; whatever becomes of it, the guest
/// ends.
const UNIT: &str = "[Unit]
Description=What is tried in this guest
After=basic.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
SELinuxContext=-unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
ExecStart=/bin/sh /run/guest/run.sh ";

const USAGE: &str = "usage: cargo xtask vm-system [--built] [--smoke] [NAME…]

with --built from what `cargo build --release` left, with --smoke what there is time for";
const BUILT: &str = "--built";
const SMOKE: &str = "--smoke";

/// Runs the guests that are named, or all, and prints one row for each.
pub(crate) fn test(args: &[String]) -> Result<Outcome> {
    let (flags, names): (Vec<&str>, Vec<&str>) =
        args.iter().map(String::as_str).partition(|word| word.starts_with('-'));
    let is_known = |name: &&str| SYSTEMS.iter().any(|system| system.name == *name);
    if flags.iter().any(|flag| ![BUILT, SMOKE].contains(flag)) || !names.iter().all(is_known) {
        let known: Vec<&str> = SYSTEMS.iter().map(|system| system.name).collect();
        bail!("{USAGE}; the names are {}", known.join(", "));
    }
    let cache = cache()?;
    let mirror = Mirror::new(&cache);
    if let Err(reason) = possible(&mirror) {
        println!("SKIP vm-system: {reason:#}");
        return Ok(Outcome::SKIP);
    }
    let Found::Kernel(kernel) = mirror.kernel(KERNEL)? else {
        println!("SKIP vm-system: the mirror has no kernel {KERNEL}");
        return Ok(Outcome::SKIP);
    };
    if !flags.contains(&BUILT) {
        sh::build_release()?;
    }
    let common = Common::make(kernel, cache, flags.contains(&SMOKE))?;
    let wanted: Vec<&System> =
        SYSTEMS.iter().filter(|system| names.is_empty() || names.contains(&system.name)).collect();
    let rows = boot_all(wanted, |system| common.one(system));
    Ok(report::table("vm-system", &rows))
}

/// Whether such guests can be made here; if not, why.
pub(super) fn possible(mirror: &Mirror) -> Result<()> {
    if sh::root_prefix().is_none() {
        bail!("needs root, or sudo without a password");
    }
    for tool in ["debootstrap", "dpkg-deb", "busybox", "mke2fs", "make", "checkmodule"] {
        sh::find(tool).with_context(|| format!("no {tool}"))?;
    }
    qemu(mirror)
}

/// The package, and the same of other versions with other builds of the agent in them.
#[derive(Debug)]
struct Packages {
    this: Vec<u8>,
    older: Vec<u8>,
    newer: Vec<u8>,
}

impl Packages {
    fn make(cache: &Path) -> Result<Packages> {
        let said = sh::capture(sh::cmd(std::env::current_exe()?).args(["dist", "deb", "--built"]))?;
        let this = PathBuf::from(said.lines().last().context("`dist` names no package")?);
        let older = other(&this, cache, "maps", "0.0.1-1")?;
        let newer = other(&this, cache, "programs", "999.0.0-1")?;
        let this = std::fs::read(&this).context("reading the package")?;
        Ok(Packages { this, older, newer })
    }
}

/// The package with another version, and with a build of the agent that differs in this.
fn other(package: &Path, cache: &Path, differs: &str, version: &str) -> Result<Vec<u8>> {
    let (tree, made) = (cache.join("other"), cache.join("other.deb"));
    let remove = || sh::run(sh::cmd("rm").arg("-rf").args([&tree, &made]));
    remove()?;
    sh::run(sh::cmd("dpkg-deb").arg("-R").arg(package).arg(&tree))?;
    let agent = tree.join("usr/bin/aegisbpf");
    let mut change = sh::cmd(sh::release("evade"));
    sh::run(change.arg("other-build").arg(&agent).arg(differs).arg(&agent))?;
    let control = tree.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control).context("reading the control file")?;
    let text: String = text
        .lines()
        .map(|line| match line.strip_prefix("Version: ") {
            Some(_) => format!("Version: {version}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    std::fs::write(&control, text).context("writing the control file")?;
    let mut build = sh::cmd("dpkg-deb");
    build.args(["--root-owner-group", "-Zgzip", "-z1", "--build"]);
    sh::capture(build.arg(&tree).arg(&made))?;
    let bytes = std::fs::read(&made).context("reading the package")?;
    remove()?;
    Ok(bytes)
}

/// The module for SELinux, as an administrator builds it.
fn module(cache: &Path) -> Result<Vec<u8>> {
    let place = cache.join("selinux");
    std::fs::create_dir_all(&place).context("a place for the module")?;
    for suffix in ["te", "fc", "if"] {
        let name = format!("aegisbpf.{suffix}");
        std::fs::copy(sh::at("packaging/selinux").join(&name), place.join(&name))
            .with_context(|| format!("copying {name}"))?;
    }
    let mut make = sh::cmd("make");
    make.args(["-B", "-f", "/usr/share/selinux/devel/Makefile", "aegisbpf.pp"]);
    sh::capture(make.current_dir(&place)).context("building the module for SELinux")?;
    std::fs::read(place.join("aegisbpf.pp")).context("reading the module")
}

/// What all guests have.
#[derive(Debug)]
pub(super) struct Common {
    /// Only what there is time for.
    few: bool,
    kernel: Kernel,
    packages: Packages,
    module: Vec<u8>,
    disk: PathBuf,
    cache: PathBuf,
}

impl Common {
    /// Makes it, from what `cargo build --release` left; the disk takes a minute the first time.
    pub(super) fn make(kernel: Kernel, cache: PathBuf, few: bool) -> Result<Common> {
        let packages = Packages::make(&cache)?;
        let disk = image::image(&cache)?;
        let module = module(&cache)?;
        Ok(Common { few, kernel, packages, module, disk, cache })
    }

    /// Boots and judges one guest; whatever goes wrong becomes its row.
    pub(super) fn one(&self, system: &System) -> Row {
        match self.run(system) {
            Ok(log) => report::judge(system.name, &log, 1),
            Err(error) => Row::new(system.name, Verdict::Failed(format!("{error:#}"))),
        }
    }

    fn run(&self, system: &System) -> Result<Log> {
        let initramfs = self.cache.join(format!("initramfs-{}.cpio", system.name));
        let log = self.cache.join(format!("serial-{}.log", system.name));
        std::fs::write(&initramfs, self.initramfs(system)?)
            .with_context(|| format!("writing {}", initramfs.display()))?;
        let started = Instant::now();
        let mut guest = self.boot(system, &initramfs, &log)?;
        let timed_out = guest::wait(&mut guest, started + TIMEOUT)?;
        let bytes = std::fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
        std::fs::remove_file(&initramfs).context("removing the initramfs")?;
        Ok(Log {
            text: String::from_utf8_lossy(&bytes).replace('\r', ""),
            path: log.display().to_string(),
            took: started.elapsed(),
            timed_out,
        })
    }

    /// What the kernel unpacks: the way to the disk, and what is tried.
    fn initramfs(&self, system: &System) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for directory in ["/proc", "/sys", "/dev", "/system"] {
            archive.directory(directory);
        }
        archive.device("/dev/console", 5, 1);
        archive.file("/init", 0o755, INIT.as_bytes());
        let busybox = sh::find("busybox").context("busybox is needed (package busybox-static)")?;
        archive.file("/bin/busybox", 0o755, &std::fs::read(busybox).context("reading busybox")?);
        let mut list = String::new();
        for name in MODULES {
            if let Some(path) = find(&self.kernel.directory, &format!("{name}.ko")) {
                archive.file(&format!("/modules/{name}.ko"), 0o644, &guest::unpacked(&path)?);
                list.extend([name, "\n"]);
            }
        }
        archive.file("/modules/list", 0o644, list.as_bytes());
        let few = if self.few { " few" } else { "" };
        let unit = format!("{UNIT}{}{few}\n", system.script);
        archive.file("/guest/guest.service", 0o644, unit.as_bytes());
        let scripts = sh::at("packaging/tests/guest");
        for entry in std::fs::read_dir(&scripts).context("reading the scripts")? {
            let path = entry.context("reading the scripts")?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read(&path).with_context(|| format!("reading {name}"))?;
            archive.file(&format!("/guest/{name}"), 0o644, &text);
        }
        archive.file("/guest/this.deb", 0o644, &self.packages.this);
        archive.file("/guest/aegisbpf.pp", 0o644, &self.module);
        if system.upgrades {
            archive.file("/guest/old.deb", 0o644, &self.packages.older);
            archive.file("/guest/new.deb", 0o644, &self.packages.newer);
        }
        Ok(archive.finish())
    }

    /// Starts qemu.
    fn boot(&self, system: &System, initramfs: &Path, log: &Path) -> Result<Child> {
        let drive =
            format!("file={},format=raw,if=virtio,snapshot=on,cache=unsafe", self.disk.display());
        let append = format!("{APPEND} {}", system.append);
        guest::machine(&self.kernel, initramfs, log, &append)
            .args(guest::TIME)
            .args(["-m", MEMORY_MIB, "-drive", &drive])
            .spawn()
            .context("starting qemu-system-x86_64")
    }
}
