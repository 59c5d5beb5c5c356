//! The command line of `aegisbpf isolate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use kernel::isolate::Peer;

use super::Output;
use super::policy::{Dirs, duration};

/// The network, cut off.
#[derive(Debug, Subcommand)]
pub(crate) enum IsolateCommand {
    /// Cut this host, or one cgroup, off the network for a while
    Begin(BeginArgs),
    /// End it before its time
    End(EndArgs),
    /// Show what is cut off, for how long still, and what was dropped
    Status(StatusArgs),
}

/// Options of `isolate begin`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BeginArgs {
    /// For how long, as `90s`, `10m`, `2h` or `1d`; at most 7d
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) limit: Duration,
    /// Peer that stays within reach: an address, one with a port, or a network; may be given several times.
    /// Where you are connected from by SSH is one without being named
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub(crate) allow: Vec<Peer>,
    /// Only the processes of this cgroup and below
    #[arg(long, value_name = "DIR")]
    pub(crate) cgroup: Option<PathBuf>,
    /// Why, for those who read the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `isolate end`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EndArgs {
    /// Only the one of this name, as `status` shows it
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Why, for those who read the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `isolate status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
