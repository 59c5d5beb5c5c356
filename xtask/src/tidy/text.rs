//! Rules about any text.

use super::{File, Finding, Tree, is_made};

/// Patterns that must not be in a file. Each is split in two, or this file would contain it.
const BANNED: &[(&str, &str, &str)] = &[
    ("/wo", "rk/main", "a path of one machine"),
    ("/wo", "rk/shared", "a path of one machine"),
    ("/tmp/br", "ief", "a path of one machine"),
    ("TO", "DO", "work left over: do it, or describe it in an issue"),
    ("FIX", "ME", "work left over: do it, or describe it in an issue"),
    ("todo", "!(", "work left over"),
    ("unimple", "mented!(", "work left over"),
    ("#[ig", "nore", "a test that does not run: let it print SKIP and why"),
    ("#[should", "_panic", "assert the error instead"),
];

/// Lines end without white space, files with one newline.
pub(super) fn white_space(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| !is_made(&file.path) && !file.text.is_empty()) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if line.ends_with([' ', '\t', '\r']) {
                findings.push(format!("{}:{number}: white space at the end", file.path));
            }
        }
        if !file.text.ends_with('\n') || file.text.ends_with("\n\n") {
            findings.push(format!("{}: must end with one newline", file.path));
        }
    }
    findings
}

/// Nothing that belongs in no file.
pub(super) fn words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| !is_made(&file.path)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for (head, tail, why) in BANNED {
                if line.contains(&format!("{head}{tail}")) {
                    findings.push(format!("{}:{number}: `{head}{tail}`: {why}", file.path));
                }
            }
        }
    }
    findings
}

/// Links between pages lead somewhere.
pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let pages = tree.ending(".md");
    pages.flat_map(|page| targets(page).filter_map(|target| dead(tree, page, target))).collect()
}

/// What stands in `](…)`.
pub(super) fn targets(page: &File) -> impl Iterator<Item = &str> {
    let pieces = page.text.split("](").skip(1);
    pieces.filter_map(|piece| piece.split_once(')').map(|(target, _)| target))
}

fn dead(tree: &Tree, page: &File, target: &str) -> Option<Finding> {
    if target.contains("://")
        || target.starts_with(['#', '<'])
        || target.contains(char::is_whitespace)
    {
        return None;
    }
    let target = target.split('#').next().unwrap_or_default();
    let path = resolve(&page.path, target);
    let directory = format!("{path}/");
    let exists = tree.0.iter().any(|file| file.path == path || file.path.starts_with(&directory));
    (!exists).then(|| format!("{}: link to {target}, which is not there", page.path))
}

/// The path that a relative link of a page means.
pub(super) fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_end_is_found() {
        let tree = Tree::of(&[("a.md", "x \ny\n"), ("b.md", "x"), ("c.md", "x\n\n")]);
        let expected = [
            "a.md:1: white space at the end",
            "b.md: must end with one newline",
            "c.md: must end with one newline",
        ];
        assert_eq!(white_space(&tree), expected);
    }

    #[test]
    fn every_banned_pattern_is_found() {
        for (head, tail, why) in BANNED {
            let text = format!("fine\n  {head}{tail} here\n");
            let found = words(&Tree::of(&[("a.rs", text.as_str())]));
            assert_eq!(found, [format!("a.rs:2: `{head}{tail}`: {why}")]);
        }
    }

    #[test]
    fn a_dead_link_is_found() {
        let page = "[a](../README.md#top) [b](https://x.y/z) [c](missing.md) [d](ref/)\n";
        let tree = Tree::of(&[("docs/a.md", page), ("README.md", "x\n"), ("docs/ref/b.md", "x\n")]);
        assert_eq!(links(&tree), ["docs/a.md: link to missing.md, which is not there"]);
    }
}
