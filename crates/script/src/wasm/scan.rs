//! Looks through a module before anything compiles it: sizes, imports, exports. It reads each byte of
//! headers at most once, and keeps nothing that the module could make large.

use model::script::Script;
use wasmparser::{ExternalKind, FuncType, Import, Imports, Parser, Payload, TypeRef, ValType};

use crate::abi::{self, MARKER, MODULE, Type};
use crate::limits;
use crate::refuse::{Denied, Refusal};

/// What the host must know of a module beyond what wasmtime checks.
#[derive(Debug, Default)]
pub(super) struct Shape {
    types: Vec<FuncType>,
    /// Type of each function, imported ones first.
    functions: Vec<u32>,
    exports: Vec<(String, u32)>,
    memories: u32,
    memory_exported: bool,
    custom: u32,
}

/// Judges a module. `Ok` says only that it is worth compiling.
pub(super) fn scan(script: &Script) -> Result<Shape, Denied> {
    let code = &script.code;
    if code.is_empty() {
        return Err(Refusal::Empty.of(&script.file));
    }
    if code.len() > limits::MAX_MODULE_BYTES {
        let (has, most) = (code.len(), limits::MAX_MODULE_BYTES);
        return Err(Refusal::TooLarge.of(format!("{has} bytes of at most {most}")));
    }
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(code) {
        let payload = payload.map_err(malformed)?;
        shape.section(payload, script)?;
    }
    shape.whole(script)?;
    Ok(shape)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn malformed(error: wasmparser::BinaryReaderError) -> Denied {
    Refusal::Malformed.of(error.to_string())
}

/// Refuses more of something than there may be.
fn at_most(has: u32, most: u32, what: &str) -> Result<(), Denied> {
    if has > most {
        return Err(Refusal::TooMany.of(format!("{has} {what} of at most {most}")));
    }
    Ok(())
}

impl Shape {
    fn section(&mut self, payload: Payload<'_>, script: &Script) -> Result<(), Denied> {
        match payload {
            Payload::Version { encoding, .. } if encoding != wasmparser::Encoding::Module => {
                Err(Refusal::Malformed.of("it is a component"))
            }
            Payload::TypeSection(reader) => {
                at_most(reader.count(), limits::MAX_TYPES, "types")?;
                for one in reader.into_iter_err_on_gc_types() {
                    self.types.push(one.map_err(malformed)?);
                }
                Ok(())
            }
            Payload::ImportSection(reader) => {
                at_most(reader.count(), limits::MAX_IMPORTS, "imports")?;
                for one in reader {
                    let Imports::Single(_, import) = one.map_err(malformed)? else {
                        return Err(Refusal::Invalid.of("compact imports"));
                    };
                    self.import(import, script)?;
                }
                Ok(())
            }
            Payload::FunctionSection(reader) => {
                at_most(reader.count(), limits::MAX_FUNCTIONS, "functions")?;
                for one in reader {
                    self.functions.push(one.map_err(malformed)?);
                }
                Ok(())
            }
            Payload::TableSection(reader) => {
                at_most(reader.count(), limits::MAX_TABLES, "tables")?;
                for one in reader {
                    table(one.map_err(malformed)?.ty.initial)?;
                }
                Ok(())
            }
            Payload::MemorySection(reader) => {
                self.memories = reader.count();
                for one in reader {
                    memory(one.map_err(malformed)?.initial, script)?;
                }
                Ok(())
            }
            Payload::GlobalSection(reader) => {
                at_most(reader.count(), limits::MAX_GLOBALS, "globals")
            }
            Payload::ExportSection(reader) => self.exports(reader),
            Payload::StartSection { .. } => Err(Refusal::Start.of(&script.file)),
            Payload::ElementSection(reader) => {
                at_most(reader.count(), limits::MAX_SEGMENTS, "element segments")
            }
            Payload::DataCountSection { count, .. } => {
                at_most(count, limits::MAX_SEGMENTS, "data segments")
            }
            Payload::DataSection(reader) => {
                at_most(reader.count(), limits::MAX_SEGMENTS, "data segments")
            }
            Payload::CodeSectionStart { count, .. } => {
                at_most(count, limits::MAX_FUNCTIONS, "function bodies")
            }
            Payload::CodeSectionEntry(body) => function(&body),
            Payload::CustomSection(_) => {
                self.custom += 1;
                at_most(self.custom, limits::MAX_CUSTOM, "custom sections")
            }
            Payload::Version { .. } | Payload::End(_) => Ok(()),
            _ => Err(Refusal::Invalid.of("a section that plain modules do not have")),
        }
    }

    /// One import: offered, of the right type, and covered by what the script asked for.
    fn import(&mut self, import: Import<'_>, script: &Script) -> Result<(), Denied> {
        let Import { module, name, ty } = import;
        let named = format!("`{module}` `{name}`");
        let (MODULE, Some(offered), TypeRef::Func(index)) = (module, abi::import(name), ty) else {
            return Err(Refusal::UnknownImport.of(named));
        };
        let params: Vec<Type> = offered.params.iter().map(|(_, kind)| *kind).collect();
        let same = usize::try_from(index).ok().and_then(|index| self.types.get(index)).is_some_and(
            |has| same(has.params(), &params) && same(has.results(), &[offered.result]),
        );
        if !same {
            return Err(Refusal::ImportType.of(named));
        }
        if let Some(needed) = offered.needs.filter(|needed| !script.asks.has(*needed)) {
            return Err(Refusal::NotAsked.of(format!("{named} needs `{}`", needed.as_str())));
        }
        self.functions.push(index);
        Ok(())
    }

    fn exports(&mut self, reader: wasmparser::ExportSectionReader<'_>) -> Result<(), Denied> {
        at_most(reader.count(), limits::MAX_EXPORTS, "exports")?;
        for one in reader {
            let export = one.map_err(malformed)?;
            match export.kind {
                ExternalKind::Func => self.exports.push((export.name.to_owned(), export.index)),
                ExternalKind::Memory => self.memory_exported |= export.name == "memory",
                _ => {}
            }
        }
        Ok(())
    }

    /// What can be said only when all sections were seen.
    fn whole(&self, script: &Script) -> Result<(), Denied> {
        if self.parameters(MARKER).is_none() {
            return Err(Refusal::NoVersion.of(&script.file));
        }
        if self.memories != 1 || !self.memory_exported {
            let has =
                if self.memories == 1 { "it is not exported as `memory`" } else { "one is needed" };
            return Err(Refusal::Memory.of(has));
        }
        for name in &script.functions {
            let named = format!("`{name}`");
            let Some((params, results)) = self.parameters(name) else {
                return Err(Refusal::NoFunction.of(named));
            };
            let handles = params.iter().all(|one| *one == ValType::I32);
            if !handles || results != [ValType::I32] || params.len() > limits::MAX_ARGUMENTS {
                return Err(Refusal::FunctionType.of(named));
            }
        }
        Ok(())
    }

    /// Parameters and results of an exported function.
    fn parameters(&self, name: &str) -> Option<(&[ValType], &[ValType])> {
        let (_, index) = self.exports.iter().find(|(known, _)| known == name)?;
        let kind = self.functions.get(usize::try_from(*index).ok()?)?;
        let kind = self.types.get(usize::try_from(*kind).ok()?)?;
        Some((kind.params(), kind.results()))
    }

    /// How many arguments an exported function takes.
    pub(super) fn arity(&self, name: &str) -> usize {
        self.parameters(name).map_or(0, |(params, _)| params.len())
    }
}

/// Whether types are those that the host offers.
fn same(has: &[ValType], wanted: &[Type]) -> bool {
    let wanted = wanted.iter().map(|one| match one {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F64 => ValType::F64,
    });
    has.iter().copied().eq(wanted)
}

fn table(entries: u64) -> Result<(), Denied> {
    if entries > limits::MAX_TABLE_ENTRIES {
        let most = limits::MAX_TABLE_ENTRIES;
        return Err(Refusal::Table.of(format!("{entries} entries of at most {most}")));
    }
    Ok(())
}

fn memory(pages: u64, script: &Script) -> Result<(), Denied> {
    let bytes = pages.saturating_mul(1 << 16);
    let most = script.budget.memory as u64;
    if bytes > most {
        return Err(Refusal::Memory.of(format!("it begins with {bytes} bytes of at most {most}")));
    }
    Ok(())
}

/// One body: its size and its locals, which are written in a few bytes and cost as many as they are.
fn function(body: &wasmparser::FunctionBody<'_>) -> Result<(), Denied> {
    let bytes = body.range().len();
    if bytes > limits::MAX_BODY_BYTES {
        let most = limits::MAX_BODY_BYTES;
        return Err(
            Refusal::TooMany.of(format!("{bytes} bytes of one function, of at most {most}"))
        );
    }
    let mut locals = 0u32;
    for group in body.get_locals_reader().map_err(malformed)? {
        let (count, _) = group.map_err(malformed)?;
        locals = locals.saturating_add(count);
        at_most(locals, limits::MAX_LOCALS, "locals of one function")?;
    }
    Ok(())
}
