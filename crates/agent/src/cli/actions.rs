//! The command line of `aegisbpf actions`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::Output;
use super::policy::{Dirs, duration};

/// Options of `actions`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ActionsArgs {
    /// What to do; without it, list them.
    #[command(subcommand)]
    pub(crate) command: Option<ActionsCommand>,
    /// Sum up what enforcing would have done, by rule, program and user
    #[arg(long)]
    pub(crate) would: bool,
    /// What `list` has too.
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ActionsCommand {
    /// List what was done because rules matched, the oldest first
    List(ListArgs),
    /// Tell all that is known of one
    Show {
        /// Its number
        #[arg(value_name = "ID")]
        id: u64,
        /// Where and how.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Undo what is in effect
    Rollback(RollbackArgs),
    /// Let rules act again after they asked for too much at once
    Resume {
        /// Why, for those who read the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Directories.
        #[command(flatten)]
        dirs: Dirs,
    },
}

/// Options of `actions list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// How many, the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) lines: usize,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `actions rollback`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "rule", "since"])))]
pub(crate) struct RollbackArgs {
    /// Number of the action
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u64>,
    /// All of this rule
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// All of the last `90s`, `10m`, `2h` or `1d`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Why, for those who read the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
