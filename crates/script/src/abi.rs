//! The functions of the host, as one table: what a module may import, and the documentation.

use model::capability::Capability;

/// The module name of every import. Another version will have another name.
pub const MODULE: &str = "kestrel_v1";
/// The export that says for which version a module was written. It is never called.
pub const MARKER: &str = "kestrel_abi_v1";

/// A type of a parameter or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// 32 bits: handles, indexes, pointers, lengths, answers.
    I32,
    /// 64 bits: integers and times.
    I64,
    /// A double.
    F64,
}

impl Type {
    /// The word of the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Type::I32 => "i32",
            Type::I64 => "i64",
            Type::F64 => "f64",
        }
    }
}

/// One function of the host.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// Its name.
    pub name: &'static str,
    /// Names and types of its parameters.
    pub params: &'static [(&'static str, Type)],
    /// Its result; each has one.
    pub result: Type,
    /// What a script must have asked for to import it.
    pub needs: Option<Capability>,
    /// What it does.
    pub doc: &'static str,
}

use Type::{F64, I32, I64};

const fn function(
    name: &'static str,
    params: &'static [(&'static str, Type)],
    result: Type,
    doc: &'static str,
) -> Import {
    Import { name, params, result, needs: None, doc }
}

const fn needing(mut import: Import, capability: Capability) -> Import {
    import.needs = Some(capability);
    import
}

/// All of them.
pub const IMPORTS: &[Import] = &[
    function(
        "field",
        &[("index", I32)],
        I32,
        "Handle of a declared field, by its position in `fields`.",
    ),
    function(
        "value_type",
        &[("value", I32)],
        I32,
        "0 absent, 1 boolean, 2 integer, 3 float, 4 text, 5 address, 6 list, 7 object.",
    ),
    function(
        "value_i64",
        &[("value", I32)],
        I64,
        "An integer, or a boolean as 0 or 1; 0 for anything else.",
    ),
    function(
        "value_f64",
        &[("value", I32)],
        F64,
        "A float, or an integer as one; 0 for anything else.",
    ),
    function(
        "value_len",
        &[("value", I32)],
        I32,
        "Bytes of the text of a text, integer or address; 0 for anything else.",
    ),
    function(
        "value_copy",
        &[("value", I32), ("offset", I32), ("ptr", I32), ("cap", I32)],
        I32,
        "Copies that text from `offset` on, at most `cap` bytes; how many it copied.",
    ),
    function(
        "value_count",
        &[("value", I32)],
        I32,
        "Elements of a list; 0 of an absent value, 1 of any other.",
    ),
    function(
        "value_at",
        &[("value", I32), ("index", I32)],
        I32,
        "Handle of an element; -1 if there is none. Any other value is a list of itself.",
    ),
    function(
        "event_time",
        &[],
        I64,
        "When the event happened, nanoseconds since 1970. There is no other clock.",
    ),
    needing(
        function(
            "regex",
            &[("regex", I32), ("value", I32)],
            I32,
            "1 if the regular expression, by its position in the rule file, is the whole of the value's text or of an element's.",
        ),
        Capability::Regex,
    ),
    needing(
        function(
            "regex_text",
            &[("regex", I32), ("ptr", I32), ("len", I32)],
            I32,
            "The same for bytes of the module's memory.",
        ),
        Capability::Regex,
    ),
    function(
        "glob",
        &[("glob", I32), ("value", I32)],
        I32,
        "1 if the wildcard pattern is the whole of the value's text or of an element's.",
    ),
    function(
        "glob_text",
        &[("glob", I32), ("ptr", I32), ("len", I32)],
        I32,
        "The same for bytes of the module's memory.",
    ),
    needing(
        function(
            "state_get",
            &[("key", I32), ("key_len", I32), ("ptr", I32), ("cap", I32)],
            I32,
            "Copies what is remembered under a key, at most `cap` bytes; how long it is, -1 if there is nothing.",
        ),
        Capability::State,
    ),
    needing(
        function(
            "state_put",
            &[("key", I32), ("key_len", I32), ("ptr", I32), ("len", I32), ("ttl_ms", I64)],
            I32,
            "Remembers a value for so many milliseconds of event time. 1; 0 if it is larger than all of the state.",
        ),
        Capability::State,
    ),
    function(
        "emit",
        &[("severity", I32), ("ptr", I32), ("len", I32)],
        I32,
        "Begins an alert text, which goes with the alert of the rule. 0 to 4 is informational to critical, -1 leaves it to the rule. 1.",
    ),
    function(
        "emit_text",
        &[("name", I32), ("name_len", I32), ("ptr", I32), ("len", I32)],
        I32,
        "Adds a text to the alert text begun last; 0 if none was begun.",
    ),
    function(
        "emit_i64",
        &[("name", I32), ("name_len", I32), ("number", I64)],
        I32,
        "The same with an integer.",
    ),
    function(
        "emit_f64",
        &[("name", I32), ("name_len", I32), ("number", F64)],
        I32,
        "The same with a float.",
    ),
    function(
        "emit_bool",
        &[("name", I32), ("name_len", I32), ("flag", I32)],
        I32,
        "The same with a boolean.",
    ),
    function(
        "request",
        &[("ptr", I32), ("len", I32)],
        I32,
        "Asks for an action (`deny`, `kill`, `quarantine`) by its name. 1 if it is granted; else 0, and the refusal is told.",
    ),
];

/// The function of this name.
pub(crate) fn import(name: &str) -> Option<&'static Import> {
    IMPORTS.iter().find(|import| import.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = include_str!("../abi/kestrel.h");
    const WIT: &str = include_str!("../abi/kestrel.wit");
    const ASSEMBLY_SCRIPT: &str = include_str!("../abi/kestrel.ts");
    const RUST: &str = include_str!("../abi/kestrel.rs");

    /// Parameters in the words of one language.
    fn params(import: &Import, one: impl Fn(&str, Type) -> String) -> String {
        let all: Vec<String> = import.params.iter().map(|(name, kind)| one(name, *kind)).collect();
        all.join(", ")
    }

    /// A binding must have the line of each function, and of no other.
    fn agree(text: &str, line: impl Fn(&Import) -> String, mark: &str) {
        for import in IMPORTS {
            let line = line(import);
            assert!(text.contains(&line), "{line}");
        }
        assert_eq!(text.matches(mark).count(), IMPORTS.len(), "{mark}");
    }

    #[test]
    fn the_header_declares_each_function_with_its_type() {
        let word = |import: &Import, name: &str, kind| match (name, kind) {
            ("ptr", I32) if ["value_copy", "state_get"].contains(&import.name) => "void *",
            ("ptr" | "key" | "name", I32) => "const void *",
            (_, I32) => "int32_t ",
            (_, I64) => "int64_t ",
            (_, F64) => "double ",
        };
        let line = |import: &Import| {
            let mut list =
                params(import, |name, kind| format!("{}{name}", word(import, name, kind)));
            if list.is_empty() {
                list.push_str("void");
            }
            let name = import.name;
            let result = word(import, "", import.result);
            format!("KESTREL_IMPORT({name}) {result}kestrel_{name}({list});")
        };
        // One line for each, however it is folded; that of the macro itself is none.
        let lines = HEADER.lines().filter(|line| !line.starts_with("#define"));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        let header = words.join(" ");
        agree(&header, line, " KESTREL_IMPORT(");
    }

    #[test]
    fn the_description_has_each_function_with_its_type() {
        let word = |kind| match kind {
            I32 => "s32",
            I64 => "s64",
            F64 => "f64",
        };
        let dashes = |name: &str| name.replace('_', "-");
        let line = |import: &Import| {
            let list = params(import, |name, kind| format!("{}: {}", dashes(name), word(kind)));
            format!("  {}: func({list}) -> {};", dashes(import.name), word(import.result))
        };
        agree(WIT, line, "func(");
    }

    #[test]
    fn the_assemblyscript_and_rust_bindings_have_each_function_with_its_type() {
        let line = |import: &Import| {
            let list = params(import, |name, kind| format!("{name}: {}", kind.as_str()));
            format!("export declare function {}({list}): {};", import.name, import.result.as_str())
        };
        agree(ASSEMBLY_SCRIPT, line, "export declare function ");
        let line = |import: &Import| {
            let list = params(import, |name, kind| format!("{name}: {}", kind.as_str()));
            format!("    pub fn {}({list}) -> {};", import.name, import.result.as_str())
        };
        agree(RUST, line, "    pub fn ");
    }
}
