//! How a source becomes a script: templates, and the command that builds each language. Nothing is run
//! here; whoever builds says what is installed and runs the command.

use std::path::{Path, PathBuf};

/// A language that scripts can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// C, with clang.
    C,
    /// AssemblyScript, with asc of npm.
    AssemblyScript,
    /// Rust, with rustc.
    Rust,
    /// The text format of WebAssembly.
    Wat,
    /// Luau, which needs no building.
    Luau,
}

/// A file of a template: its path in the new directory, and its text.
pub type File = (&'static str, &'static str);

const HEADER: File = ("src/kestrel.h", include_str!("../abi/kestrel.h"));
const TYPESCRIPT: File = ("src/kestrel.ts", include_str!("../abi/kestrel.ts"));
const RUST: File = ("src/kestrel.rs", include_str!("../abi/kestrel.rs"));

/// What tells an author's machine apart; whoever builds looks it up.
pub trait Tools {
    /// A program in PATH.
    fn find(&self, program: &str) -> Option<PathBuf>;

    /// What a program prints, if it ends well.
    fn output(&self, program: &Path, args: &[&str]) -> Option<String>;

    /// Whether there is such a file.
    fn exists(&self, path: &Path) -> bool;
}

/// How to build a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Build {
    /// Run this program with these arguments.
    Run(PathBuf, Vec<String>),
    /// Call [`assemble`] with the text.
    Assemble,
    /// The source is the script.
    Nothing,
}

/// What is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The tool.
    pub what: &'static str,
    /// How to get it.
    pub install: &'static str,
}

impl Language {
    /// All of them.
    pub const ALL: &'static [Language] =
        &[Language::C, Language::AssemblyScript, Language::Rust, Language::Wat, Language::Luau];

    /// The word used in options and of the directory of its example.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::C => "c",
            Language::AssemblyScript => "assemblyscript",
            Language::Rust => "rust",
            Language::Wat => "wat",
            Language::Luau => "luau",
        }
    }

    /// The language that the word stands for.
    pub fn from_name(word: &str) -> Option<Language> {
        Language::ALL.iter().copied().find(|one| one.as_str() == word)
    }

    /// The language of a source, by the end of its name.
    pub fn of(source: &Path) -> Option<Language> {
        match source.extension()?.to_str()? {
            "c" => Some(Language::C),
            "ts" => Some(Language::AssemblyScript),
            "rs" => Some(Language::Rust),
            "wat" => Some(Language::Wat),
            "luau" => Some(Language::Luau),
            _ => None,
        }
    }

    /// The files of a new rule: a rule with its tests, the source, and what the source includes.
    pub fn template(self) -> &'static [File] {
        macro_rules! example {
            ($dir:literal, $file:literal $(, $more:expr)?) => {
                &[
                    ("rules/rule.toml", include_str!(concat!("../examples/", $dir, "/rules/rule.toml"))),
                    ($file, include_str!(concat!("../examples/", $dir, "/", $file))),
                    $($more,)?
                ]
            };
        }
        match self {
            Language::C => example!("c", "src/disguise.c", HEADER),
            Language::AssemblyScript => example!("assemblyscript", "src/disguise.ts", TYPESCRIPT),
            Language::Rust => example!("rust", "src/disguise.rs", RUST),
            Language::Wat => example!("wat", "src/disguise.wat"),
            Language::Luau => example!("luau", "rules/disguise.luau"),
        }
    }

    /// How to build a source into a module.
    pub fn build(self, source: &Path, module: &Path, tools: &dyn Tools) -> Result<Build, Missing> {
        let source = source.display().to_string();
        let module = module.display().to_string();
        match self {
            Language::C => c(source, module, tools),
            Language::AssemblyScript => assemblyscript(source, module, tools),
            Language::Rust => rust(source, module, tools),
            Language::Wat => Ok(Build::Assemble),
            Language::Luau => Ok(Build::Nothing),
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The newest of a program that comes in versions.
fn newest(name: &str, tools: &dyn Tools) -> Option<PathBuf> {
    let versions = (14..=24).rev().map(|version| format!("{name}-{version}"));
    tools.find(name).or_else(|| versions.into_iter().find_map(|name| tools.find(&name)))
}

fn c(source: String, module: String, tools: &dyn Tools) -> Result<Build, Missing> {
    let install = "apt-get install clang lld";
    let clang = newest("clang", tools).ok_or(Missing { what: "clang", install })?;
    let linker = newest("wasm-ld", tools).or_else(|| linker_of_rust(tools));
    let linker = linker.ok_or(Missing { what: "wasm-ld, the linker", install })?;
    let mut args = words(&["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wl,--no-entry"]);
    args.push(format!("-fuse-ld={}", linker.display()));
    args.extend(["-o".to_owned(), module, source]);
    Ok(Build::Run(clang, args))
}

/// The linker that rustup installs with each toolchain.
fn linker_of_rust(tools: &dyn Tools) -> Option<PathBuf> {
    let rustc = tools.find("rustc")?;
    let libraries = tools.output(&rustc, &["--print", "target-libdir"])?;
    let linker = Path::new(libraries.trim()).parent()?.join("bin/gcc-ld/wasm-ld");
    tools.exists(&linker).then_some(linker)
}

fn assemblyscript(source: String, module: String, tools: &dyn Tools) -> Result<Build, Missing> {
    let install = "npm install --save-dev assemblyscript@0.28.20";
    let local = Path::new("node_modules/.bin/asc");
    let asc = if tools.exists(local) { Some(local.to_owned()) } else { tools.find("asc") };
    let asc = asc.ok_or(Missing { what: "asc, the compiler of AssemblyScript", install })?;
    let mut args = vec![source, "--outFile".to_owned(), module];
    // No runtime that imports anything: memory is only handed out, a failure is a trap.
    args.extend(words(&["--optimize", "--runtime", "stub", "--use", "abort="]));
    Ok(Build::Run(asc, args))
}

const WASM: &str = "wasm32-unknown-unknown";

fn rust(source: String, module: String, tools: &dyn Tools) -> Result<Build, Missing> {
    let install = "rustup target add wasm32-unknown-unknown, or \
                   apt-get install rustc libstd-rust-dev-wasm32 lld";
    let what = "a rustc that knows wasm32-unknown-unknown";
    // Beside rustup's, Debian's own may be there and know it.
    let debian = PathBuf::from("/usr/bin/rustc");
    let debian = tools.exists(&debian).then_some(debian);
    let knows = |rustc: &PathBuf| {
        let print = ["--print", "target-libdir", "--target", WASM];
        let libraries = tools.output(rustc, &print);
        libraries.is_some_and(|path| tools.exists(Path::new(path.trim())))
    };
    let rustc = tools.find("rustc").into_iter().chain(debian).find(knows);
    let rustc = rustc.ok_or(Missing { what, install })?;
    let mut args = words(&["--target", WASM, "--crate-type", "cdylib", "--edition", "2021"]);
    args.extend(words(&[
        "-O",
        "-C",
        "panic=abort",
        "-C",
        "strip=symbols",
        "-C",
        "link-arg=-zstack-size=16384",
    ]));
    // Objects of an older compiler need a linker of its age.
    let sibling = rustc.with_file_name("wasm-ld-14");
    if tools.exists(&sibling) && rustc.starts_with("/usr/bin") {
        args.extend(["-C".to_owned(), format!("linker={}", sibling.display())]);
    }
    args.extend(["-o".to_owned(), module, source]);
    Ok(Build::Run(rustc, args))
}

/// A module from its text.
#[cfg(feature = "author")]
pub fn assemble(text: &str) -> Result<Vec<u8>, String> {
    wat::parse_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with some programs and files.
    struct Machine(&'static [&'static str]);

    impl Tools for Machine {
        fn find(&self, program: &str) -> Option<PathBuf> {
            let path = Path::new("/bin").join(program);
            self.exists(&path).then_some(path)
        }

        fn output(&self, program: &Path, args: &[&str]) -> Option<String> {
            let wasm = args.contains(&WASM);
            Some(format!("{}/lib{}\n", program.display(), if wasm { "/wasm" } else { "/x/lib" }))
        }

        fn exists(&self, path: &Path) -> bool {
            self.0.iter().any(|known| Path::new(known) == path)
        }
    }

    fn build(language: Language, has: &'static [&'static str]) -> Result<Build, Missing> {
        language.build(Path::new("src/a.x"), Path::new("rules/a.wasm"), &Machine(has))
    }

    #[test]
    fn a_language_is_known_by_its_ending_and_has_a_template_that_names_it() {
        for language in Language::ALL {
            assert_eq!(Language::from_name(language.as_str()), Some(*language));
            let template = language.template();
            let source = template.iter().find_map(|(path, _)| Language::of(Path::new(path)));
            assert_eq!(source, Some(*language));
            assert!(
                template
                    .iter()
                    .any(|(path, text)| *path == "rules/rule.toml" && text.contains("[[script]]"))
            );
        }
        assert_eq!(Language::of(Path::new("a.py")), None);
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_install() {
        assert_eq!(build(Language::C, &[]).unwrap_err().what, "clang");
        assert_eq!(build(Language::C, &["/bin/clang-19"]).unwrap_err().what, "wasm-ld, the linker");
        assert!(
            build(Language::AssemblyScript, &[]).unwrap_err().install.starts_with("npm install")
        );
        let rustc_alone = build(Language::Rust, &["/bin/rustc"]).unwrap_err();
        assert!(rustc_alone.install.contains("rustup target add"));
        assert_eq!(build(Language::Wat, &[]), Ok(Build::Assemble));
        assert_eq!(build(Language::Luau, &[]), Ok(Build::Nothing));
    }

    #[test]
    fn what_is_there_is_used_the_nearest_first() {
        let run = |language, has| match build(language, has) {
            Ok(Build::Run(program, args)) => (program.display().to_string(), args.join(" ")),
            other => panic!("{other:?}"),
        };
        let (clang, args) = run(Language::C, &["/bin/clang-19", "/bin/wasm-ld-14"]);
        assert_eq!(clang, "/bin/clang-19");
        assert!(
            args.contains("-fuse-ld=/bin/wasm-ld-14") && args.ends_with("-o rules/a.wasm src/a.x")
        );
        let linker = "/bin/rustc/lib/x/bin/gcc-ld/wasm-ld";
        let (_, args) =
            run(Language::C, &["/bin/clang", "/bin/rustc", "/bin/rustc/lib/x/bin/gcc-ld/wasm-ld"]);
        assert!(args.contains(linker), "{args}");
        let (asc, _) = run(Language::AssemblyScript, &["node_modules/.bin/asc", "/bin/asc"]);
        assert_eq!(asc, "node_modules/.bin/asc");
        let debian =
            ["/bin/rustc", "/usr/bin/rustc", "/usr/bin/rustc/lib/wasm", "/usr/bin/wasm-ld-14"];
        let (rustc, args) = run(Language::Rust, Box::leak(Box::new(debian)));
        assert_eq!(rustc, "/usr/bin/rustc", "the one that knows the target");
        assert!(args.contains("linker=/usr/bin/wasm-ld-14"));
    }
}
