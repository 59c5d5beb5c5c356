//! Alerts on their way to other machines and programs, so that none is lost while a receiver is slow or away.
//!
//! ```text
//! worker ──> spool on disk ──> forwarder, a thread an output ──> file, journald
//!                                        └──> sender, a process as nobody ──> syslog, HTTP, OTLP
//! ```
//!
//! The worker reads rules of strangers and has no network, so it only writes the spool. The forwarder knows no rule
//! and speaks to nobody: it reads the spool, hands over what it read, and moves a cursor on the disk when that has
//! arrived. What a server answers is read by a process that owns nothing.
//!
//! | module | holds |
//! |---|---|
//! | `target` | where to and how, as an operator writes it |
//! | `spool` | the log on disk: bounded, of whole lines, numbered |
//! | `item` | a line on its way, and the forms that it can have |
//! | `forwarder` | the process that moves the cursors |
//! | `progress` | what an output tells of itself |
//! | `sender` | the process that has the network, and the words that the two exchange |
//! | `sink` | one file a kind of receiver |

mod forwarder;
mod item;
mod progress;
mod sender;
mod sink;
pub(crate) mod spool;
pub(crate) mod target;

pub(crate) use forwarder::run as forward;
pub(crate) use sender::run as send;

use std::path::{Path, PathBuf};

/// Outputs at the same time: each is a thread, and most are a process.
pub(crate) const OUTPUTS_MAX: usize = 16;
/// Bytes that a forwarder says of all its outputs at once.
pub(crate) const FIGURES_MAX: usize = 64 << 10;

/// Where the spool is, in the state directory of the worker.
pub(crate) fn spool_directory(state: &Path) -> PathBuf {
    state.join("spool")
}

/// Where the cursors are, in the state directory of the guard: the worker has no part in what the forwarder writes.
fn directory(state: &Path) -> PathBuf {
    state.join("outputs")
}
