//! Writes the types of the wire as Rust.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::btf::{Id, Type};
use super::header::Item;

const HEAD: &str = "\
//! Made from crates/kernel/bpf/wire.h by `cargo xtask codegen`. Do not edit.
#![expect(missing_docs, reason = \"documented in wire.h\")]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

";

const DERIVE: &str = "#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]";

/// The Rust source of all items, in their order.
pub(super) fn render(items: &[Item], types: &BTreeMap<Id, Type>) -> Result<String> {
    let mut out = HEAD.to_owned();
    for item in items {
        match item {
            Item::Define(name, value) => writeln!(out, "pub const {name}: u32 = {value};")?,
            Item::Enum(name) => enumeration(&mut out, name, types)?,
            Item::Struct(name) => structure(&mut out, name, types)?,
        }
    }
    Ok(out)
}

fn enumeration(out: &mut String, wanted: &str, types: &BTreeMap<Id, Type>) -> Result<()> {
    let constants = types.values().find_map(|ty| match ty {
        Type::Enum { name, constants } if name == wanted => Some(constants),
        _ => None,
    });
    let constants = constants.with_context(|| absent("enum", wanted))?;
    let flags = constants.iter().all(|(_, value)| value.is_power_of_two());
    writeln!(out, "\n// enum {wanted}")?;
    for (name, value) in constants {
        if flags {
            writeln!(out, "pub const {name}: u32 = 1 << {};", value.trailing_zeros())?;
        } else {
            writeln!(out, "pub const {name}: u32 = {value};")?;
        }
    }
    Ok(())
}

fn structure(out: &mut String, wanted: &str, types: &BTreeMap<Id, Type>) -> Result<()> {
    let found = types.values().find_map(|ty| match ty {
        Type::Struct { name, size, members } if name == wanted => Some((size, members)),
        _ => None,
    });
    let (size, members) = found.with_context(|| absent("struct", wanted))?;
    let rust = camel(wanted);
    writeln!(out, "\n{DERIVE}\n#[repr(C)]\npub struct {rust} {{")?;
    for (name, id) in members {
        let ty = type_name(*id, types).with_context(|| format!("{wanted}.{name}"))?;
        writeln!(out, "    pub {name}: {ty},")?;
    }
    writeln!(out, "}}\n\nconst _: () = assert!(size_of::<{rust}>() == {size});")?;
    Ok(())
}

fn absent(kind: &str, name: &str) -> String {
    format!(
        "{kind} {name} is in wire.h, but not in the object: declare a global of it in abi.bpf.c"
    )
}

fn type_name(id: Id, types: &BTreeMap<Id, Type>) -> Result<String> {
    Ok(match types.get(&id) {
        Some(Type::Int { signed, size: size @ (1 | 2 | 4 | 8) }) => {
            format!("{}{}", if *signed { 'i' } else { 'u' }, size * 8)
        }
        Some(Type::Array { of, count }) => format!("[{}; {count}]", type_name(*of, types)?),
        Some(Type::Struct { name, .. }) => camel(name),
        other => bail!("a record cannot hold this type: {other:?}"),
    })
}

/// `rec_task` -> `RecTask`
fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut chars = word.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(chars).collect::<String>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_carries_its_size_as_an_assertion() {
        let members = vec![("h".into(), 2), ("addr".into(), 3), ("result".into(), 4)];
        let types = BTreeMap::from([
            (1, Type::Struct { name: "rec_net".into(), size: 30, members }),
            (2, Type::Struct { name: "rec_header".into(), size: 10, members: vec![] }),
            (3, Type::Array { of: 5, count: 16 }),
            (4, Type::Int { signed: true, size: 4 }),
            (5, Type::Int { signed: false, size: 1 }),
        ]);
        let text = render(&[Item::Struct("rec_net".into())], &types).unwrap();
        assert!(text.contains("pub h: RecHeader,\n"), "{text}");
        assert!(text.contains("pub addr: [u8; 16],\n    pub result: i32,\n"), "{text}");
        assert!(text.contains("assert!(size_of::<RecNet>() == 30);"), "{text}");
    }

    #[test]
    fn flags_are_shifts_and_numbers_are_numbers() {
        let flags = vec![("F_A".into(), 1), ("F_B".into(), 8)];
        let numbers = vec![("N_A".into(), 0), ("N_B".into(), 8)];
        let types = BTreeMap::from([
            (1, Type::Enum { name: "f".into(), constants: flags }),
            (2, Type::Enum { name: "n".into(), constants: numbers }),
        ]);
        let text = render(&[Item::Enum("f".into()), Item::Enum("n".into())], &types).unwrap();
        assert!(text.contains("pub const F_B: u32 = 1 << 3;"), "{text}");
        assert!(text.contains("pub const N_B: u32 = 8;"), "{text}");
    }

    #[test]
    fn a_type_that_the_object_lacks_is_named() {
        let error = render(&[Item::Struct("rec_new".into())], &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("struct rec_new is in wire.h"), "{error}");
    }

    #[test]
    fn a_pointer_in_a_record_is_refused() {
        let types = BTreeMap::from([
            (1, Type::Struct { name: "rec".into(), size: 8, members: vec![("p".into(), 2)] }),
            (2, Type::Other("PTR".into())),
        ]);
        let error = render(&[Item::Struct("rec".into())], &types).unwrap_err();
        assert!(format!("{error:#}").contains("rec.p: a record cannot hold"), "{error:#}");
    }
}
