//! The console in a real browser, with an agent that raised real alerts. Pictures of all pages are left in `target/ci/console`,
//! for somebody to look at.

use std::fs;

use anyhow::Result;

use super::{Log, Verdict, place};
use crate::outcome::Outcome;
use crate::sh;

/// What drives the browser, and what judges whether everybody can use a page; neither brings a browser of its own.
const NODE: &[&str] = &["playwright-core@1.65.1", "axe-core@4.14.1"];
/// What the checks are, copied to where those are found.
const SCRIPT: &str = "tests/console/browse.mjs";

/// Each check of the script is a case.
pub(super) fn browse(log: &mut Log) -> Result<Verdict> {
    if sh::root_prefix().is_none() {
        return Ok(Verdict::Skipped("needs root, or sudo without a password".into()));
    }
    let home = place("browser");
    fs::create_dir_all(&home)?;
    let (list, wanted) = (home.join("installed"), NODE.join("\n"));
    if !fs::read_to_string(&list).is_ok_and(|known| known == wanted) {
        let mut install = sh::cmd("npm");
        install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        if !log.run(install.arg(&home).args(NODE))? {
            return Ok(Verdict::Skipped("what drives the browser cannot be installed".into()));
        }
        fs::write(list, wanted)?;
    }
    let script = home.join("browse.mjs");
    fs::copy(sh::at(SCRIPT), &script)?;
    let before = log.text()?.lines().count();
    let mut node = sh::as_root("node")?;
    node.arg(script).arg(sh::release("aegisbpf")).arg("/usr/bin/chromium");
    let success = log.run(node.arg(sh::target().join("ci/console")))?;
    let mut total = count(log.text()?.lines().skip(before));
    if !success && total.failed == 0 {
        total += Outcome::FAIL;
    }
    Ok(Verdict::Ran(total))
}

/// What the script said of each check.
fn count<'a>(lines: impl Iterator<Item = &'a str>) -> Outcome {
    let mut total = Outcome::default();
    for line in lines {
        if line.starts_with("ok ") {
            total += Outcome::PASS;
        } else if line.starts_with("FAIL ") {
            total += Outcome::FAIL;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_counts_once() {
        let said = ["$ node x", "ok one", "FAIL two: why", "okay", "ok three", "-> exit status: 1"];
        let counted = count(said.into_iter());
        assert_eq!((counted.passed, counted.failed), (2, 1));
    }
}
