//! The command line of `aegisbpf quarantine`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;
use crate::policy::STATE_DIR;

/// Files that are moved aside.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List the files in quarantine
    List(ListArgs),
    /// Move a file aside: nobody runs or reads it until it is restored
    Take(TakeArgs),
    /// Give a file back, exactly as it was
    Restore(RestoreArgs),
    /// Remove a file in quarantine for good
    Delete(DeleteArgs),
}

/// What the commands share.
#[derive(Debug, Clone, Args)]
pub(crate) struct VaultArgs {
    /// State directory of the agent, where the quarantine is
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
}

/// Options of `quarantine list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Where the quarantine is.
    #[command(flatten)]
    pub(crate) vault: VaultArgs,
    /// Form of the list
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `quarantine take`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TakeArgs {
    /// Which file; no link is followed
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Take it only if this is its inode
    #[arg(long, value_name = "N")]
    pub(crate) inode: Option<u64>,
    /// The same of its device, for the agent
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) device: Option<u64>,
    /// The id that it gets, for the agent: it knows how to undo what it does before it does it
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) id: Option<String>,
    /// Why, for those who read the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// File or directory that is never taken; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) protect: Vec<PathBuf>,
    /// Most bytes on disk of one file
    #[arg(long, value_name = "BYTES", default_value_t = crate::guard::quarantine::FILE_BYTES)]
    pub(crate) max_bytes: u64,
    /// Most files in quarantine
    #[arg(long, value_name = "N", default_value_t = crate::guard::quarantine::FILES)]
    pub(crate) max_files: usize,
    /// Where the quarantine is.
    #[command(flatten)]
    pub(crate) vault: VaultArgs,
}

/// Options of `quarantine delete`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeleteArgs {
    /// Its id, as `quarantine list` shows it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Why, for those who read the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Where the quarantine is.
    #[command(flatten)]
    pub(crate) vault: VaultArgs,
}

/// Options of `quarantine restore`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArgs {
    /// Its id, as `quarantine list` shows it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Another path than the one where it was
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<PathBuf>,
    /// Give it back although who had it open wrote to it since
    #[arg(long)]
    pub(crate) changed: bool,
    /// Why, for those who read the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Where the quarantine is.
    #[command(flatten)]
    pub(crate) vault: VaultArgs,
}
