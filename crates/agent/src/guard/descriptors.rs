//! How many files the agent may open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::exit::{Exit, Failure};

/// Less is not enough for the programs, maps, links and hooks of a small host, each of which is a descriptor. What
/// the kernel says when one is missing in the middle of loading helps nobody.
const LEAST: u64 = 256;

/// Takes as many as the host lets it have.
pub(super) fn take_all() -> Result<(), Failure> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((LEAST, LEAST));
    let now = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            soft
        }
    };
    if now >= LEAST {
        return Ok(());
    }
    let what = format!("the agent may open {now} files, and needs {LEAST} at least");
    Err(Failure::new(Exit::Failed, what)
        .help("raise the limit: LimitNOFILE= of the unit, or `ulimit -n`"))
}
