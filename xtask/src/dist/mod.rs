//! `cargo xtask dist`: what people install, into `target/dist`. Man pages and shell completions are made by the
//! binaries themselves; packages, the archive and the bills of materials hold the same tree of files (`tree`).

mod archive;
mod deb;
mod rpm;
mod sbom;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Packages and their binaries.
const BINARIES: [(&str, &str); 2] = [("agent", "aegisbpf"), ("kestrel", "kestrel")];

/// Shells, and what stands before and after the program in the names of their files.
const SHELLS: [(&str, &str, &str); 3] = [("bash", "", ""), ("zsh", "_", ""), ("fish", "", ".fish")];

/// The version of all that is made here.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const USAGE: &str = "usage: cargo xtask dist [man|completions|deb|rpm|tarball|sbom]… [--built]

without a word: man pages and completions. Packages are built as they are shipped, or with --built
from what `cargo build --release` left";

/// `xtask dist [PART…] [--built]`
pub(crate) fn command(args: &[String]) -> Result<()> {
    let (flags, parts): (Vec<&str>, Vec<&str>) =
        args.iter().map(String::as_str).partition(|word| word.starts_with('-'));
    if flags.iter().any(|flag| *flag != "--built") {
        bail!("{USAGE}");
    }
    let parts = if parts.is_empty() { vec!["man", "completions"] } else { parts };
    let packs = ["deb", "rpm", "tarball"];
    if flags.is_empty() && parts.iter().any(|part| packs.contains(part)) {
        sh::as_shipped();
        sh::build_release()?;
    }
    for part in parts {
        let made = match part {
            "man" => pages(&folder()?.join("man"), ask)?,
            "completions" => {
                let place = created(folder()?.join("completions"))?;
                for (shell, ..) in SHELLS {
                    completions(shell, &place.join(shell), ask)?;
                }
                place
            }
            "deb" => deb::make()?,
            "rpm" => rpm::make()?,
            "tarball" => archive::make()?,
            "sbom" => sbom::make()?,
            _ => bail!("{USAGE}"),
        };
        println!("{}", made.display());
    }
    Ok(())
}

/// Where all of it goes.
fn folder() -> Result<PathBuf> {
    created(sh::target().join("dist"))
}

/// A way to ask a binary for something.
type Ask = fn(package: &str, program: &str, command: &str) -> Command;

/// The binary of a package, with a command. What it says does not depend on how it was built.
fn ask(package: &str, _: &str, command: &str) -> Command {
    let mut cargo = sh::cargo();
    cargo.args(["run", "--quiet", "--package", package, "--", command]);
    cargo
}

/// The same of the binary that a package will hold.
fn ask_built(_: &str, program: &str, command: &str) -> Command {
    let mut built = sh::cmd(sh::release(program));
    built.arg(command);
    built
}

/// The manual, one page a command.
fn pages(directory: &Path, ask: Ask) -> Result<PathBuf> {
    let directory = created(directory.to_owned())?;
    for (package, program) in BINARIES {
        sh::run(ask(package, program, "man").arg(&directory))?;
    }
    Ok(directory)
}

/// The completions of a shell, one file a program.
fn completions(shell: &str, directory: &Path, ask: Ask) -> Result<()> {
    let known = SHELLS.iter().find(|(name, ..)| *name == shell);
    let (_, before, after) = known.with_context(|| format!("no shell {shell}"))?;
    let directory = created(directory.to_owned())?;
    for (package, program) in BINARIES {
        let script = sh::capture(ask(package, program, "completions").arg(shell))?;
        let file = directory.join(format!("{before}{program}{after}"));
        fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn created(directory: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory)
}

/// An empty directory of this name, whatever was there.
fn emptied(directory: PathBuf) -> Result<PathBuf> {
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot clear {}", directory.display()))?;
    }
    created(directory)
}

/// When the source was last changed, in seconds since 1970: the only time that a package tells, so that whoever
/// builds the same source gets the same bytes.
fn epoch() -> Result<String> {
    if let Ok(told) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(told);
    }
    let time = sh::capture(sh::cmd("git").args(["log", "-1", "--format=%ct"]))?;
    Ok(time.trim().to_owned())
}
