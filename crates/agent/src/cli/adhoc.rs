//! The command lines of `aegisbpf block` and `aegisbpf allow`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Output;
use super::policy::{Dirs, duration};

/// Rules made at the command line that deny.
#[derive(Debug, Subcommand)]
pub(crate) enum BlockCommand {
    /// Deny something from now on
    Add(BlockArgs),
    /// Deny it no more
    Del(DelArgs),
    /// Show what is denied so
    List(ListArgs),
}

/// Rules made at the command line that allow.
#[derive(Debug, Subcommand)]
pub(crate) enum AllowCommand {
    /// Allow something for a while, whoever denies it
    Add(AllowArgs),
    /// Allow it no more
    Del(DelArgs),
    /// Show what is allowed so
    List(ListArgs),
}

/// What a rule is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct About {
    /// A path pattern, an address (`192.0.2.1:443`, `10.0.0.0/8`), a DNS name or a SHA-256
    #[arg(value_name = "WHAT")]
    pub(crate) what: String,
    /// Operations [default: read, write, execute of files; connect, send to peers]
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    pub(crate) operations: Vec<String>,
    /// Only for this executable
    #[arg(long = "as", value_name = "PATH")]
    pub(crate) executable: Option<String>,
    /// Why, for those who find it later
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `block add`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BlockArgs {
    /// About what.
    #[command(flatten)]
    pub(crate) about: About,
    /// For how long, as `90s`, `10m`, `2h` or `1d` [default: until it is deleted]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    /// The id that it gets, for the agent: it knows how to undo what it does before it does it
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) id: Option<String>,
    /// Leave out the operations that cannot be denied here, and say so, unless none can
    #[arg(long)]
    pub(crate) where_possible: bool,
}

/// Options of `allow add`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AllowArgs {
    /// About what.
    #[command(flatten)]
    pub(crate) about: About,
    /// For how long, as `90s`, `10m`, `2h` or `1d`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Duration,
}

/// Options of `del`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DelArgs {
    /// The rule, as `list` names it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
    /// Form of the list
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
