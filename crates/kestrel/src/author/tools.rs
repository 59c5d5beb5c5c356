//! What is installed on the author's machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use script::author::Tools;

/// This machine.
pub(super) struct Here;

impl Tools for Here {
    fn find(&self, program: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|one| one.join(program)).find(|one| one.is_file())
    }

    fn output(&self, program: &Path, args: &[&str]) -> Option<String> {
        let done = Command::new(program).args(args).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}
