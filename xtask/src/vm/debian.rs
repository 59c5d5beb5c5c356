//! Kernels (and a newer qemu) from the Debian mirror that the machine already uses.
//!
//! A private apt root with sources and state of its own: foreign suites are read there and are
//! never added to the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Suites that carry cloud kernels, relative to the main archive.
const MAIN_SUITES: &[&str] = &["bookworm", "bookworm-backports", "trixie-backports"];
/// The same for the security archive.
const SECURITY_SUITES: &[&str] = &["bullseye-security", "bookworm-security", "trixie-security"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Package lists older than this are fetched again.
const LISTS_FRESH: Duration = Duration::from_hours(24);

/// The private apt root and the kernels unpacked from it.
#[derive(Debug)]
pub(super) struct Mirror {
    root: PathBuf,
    kernels: PathBuf,
}

/// An unpacked kernel package.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    /// The boot image.
    pub(super) image: PathBuf,
    /// Directory of the package's files.
    pub(super) directory: PathBuf,
}

/// Answer to the request for a kernel.
#[derive(Debug)]
pub(super) enum Found {
    /// It is here.
    Kernel(Kernel),
    /// It cannot be had here; why.
    Unavailable(String),
}

impl Mirror {
    /// Everything lives below `cache`.
    pub(super) fn new(cache: &Path) -> Mirror {
        Mirror { root: cache.join("apt"), kernels: cache.join("kernels") }
    }

    /// Newest kernel series of the mirror, such as `7.3`; without a mirror the newest cached one.
    pub(super) fn newest(&self) -> Result<String> {
        let packages = match self.packages() {
            Ok(packages) => packages,
            Err(error) => {
                let cached = self.cached();
                if cached.is_empty() {
                    return Err(error);
                }
                cached
            }
        };
        let newest =
            packages.iter().max_by_key(|p| version(p)).context("no kernel in the mirror")?;
        let parts = version(newest);
        match parts.as_slice() {
            [major, minor, ..] => Ok(format!("{major}.{minor}")),
            _ => bail!("package {newest} has no version in its name"),
        }
    }

    /// The kernel of that series: from the cache, else downloaded.
    pub(super) fn kernel(&self, series: &str) -> Result<Found> {
        let cached = self.cached();
        let package = match pick(&cached, series) {
            Some(package) => package,
            None => match self.packages() {
                Err(error) => {
                    return Ok(Found::Unavailable(format!("no package lists: {error:#}")));
                }
                Ok(packages) => match pick(&packages, series) {
                    None => return Ok(Found::Unavailable(format!("the mirror has no {series}"))),
                    Some(package) => match self.download(&package) {
                        Ok(()) => package,
                        Err(error) => return Ok(Found::Unavailable(format!("{error:#}"))),
                    },
                },
            },
        };
        let directory = self.kernels.join(&package);
        let image = find(&directory, "vmlinuz").context("the package has no vmlinuz")?;
        Ok(Found::Kernel(Kernel { image, directory }))
    }

    /// Installs a newer package on this machine, from its release's backports.
    pub(super) fn install_backport(&self, package: &str) -> Result<()> {
        self.refresh()?;
        // Libraries of newer releases must not be candidates: they need a newer libc.
        let all = self.root.join("sources.list");
        let all = std::fs::read_to_string(&all).context("reading the private sources")?;
        let list = self.root.join("backports.list");
        std::fs::write(&list, of_release(&all, "bookworm")).context("writing the sources")?;
        let output = sh::as_root("env")?
            .arg(format!("APT_CONFIG={}", self.root.join("apt.conf").display()))
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
            .arg("-o")
            .arg(format!("Dir::Etc::sourcelist={}", list.display()))
            .args(["-o", "DPkg::Lock::Timeout=300", "install", "-qq", "-y"])
            .args(["--no-install-recommends", "-t", "bookworm-backports", package])
            .output()
            .context("starting apt-get")?;
        checked(&output, &format!("apt-get install {package}")).map(|_| ())
    }

    /// Names of unpacked packages.
    fn cached(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.kernels) else { return Vec::new() };
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join(".done").exists())
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect()
    }

    /// Names of the cloud kernel packages of the mirror.
    fn packages(&self) -> Result<Vec<String>> {
        self.refresh()?;
        let output = self
            .apt("apt-cache")
            .args(["search", "-n", r"^linux-image-[0-9]+\.[0-9]+.*-cloud-amd64$"])
            .output()
            .context("starting apt-cache")?;
        let text = checked(&output, "apt-cache search")?;
        let names = text.lines().filter_map(|line| line.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Downloads and unpacks a kernel with the packages that its files are spread over.
    fn download(&self, package: &str) -> Result<()> {
        let directory = self.kernels.join(package);
        let downloads = directory.join("download");
        std::fs::create_dir_all(&downloads)
            .with_context(|| format!("creating {}", downloads.display()))?;
        let release = package.trim_start_matches("linux-image-");
        // Since 6.13 or so the image and the modules are packages of their own.
        let parts = ["linux-base-", "linux-binary-", "linux-modules-"];
        let names = parts.iter().map(|part| format!("{part}{release}"));
        for name in std::iter::once(package.to_owned()).chain(names) {
            if name != package && !self.has(&name)? {
                continue;
            }
            let output = self
                .apt("apt-get")
                .args(["-qq", "-o", "APT::Sandbox::User=root", "download", &name])
                .current_dir(&downloads)
                .output()
                .context("starting apt-get")?;
            checked(&output, &format!("downloading {name}"))?;
        }
        for entry in std::fs::read_dir(&downloads).context("reading the downloads")? {
            let path = entry.context("reading the downloads")?.path();
            let output = Command::new("dpkg").arg("-x").arg(&path).arg(&directory).output();
            checked(&output.context("starting dpkg")?, &format!("unpacking {}", path.display()))?;
        }
        std::fs::remove_dir_all(&downloads).context("removing the downloads")?;
        std::fs::write(directory.join(".done"), "").context("marking the kernel as complete")
    }

    /// Whether the mirror carries a package of that name.
    fn has(&self, package: &str) -> Result<bool> {
        let output = self.apt("apt-cache").args(["policy", package]).output();
        let text = checked(&output.context("starting apt-cache")?, "apt-cache policy")?;
        Ok(text.lines().any(|line| {
            line.trim().strip_prefix("Candidate: ").is_some_and(|v| !v.starts_with('('))
        }))
    }

    /// Writes the private apt root and updates its lists, unless they are fresh.
    fn refresh(&self) -> Result<()> {
        let stamp = self.root.join("updated");
        let age = std::fs::metadata(&stamp).and_then(|m| m.modified()).ok();
        if age.and_then(|t| t.elapsed().ok()).is_some_and(|age| age < LISTS_FRESH) {
            return Ok(());
        }
        for part in ["state/lists/partial", "cache/archives/partial", "preferences"] {
            let path = self.root.join(part);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("creating {}", path.display()))?;
        }
        let write = |name: &str, text: String| {
            let path = self.root.join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        write("sources.list", sources(&machine_sources()?)?)?;
        let root = self.root.display();
        write(
            "apt.conf",
            format!(
                "Dir::State \"{root}/state\";\nDir::State::status \"/var/lib/dpkg/status\";\n\
                 Dir::Cache \"{root}/cache\";\nDir::Etc::sourcelist \"{root}/sources.list\";\n\
                 Dir::Etc::sourceparts \"-\";\nDir::Etc::preferencesparts \"{root}/preferences\";\n\
                 Acquire::Languages \"none\";\nAPT::Get::List-Cleanup \"false\";\n"
            ),
        )?;
        let output = self.apt("apt-get").args(["-q", "update"]).output();
        let output = output.context("starting apt-get")?;
        // One suite that is gone fails the whole update; what else was read is still of use.
        if !output.status.success() {
            let problem = last_line(&output.stderr);
            println!("vm-test: apt-get update is not complete: {problem}");
        }
        write("updated", String::new())
    }

    /// An apt command that sees only the private root.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.root.join("apt.conf"));
        command
    }
}

/// The machine's own apt sources, whatever style they are in.
fn machine_sources() -> Result<String> {
    let files = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let text: String = files
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|text| text + "\n\n")
        .collect();
    if text.trim().is_empty() {
        bail!("no apt sources in {}: is this Debian?", files.join(" or "));
    }
    Ok(text)
}

/// The private sources, from the addresses of the archives that the machine uses.
fn sources(machine: &str) -> Result<String> {
    let addresses: Vec<&str> = machine
        .lines()
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .filter(|word| word.contains("://"))
        .collect();
    let security = |address: &&&str| address.trim_end_matches('/').ends_with("security");
    let main = addresses.iter().find(|address| !security(address));
    let main = main.context("the machine's apt sources name no Debian archive")?;
    let lines = |address: &str, suites: &[&str]| -> Vec<String> {
        let line = |suite| format!("deb [signed-by={KEYRING}] {address} {suite} main");
        suites.iter().map(line).collect()
    };
    let mut all = lines(main, MAIN_SUITES);
    if let Some(address) = addresses.iter().find(security) {
        all.extend(lines(address, SECURITY_SUITES));
    }
    Ok(all.join("\n") + "\n")
}

/// Those of the sources that belong to one release of Debian.
fn of_release(sources: &str, codename: &str) -> String {
    let suite = |line: &str| line.split_whitespace().rev().nth(1).map(str::to_owned);
    let lines = sources.lines().filter(|line| {
        let suite = suite(line).unwrap_or_default();
        suite.strip_prefix(codename).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Numbers of a kernel package's name, for comparing: `linux-image-6.12.3+deb13-…` is 6, 12, 3.
fn version(package: &str) -> Vec<u32> {
    let release = package.trim_start_matches("linux-image-");
    let end = release.find("-cloud").unwrap_or(release.len());
    let numbers = release.get(..end).unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// The newest package of a series (`6.1` is not `6.12`).
fn pick(packages: &[String], series: &str) -> Option<String> {
    let wanted: Vec<u32> = series.split('.').filter_map(|n| n.parse().ok()).collect();
    let of_series = packages.iter().filter(|p| version(p).starts_with(&wanted));
    of_series.max_by_key(|p| version(p)).cloned()
}

/// The first file below `directory` whose name starts so.
pub(super) fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    let mut below = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() && !path.is_symlink() {
            below.push(path);
        } else if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name)) {
            return Some(path);
        }
    }
    below.iter().find_map(|path| find(path, name))
}

/// Standard output of a command that succeeded, else its last words.
pub(super) fn checked(output: &Output, what: &str) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    bail!("{what}: {} ({})", last_line(&output.stderr), output.status)
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_compared_by_numbers() {
        let packages: Vec<String> = ["6.1.0-9", "6.1.0-56", "6.12.117+deb13", "5.10.0-46"]
            .iter()
            .map(|v| format!("linux-image-{v}-cloud-amd64"))
            .collect();
        assert_eq!(pick(&packages, "6.1").unwrap(), "linux-image-6.1.0-56-cloud-amd64");
        assert_eq!(pick(&packages, "6.12").unwrap(), "linux-image-6.12.117+deb13-cloud-amd64");
        assert_eq!(pick(&packages, "7.3"), None);
    }

    #[test]
    fn sources_keep_the_machines_archives_in_both_styles() {
        let new = "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm\n\n\
                   Types: deb\nURIs: http://b.example/debian-security\n";
        let old = "deb http://a.example/debian bookworm main\n\
                   deb http://b.example/debian-security bookworm-security main\n";
        assert_eq!(sources(new).unwrap(), sources(old).unwrap());
        let text = sources(new).unwrap();
        assert!(text.contains("http://a.example/debian bookworm-backports main"));
        assert!(text.contains("http://b.example/debian-security bullseye-security main"));
        assert!(sources("# nothing\n").is_err());
        let one = of_release(&text, "bookworm");
        assert_eq!(one.lines().count(), 3, "its own, security and backports: {one}");
        assert!(!one.contains("trixie") && one.contains("bookworm-backports"), "{one}");
    }
}
