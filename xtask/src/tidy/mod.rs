//! House rules that a program can check. What clippy and rustfmt already check is not repeated.
//!
//! A check is a pure function of the tree's files, so that its test can show it failing.

mod deps;
mod pages;
mod rust;
mod tables;
mod text;

use anyhow::{Context, Result, bail};

use crate::sh;

/// One file of the tree.
#[derive(Debug)]
struct File {
    /// Path below the top directory.
    path: String,
    /// Contents.
    text: String,
}

/// What is wrong and where, one line.
type Finding = String;

/// All files under version control or about to be.
#[derive(Debug, Default)]
struct Tree(Vec<File>);

impl Tree {
    /// Reads the working copy; files that are not text are left out.
    fn read() -> Result<Tree> {
        let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
        let list = sh::capture(sh::cmd("git").args(list)).context("tidy works in a git clone")?;
        let files = list.lines().filter_map(|path| {
            let text = std::fs::read_to_string(sh::at(path)).ok()?;
            Some(File { path: path.to_owned(), text })
        });
        Ok(Tree(files.collect()))
    }

    fn get(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    fn ending(&self, end: &str) -> impl Iterator<Item = &File> {
        self.0.iter().filter(move |file| file.path.ends_with(end))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Tree {
        let file =
            |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Tree(files.iter().map(file).collect())
    }
}

/// Files that a program or somebody else wrote; they follow their rules and not ours.
fn is_made(path: &str) -> bool {
    path.ends_with("/generated.rs")
        || path.ends_with("vmlinux.h")
        || path.contains("/golden/")
        || path.starts_with("LICENSE")
        || path == "Cargo.lock"
}

type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: &[(&str, Check)] = &[
    ("module docs", rust::module_docs),
    ("file sizes", rust::sizes),
    ("unsafe code", rust::unsafe_code),
    ("dependency edges", deps::edges),
    ("dependencies used", deps::unused),
    ("dependencies argued for", deps::argued),
    ("code map", deps::code_map),
    ("wire kinds", tables::kinds),
    ("diagnostics", tables::diagnostics),
    ("licence headers", tables::licences),
    ("changelog", tables::changelog),
    ("white space", text::white_space),
    ("words", text::words),
    ("links", text::links),
    ("anchors", pages::anchors),
    ("claims", pages::claims),
    ("advice on alerts", pages::alerts),
    ("index of pages", pages::index),
];

/// `xtask tidy`
pub(crate) fn command() -> Result<()> {
    let tree = Tree::read()?;
    let mut count = 0;
    for (name, check) in CHECKS {
        for finding in check(&tree) {
            println!("{name}: {finding}");
            count += 1;
        }
    }
    if count > 0 {
        bail!("{count} findings");
    }
    println!("{} files, {} checks: tidy", tree.0.len(), CHECKS.len());
    Ok(())
}
