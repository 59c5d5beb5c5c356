//! Other builds of the agent, made from the one at hand: the BPF objects that it carries are changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::scene::at;

/// How a BPF object begins (ELF, 64 bits, little endian), where it says for which machine it is, and the
/// last byte of its identification, which nobody reads.
const OBJECT: &[u8] = b"\x7fELF\x02\x01\x01";
const MACHINE_AT: usize = 18;
const MACHINE_BPF: [u8; 2] = 247_u16.to_le_bytes();
const PADDING_AT: usize = 15;

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
    let mut bytes = fs::read(agent).context("reading the agent")?;
    let (name, found, offset, put) = match differs {
        Differs::Programs => ("programs", places(&bytes, is_program), PADDING_AT, vec![1]),
        Differs::Maps => {
            let put = FEWER.to_le_bytes().to_vec();
            ("maps", places(&bytes, is_number_of_entries), LENGTH_AT, put)
        }
    };
    ensure!(!found.is_empty(), "the agent carries no {name} that could differ");
    for place in found {
        for (to, byte) in bytes.iter_mut().skip(place + offset).zip(&put) {
            *to = *byte;
        }
    }
    let path = at(&format!("bin/other-{name}"));
    fs::write(&path, bytes)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
