//! Rules about tables that must agree with one another, and about headers of files.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const WIRE: &str = "crates/kernel/bpf/wire.h";
const OPERATIONS: &str = "crates/model/src/op.rs";
const DIAGNOSTICS: &str = "docs/reference/diagnostics.md";

/// The C code is under both licences, so that the kernel takes it and others may.
const LICENCE: &str = "SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0";

/// Each kind of record is an operation with a name.
pub(super) fn kinds(tree: &Tree) -> Vec<Finding> {
    let operations = tree.get(OPERATIONS).unwrap_or_default();
    let wire = tree.get(WIRE).unwrap_or_default();
    let kinds = wire.lines().filter_map(|line| line.trim().split(' ').next());
    kinds
        .filter(|name| name.starts_with("KIND_") && !["KIND_NONE", "KIND_MAX"].contains(name))
        .filter(|name| !operations.contains(&format!("= {name},")))
        .map(|name| format!("{OPERATIONS}: no operation for {name}"))
        .collect()
}

/// Each code of a diagnostic has a section, and each section a code.
pub(super) fn diagnostics(tree: &Tree) -> Vec<Finding> {
    let sources = tree.ending(".rs").filter(|file| file.path.starts_with("crates/lang/src/"));
    let codes: BTreeSet<&str> = sources.flat_map(|file| quoted_codes(&file.text)).collect();
    let page = tree.get(DIAGNOSTICS).unwrap_or_default();
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let sections: BTreeSet<&str> = headings
        .flat_map(|line| line.split_whitespace())
        .map(|word| word.trim_end_matches(':'))
        .filter(|word| is_code(word))
        .collect();
    let missing = codes.difference(&sections).map(|c| format!("{DIAGNOSTICS}: no section on {c}"));
    let stale = sections.difference(&codes).map(|c| format!("{DIAGNOSTICS}: there is no {c}"));
    missing.chain(stale).collect()
}

fn quoted_codes(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter(|piece| is_code(piece))
}

/// `E` or `W` and three digits.
fn is_code(word: &str) -> bool {
    let number = word.strip_prefix(['E', 'W']);
    number.is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// C files start with their licence.
pub(super) fn licences(tree: &Tree) -> Vec<Finding> {
    let is_c = |path: &str| matches!(path.rsplit('.').next(), Some("c" | "h"));
    let files = tree.0.iter().filter(|file| is_c(&file.path));
    files
        .filter(|file| !file.path.ends_with("vmlinux.h"))
        .filter(|file| !file.text.lines().next().is_some_and(|line| line.contains(LICENCE)))
        .map(|file| format!("{}: the first line must say {LICENCE}", file.path))
        .collect()
}

/// The changelog has a place for what is not released yet.
pub(super) fn changelog(tree: &Tree) -> Vec<Finding> {
    let page = tree.get("CHANGELOG.md").unwrap_or_default();
    let present = page.lines().any(|line| line == "## [Unreleased]");
    if present { Vec::new() } else { vec!["CHANGELOG.md: no section ## [Unreleased]".into()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_without_an_operation_is_found() {
        let header = "enum kind {\n\tKIND_NONE = 0,\n\tKIND_EXEC = 1,\n\tKIND_NEW = 2, /* x */\n";
        let tree = Tree::of(&[(WIRE, header), (OPERATIONS, "Exec = KIND_EXEC, \"exec\", \"\";\n")]);
        assert_eq!(kinds(&tree), ["crates/model/src/op.rs: no operation for KIND_NEW"]);
    }

    #[test]
    fn diagnostics_and_their_page_must_agree() {
        let source = "Toml, \"E001\", Error, \"x\"; Odd, \"W010\", Warning, \"E 12\";";
        let tree = Tree::of(&[
            ("crates/lang/src/diagnostic.rs", source),
            (DIAGNOSTICS, "# Diagnostics\n## E001: not valid\n## E999: gone\nsee W010\n"),
        ]);
        let expected = [
            "docs/reference/diagnostics.md: no section on W010",
            "docs/reference/diagnostics.md: there is no E999",
        ];
        assert_eq!(diagnostics(&tree), expected);
    }

    #[test]
    fn a_c_file_without_licence_is_found() {
        let text = format!("// {LICENCE}\nint x;\n");
        let tree = Tree::of(&[
            ("a.bpf.c", text.as_str()),
            ("b.h", "int y;\n"),
            ("bpf/vmlinux/vmlinux.h", "int z;\n"),
        ]);
        assert_eq!(licences(&tree), [format!("b.h: the first line must say {LICENCE}")]);
    }

    #[test]
    fn a_changelog_without_unreleased_is_found() {
        assert_eq!(changelog(&Tree::default()).len(), 1);
        assert!(changelog(&Tree::of(&[("CHANGELOG.md", "# x\n\n## [Unreleased]\n")])).is_empty());
    }
}
