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
    let header = std::fs::read_to_string(sh::at(HEADER)).context(HEADER)?;
    let items = header::parse(&header)?;
    let types = btf::parse(&compile(&dir, &items)?)?;
    let file = dir.join("generated.rs");
    std::fs::write(&file, rust::render(&items, &types)?)?;
    let mut format = sh::cmd("rustfmt");
    sh::run(format.args(["--edition", "2024", "--config-path"]).arg(sh::root()).arg(&file))?;
    std::fs::read_to_string(&file).context("formatted types")
}

/// Compiles one global of each type, and returns the type information as bpftool prints it.
fn compile(dir: &Path, items: &[header::Item]) -> Result<String> {
    let (source, object) = (dir.join("types.c"), dir.join("types.o"));
    std::fs::write(&source, header::globals(items))?;
    let include = sh::at(HEADER).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut clang = sh::cmd("clang-19");
    // Padding that nobody wrote down would carry bytes of kernel memory to user space.
    clang.args(["-target", "bpf", "-g", "-O2", "-Wall", "-Wpadded", "-Werror", "-I"]);
    sh::capture(clang.arg(include).arg("-c").arg(source).arg("-o").arg(&object))?;
    sh::capture(sh::cmd("bpftool").args(["btf", "dump", "file"]).arg(object))
}

const FIELDS_HEAD: &str = "\
# Fields

Every field that a rule can name and an event can have. Names and types are those of the Elastic Common
Schema; what it lacks has `Ext` in its name. A field that a host cannot know is absent, never made up.

The columns of tiers tell which source fills a field, called as in `event.provider`: where BPF LSM programs attach
(`lsm`), and where they do not (`fallback`; in the tier `observe` what cgroup programs tell is missing too). `-` means that
no source there can tell. `aegisbpf doctor` says which tier a host is in.

Made by `cargo xtask codegen` from what `aegisbpf fields` prints. Do not edit.

";

/// The reference of fields, as the agent prints it.
fn fields() -> Result<String> {
    sh::build_release()?;
    let mut agent = sh::cmd(sh::release("aegisbpf"));
    let text = sh::capture(agent.args(["fields", "--output", "markdown"]))?;
    if !text.contains("process.executable") {
        bail!("`aegisbpf fields --output markdown` did not print the table of fields");
    }
    Ok(format!("{FIELDS_HEAD}{text}"))
}
