//! `kestrel build`: the modules of a directory, `rules/NAME.wasm` of each source `src/NAME.*`.
//!
//! Compilers are those that are installed; what is missing is said with what to install.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use script::author::{Build, Language, Missing, assemble};

use super::tools::Here;
use crate::output::{self, Status, style};

/// Where sources are, and where modules go.
const SOURCES: &str = "src";
const MODULES: &str = "rules";
/// Names of sources that are parts of others.
const PARTS: &[&str] = &["kestrel"];
/// Letters of what a compiler says that are shown.
const SAID_MAX: usize = 4_000;

/// Builds all modules of a directory.
pub(crate) fn run(directory: &Path) -> io::Result<Status> {
    let sources = match sources(directory) {
        Ok(sources) => sources,
        Err(error) => {
            output::complain(&format!("{}: {error}", directory.join(SOURCES).display()));
            return Ok(Status::Findings);
        }
    };
    if sources.is_empty() {
        let place = directory.join(SOURCES);
        output::complain(&format!("{}: no source (*.c, *.ts, *.rs, *.wat)", place.display()));
        return Ok(Status::Findings);
    }
    let mut fine = true;
    for (module, sources) in sources {
        match built(&module, &sources) {
            Ok(size) => {
                let (bold, shown) = (style::NAME, module.display());
                writeln!(anstream::stdout(), "{bold}{shown}{bold:#}: {size} bytes")?;
            }
            Err(why) => {
                output::complain(&format!("{}: {why}", module.display()));
                fine = false;
            }
        }
    }
    Ok(if fine { Status::Fine } else { Status::Findings })
}

/// The modules, and the sources that each can be made of.
fn sources(directory: &Path) -> io::Result<BTreeMap<PathBuf, Vec<PathBuf>>> {
    let mut all: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(directory.join(SOURCES))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let compiled = Language::of(&path).is_some_and(|one| one != Language::Luau);
        if compiled && !PARTS.contains(&name) {
            let module = directory.join(MODULES).join(name).with_extension("wasm");
            all.entry(module).or_default().push(path);
        }
    }
    Ok(all)
}

/// Makes a module of its source. Nothing of it goes through a shell.
fn built(module: &Path, sources: &[PathBuf]) -> Result<u64, String> {
    let [source] = sources else {
        let names: Vec<String> = sources.iter().map(|one| one.display().to_string()).collect();
        return Err(format!("{} are all sources of it: keep one", names.join(", ")));
    };
    let plain = |error: io::Error| error.to_string();
    if let Some(parent) = module.parent() {
        fs::create_dir_all(parent).map_err(plain)?;
    }
    let Some(language) = Language::of(source) else { return Err("no known language".to_owned()) };
    match language.build(source, module, &Here) {
        Err(Missing { what, install }) => {
            return Err(format!("{what} is missing to build {}: {install}", source.display()));
        }
        Ok(Build::Nothing) => {}
        Ok(Build::Assemble) => {
            let bytes = assemble(&fs::read_to_string(source).map_err(plain)?)?;
            fs::write(module, bytes).map_err(plain)?;
        }
        Ok(Build::Run(program, args)) => {
            let shown = program.display();
            let done = Command::new(&program).args(args).output();
            let done = done.map_err(|error| format!("{shown}: {error}"))?;
            if !done.status.success() {
                let said = String::from_utf8_lossy(&done.stderr);
                let said: String = said.trim().chars().take(SAID_MAX).collect();
                return Err(format!("{shown} failed\n{said}"));
            }
        }
    }
    fs::metadata(module).map(|about| about.len()).map_err(plain)
}
