//! The command line of `aegisbpf audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;
use crate::policy::STATE_DIR;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Find whether a line was changed, removed, moved or added, and where that begins
    Verify(VerifyArgs),
    /// Print the newest lines
    Tail(TailArgs),
}

/// Options of `audit verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// Directory of the log
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// Public key that must have signed the log: that of `run --audit-key`
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Form of the report
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `audit tail`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TailArgs {
    /// Directory of the log
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// How many lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: usize,
    /// Go on with what is added
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Form of the lines; JSON is as they are in the log
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
