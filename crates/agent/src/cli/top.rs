//! The command line of `aegisbpf top`.

use std::path::PathBuf;

use clap::Args;

use super::{Output, RUNTIME_DIR};

/// Options of `top`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArgs {
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
    /// `json`: what would be shown, once, for programs; so it is where there is no terminal
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}
