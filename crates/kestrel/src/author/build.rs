//! `kestrel build`: the modules that rule files name, from the sources beside them.
//!
//! Compilers are those that are installed; what is missing is said with what to install. WebAssembly
//! as text needs none.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use model::script::Kind;

use super::Language;
use crate::output::{self, Status, style};
use crate::rules;

/// Letters of what a compiler says that are shown.
const SAID_MAX: usize = 4_000;

/// Builds all modules of a directory.
pub(crate) fn run(directory: &Path) -> io::Result<Status> {
    let (texts, unread) = rules::read(&[directory.to_owned()], &["toml"]);
    for error in &unread {
        output::complain(error);
    }
    let loaded = lang::load(texts);
    let mut fine = unread.is_empty();
    let mut modules: Vec<PathBuf> = Vec::new();
    for (script, origin) in loaded.program.scripts.iter().zip(&loaded.scripts) {
        let beside = Path::new(&origin.file).parent().unwrap_or(Path::new("."));
        let path = beside.join(&script.file);
        if script.kind == Kind::Wasm && !modules.contains(&path) {
            modules.push(path);
        }
    }
    if modules.is_empty() && fine {
        writeln!(anstream::stdout(), "no rule names a module: there is nothing to build")?;
    }
    for module in modules {
        match built(&module) {
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

/// Makes a module of the source that has its name.
fn built(module: &Path) -> Result<u64, String> {
    let sources = Language::ALL.iter().map(|one| (*one, module.with_extension(one.ending())));
    let there: Vec<(Language, PathBuf)> = sources.filter(|(_, path)| path.is_file()).collect();
    let (language, source) = match there.as_slice() {
        [one] => one,
        [] => {
            let endings: Vec<&str> = Language::ALL.iter().map(|one| one.ending()).collect();
            return Err(format!("no source beside it (.{})", endings.join(", .")));
        }
        [(_, one), (_, two), ..] => {
            let (one, two) = (one.display(), two.display());
            return Err(format!("{one} and {two} are both sources of it: keep one"));
        }
    };
    if *language == Language::Wat {
        let bytes = wat::parse_file(source).map_err(|error| error.to_string())?;
        std::fs::write(module, bytes).map_err(|error| error.to_string())?;
    } else {
        compile(*language, source, module)?;
    }
    std::fs::metadata(module).map(|about| about.len()).map_err(|error| error.to_string())
}

/// A compiler: its names, what it is told, and what to install if there is none.
struct Compiler {
    names: &'static [&'static str],
    options: &'static [&'static str],
    install: &'static str,
}

fn compiler(language: Language) -> Compiler {
    match language {
        Language::C => Compiler {
            names: &["clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-14"],
            options: &["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wl,--no-entry"],
            install: "the packages clang and lld",
        },
        Language::Rust => Compiler {
            names: &["rustc"],
            options: &[
                "--target=wasm32-unknown-unknown",
                "--crate-type=cdylib",
                "-Copt-level=s",
                "-Cpanic=abort",
                "-Cstrip=symbols",
            ],
            install: "rustc and its target wasm32-unknown-unknown (rustup target add)",
        },
        Language::Assemblyscript => Compiler {
            names: &["asc", "node_modules/.bin/asc"],
            options: &["--runtime", "stub", "-O", "--noAssert", "--use", "abort="],
            install: "the npm package assemblyscript",
        },
        Language::Wat | Language::Luau => Compiler { names: &[], options: &[], install: "nothing" },
    }
}

/// Runs the first compiler that is there. Nothing of it goes through a shell.
fn compile(language: Language, source: &Path, module: &Path) -> Result<(), String> {
    let Compiler { names, options, install } = compiler(language);
    for name in names {
        let done = Command::new(name).args(options).arg(source).arg("-o").arg(module).output();
        let done = match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            done => done.map_err(|error| format!("{name}: {error}"))?,
        };
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let said: String = said.trim().chars().take(SAID_MAX).collect();
        return Err(format!("{name} failed; it needs {install}\n{said}"));
    }
    Err(format!("no compiler for {}: install {install}", source.display()))
}
