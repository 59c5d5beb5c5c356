//! The command line of `aegisbpf metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::RUNTIME_DIR;

/// Options of `metrics`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MetricsArgs {
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
    /// Answer Prometheus at this address, until a signal ends it; any but one of this host needs `--public`
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Listen for other hosts too: there is neither a password nor TLS
    #[arg(long, requires = "listen")]
    pub(crate) public: bool,
    /// Write them into this file, through one beside it: for the textfile collector of the node exporter
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(crate) file: Option<PathBuf>,
    /// List the figures that there are, as docs/reference/metrics.md has them
    #[arg(long, conflicts_with_all = ["listen", "file"])]
    pub(crate) list: bool,
}
