//! The command line of `aegisbpf emergency`.

use clap::{Args, Subcommand};

use super::Output;
use super::policy::Dirs;

/// The emergency switch.
#[derive(Debug, Subcommand)]
pub(crate) enum EmergencyCommand {
    /// Switch all enforcement off, at once
    Disable(DisableArgs),
    /// Switch enforcement on again, as it was
    Enable(EnableArgs),
    /// Show whether it is switched off, by whom and why
    Status(StatusArgs),
}

/// Options of `emergency disable`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DisableArgs {
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Leave it off when the agent starts again
    #[arg(long)]
    pub(crate) persist: bool,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `emergency enable`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EnableArgs {
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `emergency status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
