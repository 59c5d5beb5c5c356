//! `cargo xtask dist`: what a package holds beside the binaries, made by the binaries themselves:
//! man pages and shell completions, in `target/dist`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Packages and their binaries.
const BINARIES: [(&str, &str); 2] = [("agent", "aegisbpf"), ("kestrel", "kestrel")];

/// Shells, and what stands before and after the program in the names of their files.
const SHELLS: [(&str, &str, &str); 3] = [("bash", "", ""), ("zsh", "_", ""), ("fish", "", ".fish")];

/// `xtask dist [man|completions]`: both unless told otherwise.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let (man, completions) = match args {
        [] => (true, true),
        [one] if one == "man" => (true, false),
        [one] if one == "completions" => (false, true),
        _ => bail!("usage: cargo xtask dist [man|completions]"),
    };
    let folder = sh::target().join("dist");
    for (package, program) in BINARIES {
        if man {
            let directory = created(folder.join("man"))?;
            sh::run(ask(package, "man").arg(directory))?;
        }
        if completions {
            for (shell, before, after) in SHELLS {
                let script = sh::capture(ask(package, "completions").arg(shell))?;
                let directory = created(folder.join("completions").join(shell))?;
                let file = directory.join(format!("{before}{program}{after}"));
                fs::write(&file, script)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
    }
    println!("{}", folder.display());
    Ok(())
}

/// The binary of a package, with a command. What it says does not depend on how it was built.
fn ask(package: &str, command: &str) -> Command {
    let mut cargo = sh::cargo();
    cargo.args(["run", "--quiet", "--package", package, "--", command]);
    cargo
}

fn created(directory: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory)
}
