//! Rules and queries of others. `AEGIS_CORPORA` names the folder; else it is looked for beside the
//! repository.
#![expect(clippy::print_stderr, reason = "tests say why they are skipped")]

use std::path::PathBuf;

/// A part of the folder, or `None` with the reason printed.
pub(crate) fn corpora(part: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    let folder = std::env::var_os("AEGIS_CORPORA").map_or(beside, PathBuf::from).join(part);
    if !folder.is_dir() {
        eprintln!("SKIP: no corpora at {}", folder.display());
        return None;
    }
    Some(folder)
}
