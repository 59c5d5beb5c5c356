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
/// Memory of a guest in MiB; the initramfs is unpacked into it.
const MEMORY_MIB: &str = "1536";
/// How long the kernel may take until the first process runs; some 5 s on an idle machine.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);
/// What the first process says first.
const UP: &[u8] = b"GUEST ";
/// How often the guest is looked at.
const POLL: Duration = Duration::from_millis(50);

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

    /// The initramfs for one kernel.
    fn initramfs(&self, kernel: &Kernel, version: &str) -> Result<Vec<u8>> {
        let mut archive = self.archive.clone();
        let module = match find(&kernel.directory, MODULE) {
            None => String::new(),
            Some(path) => {
                archive.file("/lib/modules/dummy.ko", 0o644, &unpacked(&path)?);
                "--module /lib/modules/dummy.ko".to_owned()
            }
        };
        let expect = expectations(version);
        let mut cases = format!("setsid provoke host --agent /bin/aegisbpf {module} {expect}\n");
        if prevents(version) {
            cases.push_str(match self.extent {
                Extent::Smoke => "setsid evade guest --reloads 60\n",
                Extent::Whole => {
                    "setsid evade guest --reloads 1000\nsetsid evade agent --agent /bin/aegisbpf\n"
                }
            });
        }
        archive.file("/cases", 0o755, cases.as_bytes());
        Ok(archive.finish())
    }

    /// How many suites run on this kernel, each of which must say that it ended well.
    pub(super) fn suites(&self, version: &str) -> usize {
        match self.extent {
            _ if !prevents(version) => 1,
            Extent::Smoke => 2,
            Extent::Whole => 3,
        }
    }
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
fn prevents(version: &str) -> bool {
    !version.starts_with("5.")
}

/// Boots the kernel with the payload and returns what it said.
pub(super) fn run(
    kernel: &Kernel,
    payload: &Payload,
    cache: &Path,
    version: &str,
    timeout: Duration,
) -> Result<Log> {
    let initramfs = cache.join(format!("initramfs-{version}.cpio"));
    let log = cache.join(format!("serial-{version}.log"));
    std::fs::write(&initramfs, payload.initramfs(kernel, version)?)
        .with_context(|| format!("writing {}", initramfs.display()))?;
    let mut started = Instant::now();
    let mut guest = boot(kernel, &initramfs, &log)?;
    if !comes_up(&mut guest, &log, started + BOOT_TIMEOUT)? {
        println!("vm-test: {version} hung before its first process and is booted again");
        end(&mut guest)?;
        started = Instant::now();
        guest = boot(kernel, &initramfs, &log)?;
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

/// Starts qemu. No KVM: nested virtualisation is not to be relied on, emulation is.
fn boot(kernel: &Kernel, initramfs: &Path, log: &Path) -> Result<Child> {
    Command::new("qemu-system-x86_64")
        .args(["-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
        .args(["-m", MEMORY_MIB, "-nodefaults", "-nographic", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-append")
        .arg(
            "console=ttyS0 panic=-1 quiet edd=off \
             lsm=lockdown,capability,landlock,yama,apparmor,bpf",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("starting qemu-system-x86_64")
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
fn wait(guest: &mut Child, deadline: Instant) -> Result<bool> {
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
fn unpacked(path: &Path) -> Result<Vec<u8>> {
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
