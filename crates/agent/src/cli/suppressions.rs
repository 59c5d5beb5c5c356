//! The command line of `aegisbpf suppressions`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::policy::Recorded;
use super::{ClientArgs, Output, RUNTIME_DIR};

/// Options of `suppressions`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SuppressionsArgs {
    /// What to do; without it, list those that the running agent knows
    #[command(subcommand)]
    pub(crate) command: Option<SuppressionsCommand>,
    /// What `list` has too.
    #[command(flatten)]
    pub(crate) list: ClientArgs,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SuppressionsCommand {
    /// List those that the running agent knows, and what they covered
    List(ClientArgs),
    /// Print suppressions for the recent alerts of a rule: one for each program, as narrow as they are alike
    Suggest(SuggestArgs),
    /// Say which of the alerts in recordings suppressions would have covered, and which would be left
    Test(TestArgs),
}

/// Options of `suppressions suggest`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SuggestArgs {
    /// The rule, by its id
    #[arg(value_name = "RULE")]
    pub(crate) rule: String,
    /// Why these alerts are not wanted; it stands in what is printed
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// For how many days
    #[arg(long, value_name = "N", default_value_t = 30,
        value_parser = clap::value_parser!(i64).range(1..=365))]
    pub(crate) days: i64,
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
}

/// Options of `suppressions test`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TestArgs {
    /// Files of suppressions, or directories of them
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Where the alerts are.
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
