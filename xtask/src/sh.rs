//! Starting other programs.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

/// Where system tools live that a plain user's PATH may lack (bpftool, modprobe, depmod).
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Top directory of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// A path below the top directory.
pub(crate) fn at(relative: impl AsRef<Path>) -> PathBuf {
    root().join(relative)
}

/// Rules and events of others, if they are at hand: beside the repository unless said otherwise.
pub(crate) fn corpora() -> PathBuf {
    std::env::var_os("AEGIS_CORPORA").map_or_else(|| at("../shared/corpora"), PathBuf::from)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| at("target"), |dir| at(PathBuf::from(dir)))
}

/// Whether what is built is linked as packages hold it.
static SHIPPED: AtomicBool = AtomicBool::new(false);

/// From here on what is built and started is what packages hold: what is measured must be that.
pub(crate) fn as_shipped() {
    SHIPPED.store(true, Ordering::Relaxed);
}

/// The profile of optimised builds.
pub(crate) fn profile() -> &'static str {
    if SHIPPED.load(Ordering::Relaxed) { "shipped" } else { "release" }
}

/// A binary of the optimised build.
pub(crate) fn release(name: &str) -> PathBuf {
    target().join(profile()).join(name)
}

/// A command that runs in the top directory, with the system directories in PATH and no stdin.
pub(crate) fn cmd(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).env("PATH", path()).stdin(Stdio::null());
    command
}

/// `cargo`, the one that started us. The lints and flags of this run do not leak into it.
pub(crate) fn cargo() -> Command {
    cmd(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn path() -> std::ffi::OsString {
    let rest = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    // Ours come first: their version is the one that was tried.
    let mut path = tools().join("bin").into_os_string();
    path.push(":");
    path.push(rest);
    for dir in SYSTEM_DIRS {
        path.push(":");
        path.push(dir);
    }
    path
}

/// Builds everything, optimised. Never a part of it: that would ask less of the libraries, and
/// have them, and all that uses them, compiled anew.
pub(crate) fn build_release() -> Result<()> {
    run(build_command().arg("--quiet"))
}

/// The same as a command. Each program has inside what it was linked from, where `setup` could install the tool for that.
pub(crate) fn build_command() -> Command {
    let mut command = cargo();
    if find(AUDITABLE).is_some() {
        command.arg("auditable");
    }
    command.args(["build", "--profile", profile(), "--workspace"]);
    command
}

/// The command of cargo that notes in a program what it was linked from.
pub(crate) const AUDITABLE: &str = "cargo-auditable";

/// Where tools are that `setup` has cargo build.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// Full path of a program, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&path()).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Runs to the end; the output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", show(command));
    }
    Ok(())
}

/// Runs to the end and returns what it wrote to stdout; stderr becomes part of the error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", show(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", show(command), output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", show(command)))
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_uid(&status) == Some(0)
}

fn effective_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The words that make a command run as root: none when we are, `sudo` when it may ask, `sudo -n`
/// when nobody is there to answer; `None` when there is no way.
pub(crate) fn root_prefix() -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&[]);
    }
    find("sudo")?;
    if std::io::stdin().is_terminal() && std::env::var_os("CI").is_none() {
        return Some(&["sudo"]);
    }
    let mut asks_nothing = cmd("sudo");
    asks_nothing.args(["-n", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    asks_nothing.status().is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}

/// A command that runs as root.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    let Some(prefix) = root_prefix() else {
        bail!(
            "{} needs root: run as root, or as a user whose sudo asks for no password",
            program.as_ref().to_string_lossy()
        );
    };
    let Some((sudo, flags)) = prefix.split_first() else { return Ok(cmd(program)) };
    let mut command = cmd(sudo);
    command.args(flags).arg(program);
    if std::io::stdin().is_terminal() {
        command.stdin(Stdio::inherit());
    }
    Ok(command)
}

/// Where root keeps what it copied of a checkout; it goes with the next start of this host.
const ROOTS: &str = "/run/aegisbpf-xtask";

/// Where such a copy of a directory of rules lies.
pub(crate) fn rules_of_root_at(rules: &Path) -> PathBuf {
    Path::new(ROOTS).join(rules.to_string_lossy().trim_matches('/').replace('/', "-"))
}

/// A copy of a directory of rules that is root's: the agent takes none that others could change, and a
/// checkout belongs to whoever made it.
pub(crate) fn rules_of_root(rules: &Path) -> Result<PathBuf> {
    let copy = rules_of_root_at(rules);
    run(as_root("rm")?.arg("-rf").arg(&copy))?;
    run(as_root("mkdir")?.args(["-p", "-m", "755", ROOTS]))?;
    run(as_root("cp")?.args(["-r", "--no-preserve=mode,ownership"]).arg(rules).arg(&copy))?;
    run(as_root("chmod")?.args(["-R", "u=rwX,go=rX"]).arg(&copy))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_uid_is_the_second_number() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_uid("Name:\tx\n"), None);
    }

    #[test]
    fn a_failing_program_is_an_error_with_its_words() {
        let error = capture(cmd("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn the_top_directory_is_the_workspace() {
        assert!(at("Cargo.lock").is_file());
    }
}
