//! `kestrel new`: a rule with tests that asks a script, in a language of choice.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::Language;
use crate::output::{self, Status, style};

const RULES: &str = include_str!("../../templates/rules.toml");

/// The files of a language beside the rule file: their names, and what they hold.
fn sources(language: Language) -> &'static [(&'static str, &'static str)] {
    macro_rules! template {
        ($name:literal) => {
            ($name, include_str!(concat!("../../templates/", $name)))
        };
    }
    macro_rules! abi {
        ($name:literal) => {
            ($name, include_str!(concat!("../../../script/abi/", $name)))
        };
    }
    match language {
        Language::C => &[template!("hidden.c"), abi!("kestrel.h")],
        Language::Assemblyscript => &[template!("hidden.ts"), abi!("kestrel.ts")],
        Language::Rust => &[template!("hidden.rs"), abi!("kestrel.rs")],
        Language::Wat => &[template!("hidden.wat")],
        Language::Luau => &[template!("hidden.luau")],
    }
}

/// Writes the files into a directory that has none of them.
pub(crate) fn run(directory: &Path, language: Language) -> io::Result<Status> {
    let extension = if language == Language::Luau { "luau" } else { "wasm" };
    let rules = RULES.replace("EXTENSION", extension);
    let files = std::iter::once(("rules.toml", rules.as_str()));
    let files: Vec<(&str, &str)> = files.chain(sources(language).iter().copied()).collect();
    fs::create_dir_all(directory)?;
    // Nothing is written where something is in the way.
    if let Some((name, _)) = files.iter().find(|(name, _)| directory.join(name).exists()) {
        let path = directory.join(name);
        output::complain(&format!("{}: there is one already; name another directory", path.display()));
        return Ok(Status::Findings);
    }
    for (name, text) in files {
        let path = directory.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(text.as_bytes())?;
        let bold = style::NAME;
        writeln!(anstream::stdout(), "{bold}{}{bold:#}: written", path.display())?;
    }
    let shown = directory.display();
    let next = match language {
        Language::Luau => format!("kestrel test {shown}"),
        _ => format!("kestrel build {shown} && kestrel test {shown}"),
    };
    writeln!(anstream::stdout(), "next: {next}")?;
    Ok(Status::Fine)
}
