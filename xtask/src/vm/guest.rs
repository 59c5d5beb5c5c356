//! One guest: its initramfs, its boot under qemu, its serial log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;

use super::Extent;
use super::cpio::Archive;
use super::debian::{Kernel, checked, find};
use super::report::Log;

/// A module that no cloud kernel loads by itself and that depends on no other.
const MODULE: &str = "dummy.ko";
/// Modules that tricks of the evasion suite need, each after those that it depends on. A kernel may
/// have some of them built in, or not at all: then the cases say so.
const MODULES: &[&str] = &[
    "overlay",
    "loop",
    "binfmt_misc",
    "libcrc32c",
    "xfs",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "sctp",
    "dccp",
    "dccp_ipv4",
];
/// Memory of a guest in MiB; the initramfs is unpacked into it.
const MEMORY_MIB: &str = "1536";
/// How long the kernel may take until the first process runs; some 5 s on an idle machine.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);
/// What the first process says first.
const UP: &[u8] = b"GUEST ";
/// How often the guest is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Two processors, and the clock of the host.
pub(super) const TIME: &[&str] = &["-accel", "tcg,thread=multi", "-smp", "2"];
/// One processor, for which each instruction takes a nanosecond.
const INSTRUCTIONS: &[&str] = &["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"];
/// Counts with each of the tables, from the smallest.
const COUNT: &str = "cd /tables && setsid evade count $(ls | sort -n)\n";

/// First process of the guest: mounts what a host has, runs the cases, powers off.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /run /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
while read module; do insmod /lib/modules/$module.ko; done < /modules
ip link set lo up
hostname guest
echo
echo "GUEST $(uname -r)"
export PATH=/bin HOME=/root
/bin/sh /cases
sync
poweroff -f
"#;

/// What is the same in every guest.
#[derive(Debug)]
pub(super) struct Payload {
    archive: Archive,
    extent: Extent,
}

impl Payload {
    /// Packs busybox, our programs and the shared libraries that they need.
    pub(super) fn new(programs: &[PathBuf], extent: Extent) -> Result<Payload> {
        let mut archive = Archive::default();
        for directory in ["/proc", "/sys", "/tmp", "/run", "/root", "/var/lib"] {
            archive.directory(directory);
        }
        archive.device("/dev/console", 5, 1);
        archive.file("/init", 0o755, INIT.as_bytes());
        archive.file(
            "/etc/passwd",
            0o644,
            b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:\n",
        );
        archive.file("/etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
        archive.file("/etc/machine-id", 0o444, b"0123456789abcdef0123456789abcdef\n");
        archive.file("/etc/hostname", 0o644, b"guest\n");
        archive.symlink("/bin/sh", "busybox");
        let busybox = sh::find("busybox").context("busybox is needed (package busybox-static)")?;
        let mut libraries = BTreeSet::new();
        for path in programs.iter().chain([&busybox]) {
            let name = path.file_name().context("a program without a name")?.to_string_lossy();
            archive.file(&format!("/bin/{name}"), 0o755, &stripped(path)?);
            libraries.extend(needed(path)?);
        }
        for library in libraries {
            let data = std::fs::read(&library)
                .with_context(|| format!("reading the library {library}"))?;
            archive.file(&library, 0o755, &data);
        }
        Ok(Payload { archive, extent })
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &str, data: &[u8]) {
        self.archive.file(path, 0o644, data);
    }

    /// The initramfs for one kernel.
    fn initramfs(&self, kernel: &Kernel, boot: &Boot) -> Result<Vec<u8>> {
        let (mut archive, version) = (self.archive.clone(), boot.version.as_str());
        let module = match find(&kernel.directory, MODULE) {
            None => String::new(),
            Some(path) => {
                archive.file("/lib/modules/dummy.ko", 0o644, &unpacked(&path)?);
                "--module /lib/modules/dummy.ko".to_owned()
            }
        };
        let modules = modules(kernel, &mut archive)?;
        archive.file("/modules", 0o644, modules.as_bytes());
        let expect = expectations(version);
        let mut cases = String::new();
        if self.provokes() {
            cases = format!("setsid provoke host --agent /bin/aegisbpf {module} {expect}\n");
        }
        for suite in self.suites_of_evasion(boot) {
            cases.extend(["setsid evade ", &suite, "\n"]);
        }
        if boot.counts {
            COUNT.clone_into(&mut cases);
        }
        archive.file("/cases", 0o755, cases.as_bytes());
        Ok(archive.finish())
    }

    fn suites_of_evasion(&self, boot: &Boot) -> Vec<String> {
        let suites: &[&str] = match (&self.extent, boot.crowded) {
            _ if !prevents(&boot.version) || boot.counts => &[],
            (Extent::Only(word), _) => return vec![format!("guest --reloads 20 --only '{word}'")],
            // There the agent itself is tried in whole systems.
            (Extent::Smoke, false) if boot.version == super::system::KERNEL => {
                &["guest --reloads 60"]
            }
            (Extent::Smoke, false) => &["guest --reloads 60", "agent --agent /bin/aegisbpf --few"],
            (Extent::Smoke, true) => &["guest --reloads 20 --crowded"],
            (Extent::Whole, false) => {
                &["guest --reloads 1000", "own", "agent --agent /bin/aegisbpf"]
            }
            (Extent::Whole, true) => &["guest --reloads 60 --crowded"],
        };
        suites.iter().map(|suite| (*suite).to_owned()).collect()
    }

    /// Whether every operation is performed, to see what is told of it.
    fn provokes(&self) -> bool {
        !matches!(self.extent, Extent::Only(_))
    }

    /// How many suites run in this guest, each of which must say that it ended well.
    pub(super) fn suites(&self, boot: &Boot) -> usize {
        usize::from(self.provokes()) + self.suites_of_evasion(boot).len()
    }
}

/// A kernel, and how it is booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boot {
    /// As it was asked for: `6.1`.
    pub(super) version: String,
    /// Processes can be preempted anywhere, and the cases share one CPU with others that hammer.
    pub(super) crowded: bool,
    /// Nothing is tried: what prevention costs is counted, by a clock that counts instructions.
    pub(super) counts: bool,
}

/// What makes a kernel preempt processes anywhere. The kernels of Debian from 6.1 on are built so that
/// it can be chosen at boot; 5.10 knows no such choice, and denies nothing either.
const PREEMPT: &str = "preempt=full";

impl Boot {
    /// In tables.
    pub(super) fn name(&self) -> String {
        match (self.crowded, self.counts) {
            (true, _) => format!("{} {PREEMPT}", self.version),
            (_, true) => format!("{} count", self.version),
            _ => self.version.clone(),
        }
    }

    /// Of files.
    pub(super) fn file(&self) -> String {
        self.name().replace([' ', '='], "-")
    }
}

/// Adds the modules; gives the list of those that this kernel has, in order.
fn modules(kernel: &Kernel, archive: &mut Archive) -> Result<String> {
    let mut list = String::new();
    for name in MODULES {
        if let Some(path) = find(&kernel.directory, &format!("{name}.ko")) {
            archive.file(&format!("/lib/modules/{name}.ko"), 0o644, &unpacked(&path)?);
            list.extend([name, "\n"]);
        }
    }
    Ok(list)
}

/// What this kernel must offer: the promise of each release, so that a sensor that silently falls
/// back to a poorer one is a failure.
fn expectations(version: &str) -> &'static str {
    if version.starts_with("5.") {
        "--tier lsm --require exec,fork,exit,create,rename,unlink,connect"
    } else {
        "--tier lsm --require all"
    }
}

/// Whether prevention by LSM programs is promised on this kernel: from 6.1 on.
pub(super) fn prevents(version: &str) -> bool {
    !version.starts_with("5.")
}

/// Boots the kernel with the payload and returns what it said.
pub(super) fn run(
    kernel: &Kernel,
    payload: &Payload,
    cache: &Path,
    how: &Boot,
    timeout: Duration,
) -> Result<Log> {
    let initramfs = cache.join(format!("initramfs-{}.cpio", how.file()));
    let log = serial(cache, how);
    std::fs::write(&initramfs, payload.initramfs(kernel, how)?)
        .with_context(|| format!("writing {}", initramfs.display()))?;
    let mut started = Instant::now();
    let mut guest = boot(kernel, &initramfs, &log, how)?;
    if !comes_up(&mut guest, &log, started + BOOT_TIMEOUT)? {
        println!("vm-test: {} hung before its first process and is booted again", how.name());
        end(&mut guest)?;
        started = Instant::now();
        guest = boot(kernel, &initramfs, &log, how)?;
    }
    let timed_out = wait(&mut guest, started + timeout)?;
    let bytes = std::fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
    std::fs::remove_file(&initramfs).context("removing the initramfs")?;
    Ok(Log {
        text: String::from_utf8_lossy(&bytes).replace('\r', ""),
        path: log.display().to_string(),
        took: started.elapsed(),
        timed_out,
    })
}

/// What the guest says is kept here.
pub(super) fn serial(cache: &Path, how: &Boot) -> PathBuf {
    cache.join(format!("serial-{}.log", how.file()))
}

/// Starts qemu.
fn boot(kernel: &Kernel, initramfs: &Path, log: &Path, how: &Boot) -> Result<Child> {
    let more = if how.crowded { PREEMPT } else { "" };
    let clock = if how.counts { INSTRUCTIONS } else { TIME };
    let append = format!(
        "console=ttyS0 panic=-1 quiet edd=off {more} \
         lsm=lockdown,capability,landlock,yama,apparmor,bpf"
    );
    let mut qemu = machine(kernel, initramfs, log, &append);
    qemu.args(clock).args(["-m", MEMORY_MIB]).spawn().context("starting qemu-system-x86_64")
}

/// What all guests have in common; their clock, memory and disks are for each to say. No KVM: nested virtualisation is
/// not to be relied on, emulation is.
pub(super) fn machine(kernel: &Kernel, initramfs: &Path, log: &Path, append: &str) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-M", "pc", "-cpu", "max", "-nodefaults", "-nographic", "-no-reboot"]);
    qemu.arg("-serial").arg(format!("file:{}", log.display()));
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    qemu.arg("-append").arg(append).stdin(Stdio::null()).stdout(Stdio::null());
    qemu
}

/// Waits until the first process of the guest speaks, or the guest ends; false when it does neither.
/// An emulator that shares its CPUs with others sometimes hangs before. No case has run by then, so
/// that booting it again hides nothing.
fn comes_up(guest: &mut Child, log: &Path, deadline: Instant) -> Result<bool> {
    while Instant::now() < deadline {
        let said = std::fs::read(log).unwrap_or_default();
        if said.windows(UP.len()).any(|word| word == UP)
            || guest.try_wait().context("waiting for qemu")?.is_some()
        {
            return Ok(true);
        }
        std::thread::sleep(POLL);
    }
    Ok(false)
}

fn end(guest: &mut Child) -> Result<()> {
    guest.kill().context("ending qemu")?;
    guest.wait().context("waiting for qemu").map(|_| ())
}

/// Waits for the guest's end; true when it had to be ended.
pub(super) fn wait(guest: &mut Child, deadline: Instant) -> Result<bool> {
    loop {
        if guest.try_wait().context("waiting for qemu")?.is_some() {
            return Ok(false);
        }
        if Instant::now() > deadline {
            end(guest)?;
            return Ok(true);
        }
        std::thread::sleep(POLL);
    }
}

/// A program without its debug sections: they would only fill the guest's memory.
fn stripped(path: &Path) -> Result<Vec<u8>> {
    let copy = std::env::temp_dir().join(format!("aegis-vm-{}", std::process::id()));
    let strip = Command::new("strip").arg("-o").arg(&copy).arg(path).output();
    let from = match strip {
        Ok(output) if output.status.success() => copy.as_path(),
        _ => path,
    };
    let data = std::fs::read(from).with_context(|| format!("reading {}", path.display()))?;
    if from == copy {
        std::fs::remove_file(&copy).context("removing a copy")?;
    }
    Ok(data)
}

/// Paths of the shared libraries of a program; none for a static one.
fn needed(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("starting ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("not found") {
        bail!("a library of {} is missing: {}", program.display(), text.trim());
    }
    let paths = text.lines().filter_map(|line| {
        line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned)
    });
    Ok(paths.collect())
}

/// A module's bytes, whichever way the package compressed it.
pub(super) fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return std::fs::read(path).with_context(|| format!("reading {}", path.display())),
    };
    let output = Command::new(tool).arg("-dc").arg(path).output();
    let output = output.with_context(|| format!("starting {tool}"))?;
    checked(&output, &format!("unpacking {}", path.display()))?;
    Ok(output.stdout)
}
