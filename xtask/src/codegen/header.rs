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
    fn a_constant_that_is_no_number_is_refused() {
        let error = parse("#define MAX (1 << 3)\n").unwrap_err();
        assert!(error.to_string().contains("#define MAX (1"), "{error}");
    }
}
