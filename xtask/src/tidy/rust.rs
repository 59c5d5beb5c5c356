//! Rules about source files.

use super::{File, Finding, Tree, is_made};

/// Longest source file in lines. Beyond it a file holds more than one idea.
const MAX_LINES: usize = 500;

/// Files that may be longer, and why.
const LONG: &[(&str, &str)] = &[];

/// The only crate that may say `unsafe`.
const UNSAFE_CRATE: &str = "crates/kernel/";
/// Runs inside a sandbox and is part of no program of ours: to call the host is unsafe there.
const GUEST: &str = "crates/script/examples/rust/";

/// Each file says what it is for.
pub(super) fn module_docs(tree: &Tree) -> Vec<Finding> {
    let first =
        |file: &File| file.text.lines().find(|line| !line.trim().is_empty()).map(str::to_owned);
    tree.ending(".rs")
        .filter(|file| !first(file).is_some_and(|line| line.starts_with("//!")))
        .map(|file| format!("{}: the first line is no module doc (//!)", file.path))
        .collect()
}

/// No source file is too long; no exception outlives its need.
pub(super) fn sizes(tree: &Tree) -> Vec<Finding> {
    sizes_with(tree, LONG)
}

fn sizes_with(tree: &Tree, long: &[(&str, &str)]) -> Vec<Finding> {
    let source = |path: &str| [".rs", ".c", ".h"].iter().any(|end| path.ends_with(end));
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| source(&file.path) && !is_made(&file.path)) {
        let lines = file.text.lines().count();
        let excused = long.iter().any(|(path, _)| *path == file.path);
        if lines > MAX_LINES && !excused {
            findings.push(format!("{}: {lines} lines, at most {MAX_LINES}", file.path));
        } else if lines <= MAX_LINES && excused {
            findings.push(format!("{}: short enough, needs no exception", file.path));
        }
    }
    findings
}

/// Crates forbid unsafe code, all but one, and no test or build script slips past.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let may = |file: &&File| [UNSAFE_CRATE, GUEST].iter().any(|dir| file.path.starts_with(dir));
    for file in tree.ending(".rs").filter(|file| !may(file)) {
        let top = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
        if top && !file.text.contains("#![forbid(unsafe_code)]") {
            findings.push(format!("{}: lacks #![forbid(unsafe_code)]", file.path));
        }
        for (number, line) in (1..).zip(file.text.lines()) {
            if says_unsafe(line) {
                findings.push(format!("{}:{number}: unsafe outside {UNSAFE_CRATE}", file.path));
            }
        }
    }
    findings
}

fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line).trim_start();
    let starts = ["{", "fn ", "impl ", "extern "];
    code.split_once("unsafe ").is_some_and(|(before, after)| {
        !before.contains('"') && starts.iter().any(|start| after.starts_with(start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_docs_is_found() {
        let tree = Tree::of(&[("a.rs", "\n//! Says.\nfn x() {}\n"), ("b.rs", "fn y() {}\n")]);
        assert_eq!(module_docs(&tree), ["b.rs: the first line is no module doc (//!)"]);
    }

    #[test]
    fn a_long_file_is_found_unless_made_or_excused() {
        let long = "x\n".repeat(MAX_LINES + 1);
        let tree = Tree::of(&[
            ("a.rs", long.as_str()),
            ("b.bpf.c", long.as_str()),
            ("wire/generated.rs", long.as_str()),
            ("c.rs", "short\n"),
            ("d.md", long.as_str()),
        ]);
        let found = sizes_with(&tree, &[("b.bpf.c", "why"), ("c.rs", "why")]);
        let expected = ["a.rs: 501 lines, at most 500", "c.rs: short enough, needs no exception"];
        assert_eq!(found, expected);
    }

    #[test]
    fn unsafe_code_is_found_outside_its_crate() {
        let block = "#![forbid(unsafe_code)]\nfn x() { unsafe { y() } }\n";
        let tree = Tree::of(&[
            ("crates/kernel/src/lib.rs", block),
            ("crates/model/src/lib.rs", "//! unsafe { in words }\n"),
            ("crates/model/tests/t.rs", block),
            ("crates/script/examples/rust/src/x.rs", block),
        ]);
        let expected = [
            "crates/model/src/lib.rs: lacks #![forbid(unsafe_code)]",
            "crates/model/tests/t.rs:2: unsafe outside crates/kernel/",
        ];
        assert_eq!(unsafe_code(&tree), expected);
    }
}
