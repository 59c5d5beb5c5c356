//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Checks and tests detection rules
///
/// Data goes to standard output, diagnostics to standard error. Exit status: 0 all is well,
/// 1 findings or failures, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "kestrel", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check rules for errors and likely mistakes
    Check {
        /// Rule files, or directories with *.toml files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Run the tests that rules bring along
    Test {
        /// Rule files, or directories with *.toml files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// List the fields that rules can name
    Fields {
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}
