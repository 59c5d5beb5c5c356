//! Self-protection: what of this host is the agent's, besides its processes.

use std::path::{Path, PathBuf};

use kernel::enforce::{Enforcer, Protection};

use crate::cli::RunArgs;

/// Where policies, rules and keys of the agent are, if nothing else is said.
const CONFIGURATION: &[&str] = &["/etc/aegisbpf", "/usr/lib/aegisbpf"];
/// Directories of units, and what belongs to ours there.
const UNITS: &[&str] = &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const UNIT: &[&str] = &["aegisbpf.service", "aegisbpf.service.d"];

/// What the operator said about it.
#[derive(Debug)]
pub(super) struct Protect {
    deny: bool,
    files: Vec<PathBuf>,
}

impl Protect {
    pub(super) fn of(args: &RunArgs) -> Protect {
        let units = UNITS.iter().flat_map(|at| UNIT.iter().map(|unit| Path::new(at).join(unit)));
        let mut files: Vec<PathBuf> =
            CONFIGURATION.iter().map(PathBuf::from).chain(units).collect();
        files.extend(args.policy.iter().chain(&args.rules).cloned());
        files.extend([args.state_dir.clone(), args.runtime_dir.clone()]);
        // The kernel is told of what the paths lead to, and of the directories above that.
        let files = files.iter().filter_map(|path| path.canonicalize().ok()).collect();
        Protect { deny: args.self_protect, files }
    }

    /// Whether others are to be denied, not only told of.
    pub(super) fn denies(&self) -> bool {
        self.deny
    }

    /// Tells the programs what is the agent's.
    pub(super) fn begin(&self, enforcer: &Enforcer) -> Result<(), String> {
        let mode = if self.deny { Protection::Deny } else { Protection::Report };
        let begun = enforcer.protect(&self.files, mode);
        begun.map_err(|error| format!("self-protection: {error}"))
    }
}
