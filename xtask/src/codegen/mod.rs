//! What is made from something else: the Rust view of `wire.h`, and the reference of fields.
//!
//! What is made is committed, so that nobody needs a C compiler to read or build it, and
//! `--check` fails when it is out of date.

mod btf;
mod header;
mod rust;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::sh;

const HEADER: &str = "crates/kernel/bpf/wire.h";
const ABI: &str = "crates/kernel/bpf/abi.bpf.c";
const GENERATED: &str = "crates/model/src/wire/generated.rs";
const FIELDS: &str = "docs/reference/fields.md";

/// `xtask codegen [--check]`
pub(crate) fn command(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask codegen [--check]"),
    };
    let wire = wire()?;
    let stale = [settle(GENERATED, &wire, check)?, settle(FIELDS, &fields()?, check)?];
    let stale: Vec<&str> = stale.into_iter().flatten().collect();
    if !stale.is_empty() {
        bail!("out of date: {}; run `cargo xtask codegen` and commit", stale.join(", "));
    }
    Ok(())
}

/// Writes a file, or only compares; returns its name when the comparison fails.
fn settle<'a>(name: &'a str, text: &str, check: bool) -> Result<Option<&'a str>> {
    let path = sh::at(name);
    if std::fs::read_to_string(&path).is_ok_and(|present| present == text) {
        return Ok(None);
    }
    if check {
        return Ok(Some(name));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
    println!("wrote {name}");
    Ok(None)
}

/// The Rust view of `wire.h`, formatted.
fn wire() -> Result<String> {
    let dir = sh::target().join("codegen");
    std::fs::create_dir_all(&dir)?;
    let types = btf::parse(&compile(&dir.join("abi.o"))?)?;
    let text = std::fs::read_to_string(sh::at(HEADER)).context(HEADER)?;
    let source = rust::render(&header::parse(&text)?, &types)?;
    let file = dir.join("generated.rs");
    std::fs::write(&file, source)?;
    sh::run(
        sh::cmd("rustfmt").args(["--edition", "2024", "--config-path"]).arg(sh::root()).arg(&file),
    )?;
    std::fs::read_to_string(&file).context("formatted types")
}

/// Compiles the header's types and returns their type information as bpftool prints it.
fn compile(object: &Path) -> Result<String> {
    let clang = ["-target", "bpf", "-g", "-O2", "-Wall", "-Wpadded", "-Werror", "-c", ABI, "-o"];
    sh::capture(sh::cmd("clang-19").args(clang).arg(object))?;
    sh::capture(sh::cmd("bpftool").args(["btf", "dump", "file"]).arg(object))
}

/// The reference of fields, as the rule author's tool prints it.
fn fields() -> Result<String> {
    let kestrel = ["run", "--quiet", "--package", "kestrel", "--", "fields", "-o", "markdown"];
    let text = sh::capture(sh::cargo().args(kestrel))?;
    if !text.contains("process.executable") {
        bail!("`kestrel fields -o markdown` did not print the table of fields");
    }
    Ok(text)
}
