//! The tables of this crate as documentation.

use std::fmt::Write as _;

use crate::abi::{IMPORTS, Type};
use crate::cause::Cause;
use crate::limits;
use crate::refuse::Refusal;

/// A table: its name, and what makes it.
pub type Table = (&'static str, fn() -> String);

/// All tables of `docs/scripts.md`.
pub const TABLES: &[Table] = &[
    ("functions", functions),
    ("limits", limits_table),
    ("refusals", refusals),
    ("incidents", incidents),
];

/// One row. Writing to a string cannot fail.
fn row(text: &mut String, cells: &[&str]) {
    let _written = writeln!(text, "| {} |", cells.join(" | "));
}

fn head(cells: &[&str]) -> String {
    let mut text = String::new();
    row(&mut text, cells);
    let _written = writeln!(text, "|{}", "---|".repeat(cells.len()));
    text
}

fn functions() -> String {
    let mut text = head(&["function", "needs", "what it does"]);
    for import in IMPORTS {
        let one = |(name, kind): &(&str, Type)| format!("{name}: {}", kind.as_str());
        let params: Vec<String> = import.params.iter().map(one).collect();
        let result = import.result.as_str();
        let signature = format!("`{}({}) -> {result}`", import.name, params.join(", "));
        let needs = import.needs.map_or(String::new(), |needs| format!("`{}`", needs.as_str()));
        row(&mut text, &[&signature, &needs, import.doc]);
    }
    text
}

fn limits_table() -> String {
    let mut text = head(&["limit", "value", "why"]);
    for (_, value, what, why) in limits::ALL {
        row(&mut text, &[what.trim_end_matches('.'), &grouped(*value), why]);
    }
    text
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn refusals() -> String {
    let mut text = head(&["code", "what is wrong", "what to do"]);
    for one in Refusal::ALL {
        row(&mut text, &[one.code(), one.what(), one.help()]);
    }
    text
}

fn incidents() -> String {
    let mut text = head(&["cause", "a violation", "what happened"]);
    for one in Cause::ALL {
        let counts = if one.counts() { "yes" } else { "no" };
        row(&mut text, &[&format!("`{}`", one.as_str()), counts, one.doc()]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_048_576), "1,048,576");
        assert_eq!(grouped(262_144), "262,144");
    }
}
