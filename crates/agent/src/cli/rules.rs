//! The command line of `aegisbpf rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ClientArgs, Output, RUNTIME_DIR};
use crate::policy::STATE_DIR;

/// Options of `rules`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RulesArgs {
    /// What to do; without it, list them.
    #[command(subcommand)]
    pub(crate) command: Option<RulesCommand>,
    /// How to reach the agent.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What can be done about rules that run.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RulesCommand {
    /// Ask a script again that is in quarantine
    Release {
        /// Its name
        #[arg(value_name = "NAME")]
        script: String,
        /// Why, for those who read the audit log
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Runtime directory of the agent
        #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
        runtime_dir: PathBuf,
    },
    /// Load a pack that was refused for one that was loaded before: it is older, or of another owner
    Accept {
        /// Its id
        #[arg(value_name = "PACK")]
        pack: String,
        /// Say that the older one is meant
        #[arg(long, required = true)]
        older: bool,
        /// Why, for those who read the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Runtime directory of the agent
        #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
        runtime_dir: PathBuf,
    },
    /// Show the rules that were in force, since when, why, and what changed
    History(HistoryArgs),
    /// Run the rules of before again, or those of a generation, whatever the directories hold
    Rollback {
        /// The generation, as `history` numbers them; without it, the one before
        #[arg(value_name = "GENERATION")]
        generation: Option<u64>,
        /// Why, for those who read the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Runtime directory of the agent
        #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
        runtime_dir: PathBuf,
    },
    /// Run what the directories hold, after a rollback or after rules that broke
    Follow {
        /// Runtime directory of the agent
        #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
        runtime_dir: PathBuf,
    },
}

/// Options of `rules history`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryArgs {
    /// Where generations of rules are kept
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
