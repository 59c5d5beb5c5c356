//! `cargo xtask docs`: every command that the pages for people show is run, and what they show of its output is compared.
//!
//! The binaries are the real ones (`cargo build --release`). They run in a mount namespace of their own, in which the
//! places of the agent, `/srv`, `/tmp` and the BPF filesystem are empty ones: so commands stand in the pages as people
//! type them, and what they leave goes with the namespace. [`page`] says what a page may ask of this. Commands within
//! sentences are not run; [`words`] finds those that there are not.

mod page;
mod play;
mod said;
mod words;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::outcome::Outcome;
use crate::sh;

/// Pages whose output is compared to the letter by `crates/kestrel/tests/guide.rs`, which also rewrites them.
const PLAYED_ELSEWHERE: &[&str] = &["docs/kestrel.md", "docs/packs.md"];
/// The first word inside the namespace.
const INSIDE: &str = "--inside";
/// Places that are empty at first; made where they are missing, and gone again afterwards.
const PLACES: &[&str] =
    &["/etc/aegisbpf", "/var/lib/aegisbpf", "/run/aegisbpf", "/usr/lib/aegisbpf", "/srv", "/tmp"];
/// Where the binaries are inside, wherever the checkout is.
const BINARIES: &str = "/run/aegisbpf-docs";
/// The binaries that pages name.
const PROGRAMS: [&str; 2] = ["aegisbpf", "kestrel"];

/// `xtask docs [PAGE…]`: all pages, or these.
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    match args.split_first() {
        Some((first, pages)) if first == INSIDE => inside(pages),
        _ => outside(args),
    }
}

/// Makes the places and the namespace; runs this program again in it.
fn outside(pages: &[String]) -> Result<ExitCode> {
    let places = PLACES.iter().copied().chain([BINARIES]);
    let missing: Vec<&str> = places.filter(|place| !Path::new(place).exists()).collect();
    for place in &missing {
        sh::run(sh::as_root("mkdir")?.args(["-p", place]))?;
    }
    let mut again = sh::as_root("unshare")?;
    again.args(["--mount", "--propagation", "private", "--"]);
    again.arg(std::env::current_exe()?).args(["docs", INSIDE]).args(pages);
    let status = again.status().context("cannot start unshare")?;
    for place in missing {
        sh::run(sh::as_root("rmdir")?.args(["--ignore-fail-on-non-empty", place]))?;
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn inside(pages: &[String]) -> Result<ExitCode> {
    // Before anything is mounted over the place where the checkout may be.
    let all = pages_of_people()?;
    let chosen = |path: &&String| pages.is_empty() || pages.contains(path);
    let mut read = Vec::new();
    for path in all.iter().filter(chosen) {
        let text = std::fs::read_to_string(sh::at(path))?;
        let page = page::read(path, &text).with_context(|| format!("in {path}"))?;
        read.push((page, text));
    }
    if read.is_empty() || (!pages.is_empty() && read.len() != pages.len()) {
        bail!("there are these pages: {}", all.join(" "));
    }
    furnish()?;
    let (mut total, mut run, mut left) = (Outcome::default(), 0, 0);
    let mut helps = words::Helps::of_programs();
    for (page, text) in &read {
        let wrong = helps.wrong(text)?;
        for finding in &wrong {
            println!("FAIL {}:{finding}", page.path);
        }
        total += if wrong.is_empty() { Outcome::PASS } else { Outcome::FAIL };
        for block in &page.blocks {
            match &block.no_run {
                Some(reason) => {
                    println!("not run {}:{}: {reason}", page.path, block.line);
                    left += 1;
                }
                None => run += 1,
            }
        }
        total += play::page(page)?;
    }
    println!("{run} blocks run, {left} not run, each with its reason");
    println!("{total}");
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The pages with commands for people, in the order of their names.
fn pages_of_people() -> Result<Vec<String>> {
    let all = ["ls-files", "--cached", "--others", "--exclude-standard", "README.md", "docs/*.md"];
    let list = sh::capture(sh::cmd("git").args(all))?;
    let pages = list.lines().filter(|path| !PLAYED_ELSEWHERE.contains(path));
    Ok(pages.map(str::to_owned).collect())
}

/// Empty places with what the package would bring, and the binaries.
fn furnish() -> Result<()> {
    let programs: Vec<PathBuf> = PROGRAMS.iter().map(|name| sh::release(name)).collect();
    if let Some(missing) = programs.iter().find(|program| !program.is_file()) {
        bail!("no {}: `cargo build --release` makes it", missing.display());
    }
    let mount = |kind: &str, place: &str| {
        sh::run(tool("mount").args(["-t", kind, "-o", "mode=755", "docs", place]))
    };
    mount("tmpfs", BINARIES)?;
    for (name, program) in PROGRAMS.iter().zip(programs) {
        let file = Path::new(BINARIES).join(name);
        std::fs::write(&file, "")?;
        sh::run(tool("mount").arg("--bind").arg(program).arg(file))?;
    }
    let rules = Path::new(BINARIES).join("rules");
    sh::run(
        tool("cp").args(["-r", "--no-preserve=mode,ownership"]).arg(sh::at("rules")).arg(&rules),
    )?;
    for place in PLACES {
        mount("tmpfs", place)?;
    }
    sh::run(tool("mount").args(["-t", "bpf", "docs", "/sys/fs/bpf"]))?;
    sh::run(tool("mv").arg(rules).arg("/usr/lib/aegisbpf/"))?;
    sh::run(tool("chmod").args(["-R", "u=rwX,go=rX", "/usr/lib/aegisbpf"]))?;
    sh::run(tool("chmod").args(["1777", "/tmp"]))?;
    sh::run(tool("chmod").args(["700", "/var/lib/aegisbpf"]))?;
    for name in ["config.d", "rules.d", "packs.d", "policies.d", "keys"] {
        std::fs::create_dir(Path::new("/etc/aegisbpf").join(name))?;
    }
    Ok(())
}

/// A program of the system, started where nothing is mounted over the directory that it starts in.
fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("PATH", path()).stdin(Stdio::null());
    command
}

/// The programs first, then what the system has.
fn path() -> String {
    format!("{BINARIES}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}
