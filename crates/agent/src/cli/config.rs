//! The command line of `aegisbpf config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Find out whether an agent could be started with what is configured
    Check(ConfigArgs),
    /// Show what is configured
    Show(ShowArgs),
    /// Print the JSON schema of the files
    Schema,
}

/// Which files.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// Only this file, instead of those of the host
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Options of `config show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// Which files.
    #[command(flatten)]
    pub(crate) files: ConfigArgs,
    /// Also where each value comes from
    #[arg(long)]
    pub(crate) origin: bool,
    /// Form of the list
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
