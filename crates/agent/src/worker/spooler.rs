//! The queue to the spool, for outputs that are not this process: a thread that writes what they are to be told.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::output::Output;
use crate::cli::record::History;
use crate::exit::Failure;
use crate::outputs::{spool::Spool, spool_directory};
use crate::render::health;
use crate::seccomp::Kind;

/// How long is waited for a disk that does not take what is written.
const RETRY: Duration = Duration::from_millis(200);

/// Starts its thread. The spool is opened when there is something to write: while the agent changes its options
/// the worker before this one still writes it.
pub(super) fn start(state: &Path, bounds: History) -> Result<Output, Failure> {
    let dir = spool_directory(state);
    let mut open: Option<Spool> = None;
    let mut is_full = false;
    let write = move |lines: &str, ending: &AtomicBool| loop {
        let spool = match open.take() {
            Some(spool) => Ok(spool),
            None => Spool::open(&dir, bounds),
        };
        let written = spool.and_then(|spool| open.insert(spool).write(lines));
        match written {
            Ok(()) => {
                is_full = false;
                return Ok(());
            }
            Err(error) if ending.load(Ordering::Acquire) => return Err(error),
            Err(error) => {
                // Meanwhile what follows waits in the queue, and what does not fit there is counted.
                if !std::mem::replace(&mut is_full, true) {
                    let dir = dir.display();
                    tracing::error!(%dir, %error, "alerts cannot be kept for outputs: it is tried again");
                }
                std::thread::sleep(RETRY);
            }
        }
    };
    Output::start(Kind::Spool, notice, write)
}

/// The notice about lines that did not fit into the queue, as any reader of alerts knows it.
fn notice(lost: u64) -> String {
    let message =
        format!("{lost} alerts never reached the outputs: the disk was too slow for them");
    let document = health::document("spool_lost", &message, None, &json!({ "lost": lost }));
    serde_json::Value::from(document).to_string()
}
