//! Reads which names `wire.h` defines, in its order. What they mean is the compiler's to say.

use anyhow::{Context, Result};

/// One definition of the header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `#define NAME number`
    Define(String, u64),
    /// `enum name {`
    Enum(String),
    /// `struct name {`
    Struct(String),
}

/// The definitions, in order.
pub(super) fn parse(text: &str) -> Result<Vec<Item>> {
    text.lines().filter_map(item).collect()
}

fn item(line: &str) -> Option<Result<Item>> {
    let mut words = line.split_whitespace();
    match (words.next()?, words.next()?, words.next()) {
        // The include guard has no value.
        ("#define", name, Some(value)) => Some(define(name, value)),
        ("enum", name, Some("{")) => Some(Ok(Item::Enum(name.to_owned()))),
        ("struct", name, Some("{")) => Some(Ok(Item::Struct(name.to_owned()))),
        _ => None,
    }
}

fn define(name: &str, value: &str) -> Result<Item> {
    let number = value.parse().with_context(|| {
        format!("#define {name} {value}: only decimal numbers can cross to Rust")
    })?;
    Ok(Item::Define(name.to_owned(), number))
}

/// C that makes the compiler write down each type: a global of it.
pub(super) fn globals(items: &[Item]) -> String {
    let mut source = "#include \"wire.h\"\n".to_owned();
    for item in items {
        let (kind, name) = match item {
            Item::Define(..) => continue,
            Item::Enum(name) => ("enum", name),
            Item::Struct(name) => ("struct", name),
        };
        source.push_str(&[kind, " ", name, " global_", name, ";\n"].concat());
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_come_in_order_and_uses_do_not_count() {
        let text = "#define GUARD\n#define MAX 12 /* why */\nenum kind {\n\tA = 1,\n};\n\
                    struct span {\n\tstruct other o;\n};\n";
        let expected = [
            Item::Define("MAX".into(), 12),
            Item::Enum("kind".into()),
            Item::Struct("span".into()),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn each_type_gets_a_global() {
        let items = [Item::Define("X".into(), 1), Item::Enum("k".into()), Item::Struct("s".into())];
        assert_eq!(globals(&items), "#include \"wire.h\"\nenum k global_k;\nstruct s global_s;\n");
    }

    #[test]
    fn a_constant_that_is_no_number_is_refused() {
        let error = parse("#define MAX (1 << 3)\n").unwrap_err();
        assert!(error.to_string().contains("#define MAX (1"), "{error}");
    }
}
