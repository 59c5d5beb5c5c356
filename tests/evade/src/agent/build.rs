//! Other builds of the agent, made from the one at hand: the BPF objects that it carries are changed, and with them the digests by
//! which it knows them.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::scene::at;

/// How a BPF object begins (ELF, 64 bits, little endian), where it says for which machine it is, and the
/// last byte of its identification, which nobody reads.
const OBJECT: &[u8] = b"\x7fELF\x02\x01\x01";
const MACHINE_AT: usize = 18;
const MACHINE_BPF: [u8; 2] = 247_u16.to_le_bytes();
const PADDING_AT: usize = 15;
/// Where it says where its sections are described, how long a description is, and how many there are: clang
/// puts them last.
const SECTIONS_AT: usize = 40;
const SECTION_SIZE_AT: usize = 58;
const SECTION_COUNT_AT: usize = 60;

/// How many entries a map has, as its definition says in BTF: the length of an array. Before that stand a
/// type without a name, of kind 3, without a size, and the numbers of two other types.
const ARRAY: [u32; 3] = [0, 3 << 24, 0];
const LENGTH_AT: usize = 20;
/// The entries of the map of users, groups and cgroups, and fewer.
const ENTRIES: u32 = 262_144;
const FEWER: u32 = ENTRIES / 2;

/// In what a build differs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Differs {
    /// Other programs, by a byte that means nothing; their maps are the same.
    Programs,
    /// Maps that are laid out in another way.
    Maps,
}

/// Where something is in an executable.
fn places(bytes: &[u8], is_there: impl Fn(&[u8]) -> bool) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes.get(*at..).is_some_and(&is_there)).collect()
}

fn is_program(bytes: &[u8]) -> bool {
    bytes.starts_with(OBJECT) && bytes.get(MACHINE_AT..MACHINE_AT + 2) == Some(&MACHINE_BPF)
}

fn is_number_of_entries(bytes: &[u8]) -> bool {
    let length = bytes.get(LENGTH_AT..LENGTH_AT + 4);
    bytes.starts_with(&ARRAY.map(u32::to_le_bytes).concat())
        && length == Some(&ENTRIES.to_le_bytes())
}

/// Makes such a build of an agent; gives its path.
pub(super) fn other(agent: &Path, differs: Differs) -> Result<PathBuf> {
    let path = at(match differs {
        Differs::Programs => "bin/other-programs",
        Differs::Maps => "bin/other-maps",
    });
    make(agent, differs, &path)?;
    Ok(path)
}

/// `evade other-build AGENT programs|maps FILE`
pub(super) fn command(words: &[&str]) -> Result<bool> {
    let (agent, differs, path) = match words {
        [agent, "programs", path] => (agent, Differs::Programs, path),
        [agent, "maps", path] => (agent, Differs::Maps, path),
        _ => bail!("usage: evade other-build AGENT programs|maps FILE"),
    };
    make(agent.as_ref(), differs, path.as_ref())?;
    Ok(true)
}

fn make(agent: &Path, differs: Differs, path: &Path) -> Result<()> {
    let mut bytes = fs::read(agent).context("reading the agent")?;
    let mut changed = 0;
    for object in places(&bytes, is_program) {
        let object = object..object + length(bytes.get(object..).unwrap_or_default())?;
        let before = digest(&bytes, &object)?;
        let inside = bytes.get_mut(object.clone()).context("an object that is cut off")?;
        let (found, put) = match differs {
            Differs::Programs => (vec![PADDING_AT], vec![1]),
            Differs::Maps => {
                let starts = places(inside, is_number_of_entries);
                let lengths = starts.iter().map(|start| start + LENGTH_AT).collect();
                (lengths, FEWER.to_le_bytes().to_vec())
            }
        };
        changed += found.len();
        for place in found {
            replace(inside, place, &put);
        }
        let after = digest(&bytes, &object)?;
        let digests = places(&bytes, |rest| rest.starts_with(before.as_bytes()));
        ensure!(!digests.is_empty(), "the agent does not carry the digest of one of its objects");
        for place in digests {
            replace(&mut bytes, place, after.as_bytes());
        }
    }
    ensure!(changed > 0, "the agent carries nothing that could differ: {differs:?}");
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn replace(bytes: &mut [u8], place: usize, put: &[u8]) {
    for (to, byte) in bytes.iter_mut().skip(place).zip(put) {
        *to = *byte;
    }
}

/// How long the object is with which these bytes begin.
fn length(object: &[u8]) -> Result<usize> {
    let number = |at: usize, size: usize| -> Result<usize> {
        let bytes = object.get(at..at + size).context("an object that is cut off")?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let sections = number(SECTION_SIZE_AT, 2)? * number(SECTION_COUNT_AT, 2)?;
    Ok(number(SECTIONS_AT, 8)? + sections)
}

/// As the agent has it of its objects.
fn digest(bytes: &[u8], object: &Range<usize>) -> Result<String> {
    let object = bytes.get(object.clone()).context("an object that is cut off")?;
    let mut text = String::new();
    for byte in Sha256::digest(object) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
