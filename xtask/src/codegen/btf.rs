//! Reads the type information that `bpftool btf dump` prints: lines such as
//! `[3] STRUCT 'span' size=4 vlen=2`, each followed by its members behind a tab.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Number of a type in the dump.
pub(super) type Id = u32;

/// A type, as far as records may use it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// An integer of so many bytes.
    Int { signed: bool, size: u32 },
    /// So many of another type.
    Array { of: Id, count: u32 },
    /// A structure.
    Struct { name: String, size: u32, members: Vec<(String, Id)> },
    /// An enumeration and its constants.
    Enum { name: String, constants: Vec<(String, u64)> },
    /// Anything else; no record may contain it.
    Other(String),
}

/// All types by number.
pub(super) fn parse(dump: &str) -> Result<BTreeMap<Id, Type>> {
    let mut types = BTreeMap::new();
    let mut last = None;
    for line in dump.lines() {
        if let Some(member) = line.strip_prefix('\t') {
            let owner = last.and_then(|id| types.get_mut(&id)).context("member without a type")?;
            add_member(owner, member).with_context(|| format!("member: {member}"))?;
        } else if let Some(rest) = line.strip_prefix('[') {
            let (id, rest) = rest.split_once("] ").with_context(|| format!("type: {line}"))?;
            let id = id.parse()?;
            types.insert(id, declare(rest).with_context(|| format!("type: {line}"))?);
            last = Some(id);
        }
    }
    Ok(types)
}

fn declare(text: &str) -> Result<Type> {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, facts) = quoted(rest)?;
    Ok(match kind {
        "INT" => {
            Type::Int { signed: facts.contains("encoding=SIGNED"), size: number(facts, "size=")? }
        }
        "ARRAY" => {
            Type::Array { of: number(facts, "type_id=")?, count: number(facts, "nr_elems=")? }
        }
        "STRUCT" => Type::Struct { name, size: number(facts, "size=")?, members: Vec::new() },
        "ENUM" | "ENUM64" => Type::Enum { name, constants: Vec::new() },
        _ => Type::Other(kind.to_owned()),
    })
}

fn add_member(owner: &mut Type, line: &str) -> Result<()> {
    match owner {
        Type::Struct { members, .. } => {
            let (name, facts) = quoted(line)?;
            if facts.contains("bitfield_size=") {
                bail!("bit fields have no place in a record");
            }
            members.push((name, number(facts, "type_id=")?));
        }
        Type::Enum { constants, .. } => {
            let (name, facts) = quoted(line)?;
            constants.push((name, number(facts, "val=")?));
        }
        // Members of sections and function prototypes.
        _ => {}
    }
    Ok(())
}

/// `'name' rest`
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut parts = text.trim_start().splitn(3, '\'');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(""), Some(name), Some(rest)) => Ok((name.to_owned(), rest)),
        _ => bail!("no quoted name"),
    }
}

/// The number after a key such as `size=`.
fn number<T: std::str::FromStr>(facts: &str, key: &str) -> Result<T> {
    let value = facts.split_whitespace().find_map(|fact| fact.strip_prefix(key));
    let value = value.with_context(|| format!("no {key}"))?;
    value.parse().ok().with_context(|| format!("{key}{value} is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
[1] STRUCT 'span' size=4 vlen=1
\t'off' type_id=2 bits_offset=0
[2] INT 'unsigned short' size=2 bits_offset=0 nr_bits=16 encoding=(none)
[3] ARRAY '(anon)' type_id=1 index_type_id=2 nr_elems=2
[4] ENUM 'loss' encoding=UNSIGNED size=4 vlen=1
\t'LOSS_PATH' val=1
[5] VAR 'x' type_id=1, linkage=global
";

    #[test]
    fn types_and_members_are_read() {
        let types = parse(DUMP).unwrap();
        let members = vec![("off".into(), 2)];
        assert_eq!(types[&1], Type::Struct { name: "span".into(), size: 4, members });
        assert_eq!(types[&2], Type::Int { signed: false, size: 2 });
        assert_eq!(types[&3], Type::Array { of: 1, count: 2 });
        let constants = vec![("LOSS_PATH".into(), 1)];
        assert_eq!(types[&4], Type::Enum { name: "loss".into(), constants });
        assert_eq!(types[&5], Type::Other("VAR".into()));
    }

    #[test]
    fn a_bit_field_is_refused() {
        let dump = "[1] STRUCT 's' size=4 vlen=1\n\t'b' type_id=2 bits_offset=0 bitfield_size=3\n";
        let error = parse(dump).unwrap_err();
        assert!(format!("{error:#}").contains("bit fields"), "{error:#}");
    }

    #[test]
    fn a_negative_constant_is_refused() {
        let error = parse("[1] ENUM 'e' size=4 vlen=1\n\t'X' val=-1\n").unwrap_err();
        assert!(format!("{error:#}").contains("val=-1 is out of range"), "{error:#}");
    }
}
