//! Debian packages that the project needs, and why; and what Debian 12 lacks.

mod broker;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::sh;

/// What a package is for; a task installs only what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Building and running the agent.
    Build,
    /// Tests and benchmarks.
    Test,
    /// A benchmark that runs other agents: installed when it is asked for, since they may start.
    Bench,
}

/// How one sees that a package is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Probe {
    /// A program in PATH.
    Program(&'static str),
    /// A file.
    File(&'static str),
    /// A module that the Python in PATH finds.
    Python(&'static str),
}

impl Probe {
    fn holds(self) -> bool {
        match self {
            Probe::Program(name) => sh::find(name).is_some(),
            Probe::File(path) => Path::new(path).exists(),
            Probe::Python(module) => {
                let import = format!("import {module}");
                sh::cmd("python3").args(["-c", &import]).output().is_ok_and(|o| o.status.success())
            }
        }
    }
}

/// One package.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    /// Debian name.
    pub(crate) name: &'static str,
    /// Task that needs it.
    pub(crate) need: Need,
    /// Its presence.
    probe: Probe,
    /// Why, for the person who is asked for root.
    pub(crate) why: &'static str,
}

/// All packages. qemu is not here: Debian 12's own crashes under emulation, so the guest tests
/// bring a newer one from backports themselves.
pub(crate) const PACKAGES: &[Package] = &[
    package("gcc", Need::Build, Probe::Program("cc"), "links Rust programs, compiles libbpf"),
    package("libc6-dev", Need::Build, Probe::File("/usr/include/stdio.h"), "headers of libc"),
    package("make", Need::Build, Probe::Program("make"), "builds libbpf"),
    package("pkg-config", Need::Build, Probe::Program("pkg-config"), "finds libelf and zlib"),
    package("clang-19", Need::Build, Probe::Program("clang-19"), "compiles the BPF programs"),
    package(
        "libelf-dev",
        Need::Build,
        Probe::File("/usr/include/libelf.h"),
        "libbpf reads objects",
    ),
    package("zlib1g-dev", Need::Build, Probe::File("/usr/include/zlib.h"), "needed by libelf"),
    package("g++", Need::Build, Probe::Program("c++"), "compiles Luau; builds libFuzzer"),
    package("bpftool", Need::Test, Probe::Program("bpftool"), "reads type information for codegen"),
    package(
        "clang-format-19",
        Need::Test,
        Probe::Program("clang-format-19"),
        "checks the style of the C code",
    ),
    package("busybox-static", Need::Test, Probe::Program("busybox"), "userland of the test guests"),
    package(
        "xfsprogs",
        Need::Test,
        Probe::File("/usr/sbin/mkfs.xfs"),
        "a filesystem that clones files, in the guests",
    ),
    package("xz-utils", Need::Test, Probe::Program("xz"), "unpacks the guests' kernel modules"),
    package(
        "python3-venv",
        Need::Test,
        Probe::Python("ensurepip"),
        "a place for pySigma, with which verdicts on Sigma rules are compared",
    ),
    package("nginx-light", Need::Test, Probe::Program("nginx"), "web traffic to record"),
    package("openssh-server", Need::Test, Probe::File("/usr/sbin/sshd"), "logins to record"),
    package("minisign", Need::Test, Probe::Program("minisign"), "signs packs and checks ours"),
    package("openssh-client", Need::Test, Probe::Program("ssh-keygen"), "the same with SSH keys"),
    package("lld-14", Need::Test, Probe::Program("wasm-ld-14"), "links scripts in C and Rust"),
    // Debian's own, beside rustup's: it has the target that ours lacks, and comes later in PATH.
    package("rustc", Need::Test, Probe::File("/usr/bin/rustc"), "compiles scripts in Rust"),
    package(
        "libstd-rust-dev-wasm32",
        Need::Test,
        Probe::File("/usr/lib/rustlib/wasm32-unknown-unknown"),
        "its library for WebAssembly",
    ),
    package("npm", Need::Test, Probe::Program("npm"), "fetches the compiler of AssemblyScript"),
    package("curl", Need::Test, Probe::Program("curl"), "asks the web server"),
    package("redis-server", Need::Test, Probe::Program("redis-server"), "a load to measure"),
    package("redis-tools", Need::Test, Probe::Program("redis-benchmark"), "drives that load"),
    package("dpkg-dev", Need::Test, Probe::Program("dpkg-shlibdeps"), "the Debian package"),
    package("lintian", Need::Test, Probe::Program("lintian"), "finds fault with it"),
    package("debootstrap", Need::Test, Probe::Program("debootstrap"), "a clean system for it"),
    package("rpm", Need::Test, Probe::Program("rpmbuild"), "the RPM package"),
    package("nats-server", Need::Test, Probe::Program("nats-server"), "a stream of alerts"),
    package("kcat", Need::Test, Probe::Program("kcat"), "reads topics; its library is a cluster"),
    package("rsyslog", Need::Test, Probe::File("/usr/sbin/rsyslogd"), "a receiver of alerts"),
    package(
        "rsyslog-gnutls",
        Need::Test,
        Probe::File("/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so"),
        "the same over TLS",
    ),
    package("prometheus", Need::Test, Probe::Program("promtool"), "tests the alerts"),
    package(
        "apparmor",
        Need::Test,
        Probe::Program("apparmor_parser"),
        "reads the AppArmor profile",
    ),
    package(
        "selinux-policy-dev",
        Need::Test,
        Probe::File("/usr/share/selinux/devel/Makefile"),
        "compiles the SELinux module",
    ),
    package("chromium", Need::Test, Probe::Program("chromium"), "looks at the console"),
    package("shellcheck", Need::Test, Probe::Program("shellcheck"), "reads scripts of packages"),
    package("yamllint", Need::Test, Probe::Program("yamllint"), "reads YAML that is shipped"),
    package("auditd", Need::Bench, Probe::Program("auditd"), "another recorder, to compare with"),
    package(
        "bpftrace",
        Need::Test,
        Probe::Program("bpftrace"),
        "sees system calls; a peer in benchmarks",
    ),
];

const fn package(name: &'static str, need: Need, probe: Probe, why: &'static str) -> Package {
    Package { name, need, probe, why }
}

/// Packages that a task needs and that are not installed.
pub(crate) fn missing(need: Need) -> Vec<Package> {
    PACKAGES.iter().copied().filter(|p| p.need <= need && !p.probe.holds()).collect()
}

/// The version of `cargo-auditable` that is installed.
const AUDITABLE: &str = "0.7.7";

/// Something that no Debian package has.
pub(crate) struct Tool {
    /// What it is.
    pub(crate) name: &'static str,
    /// Where it comes from, and why.
    why: &'static str,
    has: fn() -> bool,
    install: fn() -> Result<()>,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: sh::AUDITABLE,
        why: "from crates.io: notes in programs what they hold",
        has: has_auditable,
        install: auditable,
    },
    Tool {
        name: "a broker of Kafka",
        why: "from PyPI, with a client: a receiver of alerts",
        has: broker::has,
        install: broker::install,
    },
];

/// What is not there of what no Debian package has.
pub(crate) fn missing_tools() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| !(tool.has)()).collect()
}

/// `xtask setup [--list | --build]`
pub(crate) fn command(args: &[String]) -> Result<()> {
    if args.first().is_some_and(|arg| arg == "--build") {
        return install(&missing(Need::Build));
    }
    let (missing, tools) = (missing(Need::Test), missing_tools());
    if missing.is_empty() && tools.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    if args.first().is_some_and(|arg| arg == "--list") {
        println!("{}", table(&missing));
        for tool in tools {
            println!("  {:<16} {}", tool.name, tool.why);
        }
        return Ok(());
    }
    install(&missing)?;
    // One that cannot be had keeps no other away.
    tools.into_iter().map(|tool| (tool.install)()).fold(Ok(()), Result::and)
}

/// Whether cargo can note in programs what they were linked from, by the version that was tried.
pub(crate) fn has_auditable() -> bool {
    let list = std::fs::read_to_string(sh::tools().join(".crates.toml")).unwrap_or_default();
    list.contains(&format!("\"{} {AUDITABLE} ", sh::AUDITABLE))
}

/// Has cargo build it, where nothing else looks for programs.
pub(crate) fn auditable() -> Result<()> {
    let mut install = sh::cargo();
    install.args([
        "install",
        "--quiet",
        "--locked",
        "--version",
        AUDITABLE,
        sh::AUDITABLE,
        "--root",
    ]);
    sh::run(install.arg(sh::tools())).context("cargo-auditable cannot be installed")
}

/// The list that is shown before anything is installed.
pub(crate) fn table(packages: &[Package]) -> String {
    let lines = packages.iter().map(|p| format!("  {:<16} {}", p.name, p.why));
    lines.collect::<Vec<_>>().join("\n")
}

/// Prints what is missing and why, then installs it.
pub(crate) fn install(packages: &[Package]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    println!("These Debian packages are missing and will be installed:");
    println!("{}", table(packages));
    let names: Vec<&str> = packages.iter().map(|p| p.name).collect();
    if sh::find("apt-get").is_none() {
        bail!("there is no apt-get here: install the equivalents of {} yourself", names.join(" "));
    }
    // A list that is some weeks old names versions that the mirror has replaced since. Without a
    // network, what apt has in its cache may still do.
    let lists = sh::run(apt()?.arg("update"));
    if !names.iter().all(|name| known_to_apt(name)) {
        lists.context("package lists could not be fetched")?;
    }
    sh::run(apt()?.args(["install", "-y", "--no-install-recommends"]).args(&names))
        .with_context(|| format!("packages could not be installed: {}", names.join(" ")))?;
    let still: Vec<&str> = packages.iter().filter(|p| !p.probe.holds()).map(|p| p.name).collect();
    if !still.is_empty() {
        bail!("installed, but not found afterwards: {}", still.join(" "));
    }
    Ok(())
}

/// `apt-get` as root, quiet, asking nothing, waiting for another apt to finish.
fn apt() -> Result<std::process::Command> {
    let mut command = sh::as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
    command.args(["-o", "DPkg::Lock::Timeout=300"]);
    Ok(command)
}

fn known_to_apt(name: &str) -> bool {
    sh::capture(sh::cmd("apt-cache").args(["policy", name])).is_ok_and(|text| has_candidate(&text))
}

/// Whether `apt-cache policy` knows a version that can be installed.
fn has_candidate(policy: &str) -> bool {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
    candidate.is_some_and(|version| version.trim() != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_candidate_asks_for_new_lists() {
        assert!(has_candidate("cpio:\n  Installed: (none)\n  Candidate: 2.13\n"));
        assert!(!has_candidate("cpio:\n  Installed: (none)\n  Candidate: (none)\n"));
        assert!(!has_candidate(""), "apt knows nothing of it without lists");
    }

    #[test]
    fn the_list_says_why() {
        let text = table(PACKAGES);
        assert!(text.contains("clang-19         compiles the BPF programs\n"), "{text}");
        assert!(PACKAGES.iter().all(|p| !p.why.is_empty()));
    }

    #[test]
    fn building_asks_for_less_than_testing() {
        let build = PACKAGES.iter().filter(|p| p.need <= Need::Build);
        assert!(build.clone().any(|p| p.name == "libelf-dev"));
        assert!(!build.clone().any(|p| p.name == "redis-server"));
    }

    #[test]
    fn absence_is_seen() {
        assert!(!Probe::Program("no-such-program-anywhere").holds());
        assert!(!Probe::File("/no/such/file").holds());
        assert!(!Probe::Python("no_such_module_anywhere").holds());
    }
}
