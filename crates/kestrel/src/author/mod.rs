//! The author's side of scripts: `kestrel new` and `kestrel build`.

mod build;
mod new;

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

impl Language {
    const ALL: &'static [Language] =
        &[Language::C, Language::Assemblyscript, Language::Rust, Language::Wat];

    /// The ending of its sources.
    fn ending(self) -> &'static str {
        match self {
            Language::C => "c",
            Language::Assemblyscript => "ts",
            Language::Rust => "rs",
            Language::Wat => "wat",
            Language::Luau => "luau",
        }
    }
}
