//! `cargo xtask dist`: what people install, into `target/dist`. Man pages and shell completions are made by the
//! binaries themselves; packages, the archive and the bills of materials hold the same tree of files (`tree`).

mod archive;
mod deb;
mod rpm;
mod sbom;
pub(crate) mod sign;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{setup, sh};

/// Packages and their binaries.
pub(crate) const BINARIES: [(&str, &str); 2] = [("agent", "aegisbpf"), ("kestrel", "kestrel")];

/// Shells, and what stands before and after the program in the names of their files.
const SHELLS: [(&str, &str, &str); 3] = [("bash", "", ""), ("zsh", "_", ""), ("fish", "", ".fish")];

/// The version of all that is made here.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const USAGE: &str = "usage: cargo xtask dist [man|completions|deb|rpm|tarball|sbom]… [--built] [--sign-key FILE]

without a word: man pages and completions. Packages are built as they are shipped, or with --built
from what `cargo build --release` left. With --sign-key (or AEGISBPF_SIGN_KEY), a secret key of minisign, the agent in them
loads only the BPF objects that this key signed";

/// What is asked for.
#[derive(Debug, Default)]
struct Order<'a> {
    parts: Vec<&'a str>,
    built: bool,
    key: Option<PathBuf>,
}

impl<'a> Order<'a> {
    fn of(args: &'a [String]) -> Result<Order<'a>> {
        let mut order = Order { key: sign::key_of_environment(), ..Order::default() };
        let mut words = args.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--built" => order.built = true,
                "--sign-key" => order.key = Some(words.next().context(USAGE)?.into()),
                flag if flag.starts_with('-') => bail!("{USAGE}"),
                part => order.parts.push(part),
            }
        }
        if order.parts.is_empty() {
            order.parts = vec!["man", "completions"];
        }
        // Commands run in the top directory, whoever types this elsewhere.
        order.key = order.key.map(std::path::absolute).transpose()?;
        Ok(order)
    }
}

/// `xtask dist [PART…] [--built] [--sign-key FILE]`
pub(crate) fn command(args: &[String]) -> Result<()> {
    let Order { parts, built, key } = Order::of(args)?;
    let key = key.as_deref();
    let packs = ["deb", "rpm", "tarball"];
    if parts.iter().any(|part| packs.contains(part)) {
        if !built {
            if !setup::has_auditable() {
                setup::auditable()?;
            }
            sh::as_shipped();
            sh::build_release()?;
        }
        if key.is_none() {
            eprintln!("no --sign-key: the BPF objects in these packages are not signed");
        }
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
            "deb" => deb::make(key)?,
            "rpm" => rpm::make(key)?,
            "tarball" => archive::make(key)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_a_file_and_what_is_not_known_is_refused() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let line = words("deb --sign-key /keys/release.key --built");
        let order = Order::of(&line).unwrap();
        assert_eq!((order.parts, order.built), (vec!["deb"], true));
        assert_eq!(order.key.as_deref(), Some(Path::new("/keys/release.key")));
        for wrong in ["deb --sign-key", "deb --signed"] {
            assert!(Order::of(&words(wrong)).unwrap_err().to_string().contains("usage"), "{wrong}");
        }
    }
}
