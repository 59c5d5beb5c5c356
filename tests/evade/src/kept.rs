//! Policies are replaced: what a program made stays known by it, also what it makes meanwhile.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::{self, COVERED, FILES, FREE, LAB, Lab, MAKER};
use crate::{cases, tables};

/// Times that policies are replaced while files are made.
const RELOADS: u32 = 20;

/// How long files that are gone may be remembered.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many files of a directory a process may not read, and how many it may.
fn tally(program: &str, at: &Path) -> Result<(u32, u32)> {
    let said = Command::new(program).arg("tally").arg(at).output().context("looking at files")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let (denied, went) = said.trim().split_once(' ').with_context(|| format!("said {said:?}"))?;
    Ok((denied.parse()?, went.parse()?))
}

/// Waits until what was made and is gone is forgotten.
fn forgotten(lab: &mut Lab, before: u64) -> Result<()> {
    lab::until(lab, "files that are gone are forgotten", PATIENCE, |lab| {
        Ok(lab.enforcer.made()? == before)
    })
}

/// A program makes files until it gets an error: then all files are still known, and it alone is refused.
pub(crate) fn full(lab: &mut Lab) -> Result<String> {
    let at = Path::new(LAB).join("full");
    fs::create_dir_all(&at)?;
    let (before, counted) = (lab.enforcer.made()?, lab.enforcer.counters()?.not_made);
    let said = Command::new(MAKER).args(["make", "all"]).arg(&at).output().context("making")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.trim() == "28", "it ended with {said:?}, not with ENOSPC");
    let counted = lab.enforcer.counters()?.not_made - counted;
    ensure!(counted > 0, "nothing was counted");
    let files = u32::try_from(lab.enforcer.made()? - before)?;
    ensure!(files > FILES / 2, "only {files} files are known");
    let (denied, went) = tally(COVERED, &at)?;
    ensure!((denied, went) == (files, 0), "{files} are known, {denied} denied, {went} not");
    fs::write(at.join("another"), "text\n").context("what another makes")?;
    fs::remove_dir_all(&at)?;
    forgotten(lab, before)?;
    fs::create_dir_all(at.join("open"))?;
    cases::made::have("file", &at).context("when the others are gone")?;
    Ok(format!("ENOSPC after {files} files, {counted} counted"))
}

/// In the other policy the maker has another bit.
pub(crate) fn over_reloads(lab: &mut Lab) -> Result<String> {
    let first = "  rules:\n    - {id: first, subject: {executable: /nowhere}, deny: read, \
                 files: [/nowhere], createdBy: {user: \"4321\"}}\n";
    let other = tables::compiled(&lab::policy()?.replacen("  rules:\n", first, 1), 2)?;
    let bit = |compiled: &policy::Compiled| {
        compiled.tables.things.created.iter().map(|one| (one.id, one.bit)).collect::<Vec<_>>()
    };
    let known = bit(&lab.compiled);
    let moved = bit(&other).iter().any(|one| known.iter().any(|of| of.0 == one.0 && of.1 != one.1));
    ensure!(moved, "the other policy has the same bits, so nothing would be shown");
    let other_tables = other.tables.encode()?;
    let at = Path::new(LAB).join("made");
    let before = lab.enforcer.made()?;
    fs::create_dir_all(&at)?;
    let mut maker = Command::new(MAKER);
    maker.args(["make", "many"]).arg(&at).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut maker = maker.spawn().context("starting a maker of files")?;
    let mut line = String::new();
    let out = maker.stdout.take().context("no output")?;
    BufReader::new(out).read_line(&mut line)?;
    for _ in 0..RELOADS {
        lab::apply(&mut lab.enforcer, &other, &other_tables)?;
        lab::apply(&mut lab.enforcer, &lab.compiled, &lab.tables)?;
    }
    writeln!(maker.stdin.take().context("no input")?)?;
    ensure!(maker.wait()?.success(), "the maker of files failed");
    lab::apply(&mut lab.enforcer, &other, &other_tables)?;
    let (denied, went) = tally(COVERED, &at)?;
    let control = tally(FREE, &at)?;
    lab::apply(&mut lab.enforcer, &lab.compiled, &lab.tables)?;
    let again = tally(COVERED, &at)?;
    ensure!(denied > RELOADS, "only {denied} files were made in {RELOADS} reloads");
    ensure!(went == 0, "{went} of {} files are not known any more", denied + went);
    ensure!(again == (denied, 0), "back in the first policy it is {again:?}");
    ensure!(control == (0, denied), "of whom no rule is about: {control:?}");
    ensure!(lab.enforcer.made()? >= before + u64::from(denied), "not all are counted");
    fs::remove_dir_all(&at)?;
    forgotten(lab, before)?;
    Ok(format!("{denied} files, {} reloads", 2 * RELOADS))
}
