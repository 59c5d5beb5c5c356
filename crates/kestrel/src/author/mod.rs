//! The author's side of scripts: `kestrel new` and `kestrel build`. What a language needs is known by
//! the crate that runs scripts; here it is looked for, written and run.

mod build;
mod new;
mod tools;

pub(crate) use build::run as build;
pub(crate) use new::run as new;

use clap::ValueEnum;

/// A language in which scripts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// C, compiled by clang
    C,
    /// AssemblyScript, compiled by asc
    Assemblyscript,
    /// Rust, compiled by rustc
    Rust,
    /// WebAssembly as text, compiled by kestrel itself
    Wat,
    /// Luau, which is not compiled
    Luau,
}

impl From<Language> for script::author::Language {
    fn from(name: Language) -> script::author::Language {
        use script::author::Language as Known;
        match name {
            Language::C => Known::C,
            Language::Assemblyscript => Known::AssemblyScript,
            Language::Rust => Known::Rust,
            Language::Wat => Known::Wat,
            Language::Luau => Known::Luau,
        }
    }
}
