//! Rules about what depends on what.

use std::collections::BTreeSet;

use super::{Finding, Tree};

/// Which crates of the workspace a crate may use; the code map of ARCHITECTURE.md in a table.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("kernel", &["model"]),
    ("lang", &["model"]),
    ("engine", &["model"]),
    ("files", &["model"]),
    ("policy", &["model"]),
    ("packs", &["model", "lang", "files"]),
    ("script", &["model"]),
    ("capture", &["model", "engine"]),
    (
        "agent",
        &["model", "kernel", "lang", "engine", "files", "packs", "policy", "script", "capture"],
    ),
    ("kestrel", &["model", "lang", "engine", "files", "packs", "script", "capture"]),
    ("fuzz", &["model", "lang", "engine", "kestrel", "packs", "script", "capture"]),
    ("provoke", &["model"]),
    ("evade", &["model", "kernel", "lang", "policy"]),
    ("bench-load", &[]),
    ("bench-peer", &[]),
    ("xtask", &[]),
];

/// Dependencies of which only what their build scripts put out is used.
const BY_BUILD_SCRIPT: &[&str] = &["libbpf-sys"];

/// Names of the dependencies of a manifest, of all its dependency tables.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            inside = table.trim_end_matches(']').ends_with("dependencies");
        } else if inside && !line.starts_with([' ', '#', '\t']) {
            let name = line.split(['=', '.']).next().unwrap_or_default().trim();
            names.extend((!name.is_empty()).then_some(name));
        }
    }
    names
}

/// Crates of the workspace: name and manifest.
fn crates(tree: &Tree) -> Vec<(&str, &str)> {
    let manifests = tree.ending("/Cargo.toml");
    manifests
        .filter_map(|file| {
            let line = file.text.lines().find_map(|line| line.strip_prefix("name = \""))?;
            Some((line.trim_end_matches('"'), file.text.as_str()))
        })
        .collect()
}

/// Crates use only what the code map allows. Tests are not bound by it.
pub(super) fn edges(tree: &Tree) -> Vec<Finding> {
    let crates = crates(tree);
    let names: BTreeSet<&str> = crates.iter().map(|(name, _)| *name).collect();
    let mut findings = Vec::new();
    for (name, manifest) in &crates {
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            findings.push(format!("{name} is not in the table of xtask/src/tidy/deps.rs"));
            continue;
        };
        let used = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for used in dependencies(used).into_iter().filter(|used| names.contains(used)) {
            if !allowed.contains(&used) {
                findings.push(format!("{name} must not depend on {used}"));
            }
        }
    }
    findings
}

/// A crate uses what it declares.
pub(super) fn unused(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in tree.ending("/Cargo.toml") {
        let dir = manifest.path.trim_end_matches("Cargo.toml");
        let inside = tree.ending(".rs").filter(|file| file.path.starts_with(dir));
        let code: Vec<&str> = inside.map(|file| file.text.as_str()).collect();
        for name in dependencies(&manifest.text) {
            let path = format!("{}::", name.replace('-', "_"));
            let used = code.iter().any(|text| text.contains(&path));
            if !used && !BY_BUILD_SCRIPT.contains(&name) {
                findings.push(format!("{}: {name} is not used", manifest.path));
            }
        }
    }
    findings
}

/// Each dependency is used, and ARCHITECTURE.md says why it is there.
pub(super) fn argued(tree: &Tree) -> Vec<Finding> {
    let crates = crates(tree);
    let used: BTreeSet<&str> =
        crates.iter().flat_map(|(_, manifest)| dependencies(manifest)).collect();
    let names: BTreeSet<&str> = crates.iter().map(|(name, _)| *name).collect();
    let page = tree.get("ARCHITECTURE.md").unwrap_or_default();
    let why = page.split("## Dependencies").nth(1).unwrap_or_default();
    let mut findings = Vec::new();
    for name in dependencies(tree.get("Cargo.toml").unwrap_or_default()) {
        if names.contains(name) {
            continue;
        }
        if !used.contains(name) {
            findings.push(format!("Cargo.toml: nobody uses {name}"));
        } else if !why.contains(&format!("`{name}`")) {
            findings.push(format!("ARCHITECTURE.md: no argument for `{name}` in Dependencies"));
        }
    }
    findings
}

/// The code map has a line for each crate.
pub(super) fn code_map(tree: &Tree) -> Vec<Finding> {
    let page = tree.get("ARCHITECTURE.md").unwrap_or_default();
    crates(tree)
        .iter()
        .filter(|(name, _)| !page.contains(&format!("| `{name}` |")))
        .map(|(name, _)| format!("ARCHITECTURE.md: no line for `{name}` in the code map"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: &str =
        "[workspace.dependencies]\nmodel = { path = \"m\" }\nserde = \"1\"\nnix = \"1\"\n";
    const LANG: &str = "[package]\nname = \"lang\"\n\n[dependencies]\nmodel.workspace = true\n\
                        engine = { workspace = true }\nserde = { workspace = true }\n\n\
                        [dev-dependencies]\nkestrel = { workspace = true }\n";

    fn tree(page: &str) -> Tree {
        Tree::of(&[
            ("Cargo.toml", TOP),
            ("ARCHITECTURE.md", page),
            ("crates/lang/Cargo.toml", LANG),
            ("crates/engine/Cargo.toml", "[package]\nname = \"engine\"\n"),
            ("crates/kestrel/Cargo.toml", "[package]\nname = \"kestrel\"\n"),
            ("crates/model/Cargo.toml", "[package]\nname = \"model\"\n"),
        ])
    }

    #[test]
    fn a_forbidden_edge_is_found_but_not_in_tests() {
        assert_eq!(edges(&tree("")), ["lang must not depend on engine"]);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        let tree = Tree::of(&[("crates/new/Cargo.toml", "name = \"new\"\n")]);
        assert_eq!(edges(&tree), ["new is not in the table of xtask/src/tidy/deps.rs"]);
    }

    #[test]
    fn a_declared_dependency_must_appear_in_the_code() {
        let manifest = "name = \"lang\"\n[dependencies]\nserde-json = \"1\"\nnix = \"1\"\n";
        let tree = Tree::of(&[
            ("crates/lang/Cargo.toml", manifest),
            ("crates/lang/src/lib.rs", "use serde_json::Value;\n"),
            ("crates/other/src/lib.rs", "use nix::x;\n"),
        ]);
        assert_eq!(unused(&tree), ["crates/lang/Cargo.toml: nix is not used"]);
    }

    #[test]
    fn unused_and_unargued_dependencies_are_found() {
        let expected = [
            "ARCHITECTURE.md: no argument for `serde` in Dependencies",
            "Cargo.toml: nobody uses nix",
        ];
        assert_eq!(argued(&tree("`serde`\n## Dependencies\n")), expected);
        let left = argued(&tree("## Dependencies\n| `serde` | why |\n"));
        assert_eq!(left, ["Cargo.toml: nobody uses nix"]);
    }

    #[test]
    fn a_crate_without_a_line_in_the_code_map_is_found() {
        let found = code_map(&tree("| `lang` | x |\n| `model` | x |\n| `engine` | x |\n"));
        assert_eq!(found, ["ARCHITECTURE.md: no line for `kestrel` in the code map"]);
    }
}
