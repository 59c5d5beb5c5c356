//! The example rule in each language: built as an author would, loaded and asked.

use std::path::{Path, PathBuf};
use std::process::Command;

use model::script::{Kind, Scripts};
use model::value::{List, Node, Value};
use script::author::{self, Build, Language, Tools};

use crate::common::{Bench, script};

/// The version of AssemblyScript's compiler that the example is built with.
const ASSEMBLY_SCRIPT: &str = "assemblyscript@0.28.20";

/// This machine.
struct Here {
    /// Where npm has put what is not in PATH.
    npm: PathBuf,
}

impl Tools for Here {
    fn find(&self, program: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
        dirs.push(self.npm.join("node_modules/.bin"));
        dirs.iter().map(|dir| dir.join(program)).find(|path| path.is_file())
    }

    fn output(&self, program: &Path, args: &[&str]) -> Option<String> {
        let output = Command::new(program).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// Fetches AssemblyScript's compiler once.
fn fetch(here: &Here) {
    if here.find("asc").is_some() {
        return;
    }
    if let Some(npm) = here.find("npm") {
        let dir = here.npm.display().to_string();
        std::fs::create_dir_all(&here.npm).unwrap();
        // Whether it worked is seen by whether it is there.
        let _status = Command::new(npm)
            .args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                &dir,
                ASSEMBLY_SCRIPT,
            ])
            .status();
    }
}

/// Builds a template in a directory of its own; the reason if that cannot be done here.
fn built(language: Language) -> Result<Vec<u8>, String> {
    let here = Here { npm: Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm") };
    if language == Language::AssemblyScript {
        fetch(&here);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut source = None;
    for (path, text) in language.template() {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        if source.is_none() && Language::of(&file) == Some(language) {
            source = Some((file, *text));
        }
    }
    let (source, text) = source.unwrap();
    let module = dir.path().join("rules/disguise.wasm");
    match language.build(&source, &module, &here) {
        Err(missing) => Err(format!("{} is missing: {}", missing.what, missing.install)),
        Ok(Build::Nothing) => Ok(text.as_bytes().to_vec()),
        Ok(Build::Assemble) => Ok(author::assemble(text).unwrap()),
        Ok(Build::Run(program, args)) => {
            let output = Command::new(&program).args(&args).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} {args:?}: {errors}", program.display());
            Ok(std::fs::read(&module).unwrap())
        }
    }
}

/// Builds the example, and asks it about names with and without brackets.
fn works(language: Language) {
    let code = match built(language) {
        Ok(code) => code,
        Err(reason) => {
            println!("SKIP the example in {}: {reason}", language.as_str());
            return;
        }
    };
    let kind = if language == Language::Luau { Kind::Lua } else { Kind::Wasm };
    let mut example = script(kind, &code, &["as_kernel_thread"]);
    // What its rule file declares: one field, nothing asked for.
    example.fields = vec![model::field::PROCESS_EXECUTABLE];
    (example.regexes, example.globs) = (Vec::new(), Vec::new());
    example.asks = model::capability::Capabilities::NONE;
    example.may = model::capability::Capabilities::ALERT;
    let mut bench = Bench::sound(vec![example]);
    let asked = |args: &'static [u8]| [Value::List(List::Nul(args))];
    assert!(bench.ask(0, &asked(b"[kworker/0:1]\0-x\0")));
    let said = bench.runtime.said(0).unwrap();
    assert_eq!(said.alerts[0].message, "a program calls itself a kernel thread");
    let path = Node::Str(b"/tmp/x".as_slice().into());
    assert_eq!(said.alerts[0].fields, [("executable".to_owned(), path)]);
    for other in [&b"kworker/0:1\0"[..], b"[kworker/0:1\0", b"[]\0", b"\0", b""] {
        assert!(!bench.ask(0, &asked(other)));
    }
    assert!(!bench.ask(0, &[Value::Null]), "no arguments at all");
    assert!(bench.ask(0, &asked(b"[x]\0")));
    assert_eq!(bench.runtime.incidents(), []);
}

#[test]
fn the_example_in_c_works() {
    works(Language::C);
}

#[test]
fn the_example_in_assemblyscript_works() {
    works(Language::AssemblyScript);
}

#[test]
fn the_example_in_rust_works() {
    works(Language::Rust);
}

#[test]
fn the_example_in_wat_works() {
    works(Language::Wat);
}

#[test]
fn the_example_in_luau_works() {
    works(Language::Luau);
}
