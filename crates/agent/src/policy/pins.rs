//! Where enforcement is pinned, so that it goes on when the agent ends.

use std::path::{Path, PathBuf};

use kernel::enforce::cgroup::Network;
use kernel::enforce::{self, PINS};

use crate::cli::RUNTIME_DIR;

/// Where programs of cgroups are pinned that decide.
pub(crate) fn network(runtime: &Path) -> PathBuf {
    pinned("network", runtime)
}

/// Where isolations from the network are pinned.
pub(crate) fn isolation(runtime: &Path) -> PathBuf {
    pinned("isolate", runtime)
}

/// For each runtime directory its own, since agents may run side by side. A BPF filesystem takes no dots.
fn pinned(what: &str, runtime: &Path) -> PathBuf {
    let mut name = format!("{PINS}-{what}");
    // Whoever names it by another way means the same.
    let runtime = std::path::absolute(runtime).unwrap_or_else(|_| runtime.to_owned());
    if runtime != Path::new(RUNTIME_DIR) {
        name.extend(runtime.to_string_lossy().chars().map(|one| match one {
            one if one.is_ascii_alphanumeric() || one == '-' => one,
            _ => '_',
        }));
    }
    PathBuf::from(name)
}

/// Ends what is pinned, whoever left it; false if nothing was.
pub(crate) fn release(runtime: &Path) -> Result<bool, kernel::Error> {
    let is_pinned = enforce::release(Path::new(PINS))?;
    Ok(Network::release(&network(runtime))? || is_pinned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_directory_has_pins_of_its_own() {
        assert_eq!(network(Path::new(RUNTIME_DIR)), Path::new("/sys/fs/bpf/aegisbpf-network"));
        let other = network(Path::new("/tmp/a.b/run"));
        assert_eq!(other, Path::new("/sys/fs/bpf/aegisbpf-network_tmp_a_b_run"));
        let other = isolation(Path::new("/tmp/a-network/run"));
        assert_eq!(other, Path::new("/sys/fs/bpf/aegisbpf-isolate_tmp_a-network_run"));
    }
}
