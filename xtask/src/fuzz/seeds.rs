//! Inputs to begin with: what was once found, our own rules, and published rules where they are
//! at hand (`AEGIS_CORPORA`, or `shared/corpora` beside the repository).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::sh;

/// Writes the seeds of a target into a fresh directory.
pub(super) fn write(target: &str, directory: &Path) -> Result<PathBuf> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let mut number = 0;
    let mut add = |bytes: &[u8]| {
        number += 1;
        fs::write(directory.join(format!("{number:04}")), bytes)
    };
    for file in files(&sh::at("fuzz/regressions").join(target), "") {
        add(&fs::read(file)?)?;
    }
    let (folder, extension) = match target {
        "own_toml" => (sh::at("rules"), "toml"),
        "elastic_toml" => (sh::corpora().join("elastic"), "toml"),
        "sigma_yaml" => (sh::corpora().join("sigma"), "yml"),
        "script" => (sh::at("crates/script/examples"), "luau"),
        "eql_elastic" => (sh::corpora().join("elastic/siem"), "toml"),
        "eql_endpoint" => (sh::corpora().join("elastic/endpoint"), "toml"),
        _ => return Ok(directory.to_owned()),
    };
    for file in files(&folder, extension) {
        let text = fs::read(&file).with_context(|| file.display().to_string())?;
        if target.starts_with("eql_") {
            let text = String::from_utf8_lossy(&text);
            add(query(&text).unwrap_or_default().as_bytes())?;
        } else {
            add(&text)?;
        }
    }
    Ok(directory.to_owned())
}

/// Files below a directory with that ending; none where there is no directory.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if extension.is_empty() || path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The query of a rule file, between its three quotes.
fn query(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("\nquery = ")?;
    let quotes = rest.get(..3)?;
    rest.get(3..)?.split_once(quotes).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_stands_between_its_quotes() {
        assert_eq!(query("a = 1\nquery = '''\nany where x\n'''\n"), Some("\nany where x\n"));
        assert_eq!(query("a = 1\n"), None);
    }

    #[test]
    fn seeds_of_a_target_are_its_regressions_and_more() {
        let directory = sh::target().join("ci/self-test-seeds");
        let written = write("own_toml", &directory).unwrap();
        let own = files(&sh::at("rules"), "toml").len();
        let once = files(&sh::at("fuzz/regressions/own_toml"), "").len();
        assert!(own > 0 && once > 0);
        assert_eq!(files(&written, "").len(), own + once);
    }
}
