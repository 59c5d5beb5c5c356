//! Rules that others wrote, with results that others computed. The corpora are no part of this
//! repository: `AEGIS_CORPORA` names their directory, else it is looked for beside the repository.
//! Without them these tests print SKIP and pass.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "helpers of tests: one that panics has failed"
)]

mod classic;
mod elastic;
mod sigma;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// The directory of the corpora.
fn corpora() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora"));
    let path = std::env::var_os("AEGIS_CORPORA").map_or(beside, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIP: no corpora at {}; set AEGIS_CORPORA", path.display());
    None
}

/// How a command ended.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Done {
    /// Standard output, one JSON value a line.
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn kestrel(arguments: &[&str]) -> Done {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_kestrel")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Files below a directory with one of these endings, sorted.
fn files(directory: &str, endings: &[&str]) -> Vec<PathBuf> {
    let Some(corpora) = corpora() else { return Vec::new() };
    let mut found = Vec::new();
    let mut left = vec![corpora.join(directory)];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|end| endings.iter().any(|known| end == *known))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
