//! The command line of `aegisbpf incidents`.

use std::path::PathBuf;

use clap::Args;

use super::{Output, RUNTIME_DIR};

/// Options of `incidents`.
#[derive(Debug, Clone, Args)]
pub(crate) struct IncidentsArgs {
    /// Tell all that is known of this one, or of the only one whose id begins so
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Only those that go on
    #[arg(long, conflicts_with = "id")]
    pub(crate) open: bool,
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
