//! The queue to the spool, for outputs that are not this process: a thread that writes what they are to be told.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::output::Output;
use crate::cli::record::History;
use crate::exit::{Exit, Failure};
use crate::outputs::{spool::Spool, spool_directory};
use crate::render::health;

/// How long is waited for a disk that does not take what is written.
const RETRY: Duration = Duration::from_millis(200);

/// Opens the spool and starts its thread.
pub(super) fn start(state: &Path, bounds: History) -> Result<Output, Failure> {
    let dir = spool_directory(state);
    let mut spool = Spool::open(&dir, bounds).map_err(|error| {
        Failure::new(
            Exit::RuntimeDir,
            format!("cannot keep alerts for outputs in {}: {error}", dir.display()),
        )
        .help("give a directory that can be written with --state-dir, or no --forward")
    })?;
    let mut is_full = false;
    Output::start("spool", notice, move |lines: &str, ending: &AtomicBool| {
        loop {
            match spool.write(lines) {
                Ok(()) => {
                    is_full = false;
                    return Ok(());
                }
                Err(error) if ending.load(Ordering::Acquire) => return Err(error),
                Err(error) => {
                    // Meanwhile what follows waits in the queue, and what does not fit there is counted.
                    if !std::mem::replace(&mut is_full, true) {
                        tracing::error!(%error, "alerts cannot be written to the spool: it is tried again");
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    })
}

/// The notice about lines that did not fit into the queue, as any reader of alerts knows it.
fn notice(lost: u64) -> String {
    let message =
        format!("{lost} alerts never reached the outputs: the disk was too slow for them");
    let document = health::document("spool_lost", &message, None, &json!({ "lost": lost }));
    serde_json::Value::from(document).to_string()
}
