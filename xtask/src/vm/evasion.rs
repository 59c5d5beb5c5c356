//! `docs/evasion.md`: what the guests and this host said of each trick.

use std::path::Path;

use anyhow::{Context, Result};

use super::guest::{self, Boot};
use crate::outcome::Outcome;
use crate::sh;

/// The document, and what it is called in what is told.
const DOCUMENT: &str = "docs/evasion.md";

/// Tries the tricks on this host, where no LSM program need load, and writes the document from that and
/// from what the guests said.
pub(super) fn document(boots: &[Boot], cache: &Path) -> Result<Outcome> {
    if sh::root_prefix().is_none() {
        println!("SKIP {DOCUMENT}: the fallback needs root, or sudo without a password");
        return Ok(Outcome::SKIP);
    }
    let host = cache.join("evade-host.log");
    let passed = tried(&host)?;
    let guests = boots.iter().filter(|boot| guest::prevents(&boot.version));
    let mut command = sh::cmd(sh::release("evade"));
    command.arg("table");
    for boot in guests {
        command.arg(format!("lsm {}={}", column(boot), guest::serial(cache, boot).display()));
    }
    command.arg(format!("fallback={}", host.display()));
    let text = sh::capture(&mut command)?;
    std::fs::write(sh::at(DOCUMENT), text).with_context(|| format!("writing {DOCUMENT}"))?;
    println!("{DOCUMENT} is written anew");
    Ok(if passed { Outcome::PASS } else { Outcome::FAIL })
}

/// Short, since there are many.
fn column(boot: &Boot) -> String {
    if boot.crowded { format!("{} full", boot.version) } else { boot.version.clone() }
}

/// Runs the suite on this host; what it said is kept.
fn tried(log: &Path) -> Result<bool> {
    let file = std::fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
    let mut command = sh::as_root(sh::release("evade"))?;
    command.args(["host", "--reloads", "1000", "--agent"]).arg(sh::release("aegisbpf"));
    command.stdout(file);
    let passed = command.status().context("starting evade")?.success();
    let text = std::fs::read_to_string(log).unwrap_or_default();
    for line in text.lines().filter(|line| line.starts_with("FAIL ") || line.starts_with("RESULT "))
    {
        println!("     host   {line}");
    }
    Ok(passed)
}
