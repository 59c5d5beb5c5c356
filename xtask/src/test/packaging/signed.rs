//! A release loads only the BPF objects that its key signed. Signed here by a key that is made for it, then tampered with in
//! the executable that packages hold; each attack stands beside the same thing left alone.
#![expect(
    clippy::indexing_slicing,
    reason = "places are found in the very bytes that they are used on"
)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Log, Verdict, place};
use crate::dist::sign;
use crate::outcome::Outcome;
use crate::sh;

/// What the agent says of BPF objects that are not those of its release (docs/reference/exit-codes.md).
const MODIFIED: i32 = 81;

/// What was done to the executable, which this returns, and what it must say: words of `doctor`, or of its refusal.
type Case = (&'static str, fn(&Bench) -> Result<Vec<u8>>, Answer);

#[derive(Debug, Clone, Copy)]
enum Answer {
    Loads(&'static str),
    Refuses(&'static str),
}

const CASES: &[Case] = &[
    ("nothing", |bench| Ok(bench.signed.clone()), Answer::Loads("signed by the key")),
    ("a changed object", |bench| changed(&bench.signed), Answer::Refuses("has the digest")),
    ("an object changed with its digest", |bench| forged(&bench.signed), HOLDS_NOT),
    ("the same without a signature", |bench| forged(&bench.plain), Answer::Loads("not signed")),
    ("a changed signature", other_letter, HOLDS_NOT),
    ("the signature of another key", other_pen, HOLDS_NOT),
    ("no signature below the key", no_signature, HOLDS_NOT),
];
const HOLDS_NOT: Answer = Answer::Refuses("does not hold");

/// The agent as packages hold it, not signed and signed by each of two keys.
#[derive(Debug)]
struct Bench {
    plain: Vec<u8>,
    signed: Vec<u8>,
    /// What the section holds.
    slot: Vec<u8>,
    other: Vec<u8>,
}

/// Each attack is a case.
pub(super) fn refused(log: &mut Log) -> Result<Verdict> {
    if sh::root_prefix().is_none() {
        return Ok(Verdict::Skipped("needs root, or sudo without a password".into()));
    }
    let home = place("signed");
    fs::create_dir_all(&home)?;
    let bench = Bench::prepare(&home)?;
    let mut total = Outcome::default();
    for (what, attack, answer) in CASES {
        let program = home.join("attacked");
        fs::copy(home.join("ours"), &program)?;
        fs::write(&program, attack(&bench)?)?;
        let said = sh::as_root(&program)?.arg("doctor").output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&said.stdout), text(&said.stderr));
        let is_right = match answer {
            Answer::Loads(words) => said.status.success() && out.contains(words),
            Answer::Refuses(why) => {
                said.status.code() == Some(MODIFIED)
                    && err.contains("were modified")
                    && err.contains(why)
            }
        };
        let word = if is_right { "ok" } else { "FAIL" };
        log.line(&format!("{word} packaging/signed: {what}: {} {}", said.status, err.trim()))?;
        total += if is_right { Outcome::PASS } else { Outcome::FAIL };
    }
    Ok(Verdict::Ran(total))
}

impl Bench {
    fn prepare(home: &Path) -> Result<Bench> {
        let plain = home.join("plain");
        fs::copy(sh::release(sign::SIGNED), &plain)?;
        sh::run(sh::cmd("strip").arg("--strip-unneeded").arg(&plain))?;
        let signed = |name: &str| -> Result<(PathBuf, Vec<u8>)> {
            let (program, key) = (home.join(name), home.join(format!("{name}.key")));
            fs::copy(&plain, &program)?;
            let mut pair = sh::cmd("minisign");
            pair.args(["-G", "-f", "-W", "-s"]).arg(&key).arg("-p").arg(home.join("pub"));
            sh::capture(&mut pair)?;
            let slot = sign::seal(&program, &key)?;
            Ok((program, slot))
        };
        let (program, slot) = signed("ours")?;
        let (_, other) = signed("another")?;
        Ok(Bench { plain: fs::read(plain)?, signed: fs::read(program)?, slot, other })
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Result<usize> {
    let mut found = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(what));
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        _ => bail!("the executable does not hold it once: {}", String::from_utf8_lossy(what)),
    }
}

/// The executable with something else where the signature was.
fn with_slot(bench: &Bench, slot: &[u8]) -> Result<Vec<u8>> {
    let at = find(&bench.signed, &bench.slot)?;
    let mut bytes = bench.signed.clone();
    bytes[at..at + slot.len()].copy_from_slice(slot);
    Ok(bytes)
}

/// Where a line of the slot begins: the key, a comment, the signature, a comment, the signature over both.
fn line(slot: &[u8], number: usize) -> Result<usize> {
    let ends = slot.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = ends.map(|(at, _)| at).nth(number - 1).context("the slot has fewer lines")?;
    Ok(end + 1)
}

fn other_letter(bench: &Bench) -> Result<Vec<u8>> {
    // Behind the letters that name key and algorithm.
    let at = line(&bench.slot, 2)? + 40;
    let mut slot = bench.slot.clone();
    slot[at] = if slot[at] == b'A' { b'B' } else { b'A' };
    with_slot(bench, &slot)
}

/// Our key, with what another one signed below it.
fn other_pen(bench: &Bench) -> Result<Vec<u8>> {
    let (ours, theirs) = (line(&bench.slot, 1)?, line(&bench.other, 1)?);
    with_slot(bench, &[&bench.slot[..ours], &bench.other[theirs..]].concat())
}

fn no_signature(bench: &Bench) -> Result<Vec<u8>> {
    let key = line(&bench.slot, 1)?;
    let mut slot = bench.slot.clone();
    slot[key..].fill(b' ');
    with_slot(bench, &slot)
}

/// The executable with another bit in the header of an object for the kernel's BPF machine, one that no loader reads.
fn changed(program: &[u8]) -> Result<Vec<u8>> {
    const MACHINE: [u8; 2] = [247, 0];
    let is_object = |at: &usize| {
        program[*at..].starts_with(b"\x7fELF") && program.get(at + 18..at + 20) == Some(&MACHINE)
    };
    let at = (0..program.len()).step_by(8).find(is_object).context("no object inside")?;
    let mut bytes = program.to_vec();
    bytes[at + 15] ^= 1;
    Ok(bytes)
}

/// Changed objects, and the digests that they have now where the old ones were: what only a signature shows.
fn forged(program: &[u8]) -> Result<Vec<u8>> {
    let [from, to] = ["from", "forged"].map(|name| place("signed").join(name));
    fs::write(&from, program)?;
    let mut forge = sh::cmd(sh::release("evade"));
    sh::run(forge.arg("other-build").arg(&from).arg("programs").arg(&to))?;
    Ok(fs::read(to)?)
}
