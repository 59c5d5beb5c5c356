//! Keeps records in their rings until what they led to has been written.
//!
//! A worker can be killed at any moment. What it had read but not yet printed is still in the rings
//! then, and its successor tells it: an alert may come twice, with the same id, but never not at
//! all. The event thread does not wait for that: it asks now and then how far the output is.

use kernel::rings::Rings;

use super::output::{Accepted, Outputs};

/// What is on its way out.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// When so many lines have been written, the rings are released up to there.
    until: Option<(Accepted, [u64; 3])>,
}

impl Settling {
    /// Releases what has arrived.
    pub(crate) fn step(&mut self, rings: &mut Rings, output: &Outputs) {
        if rings.is_choked() {
            // A reader that does not read must not cost events.
            rings.release(rings.positions());
            self.until = None;
            return;
        }
        if let Some((lines, positions)) = self.until {
            if !output.has_written(lines) {
                return;
            }
            rings.release(positions);
            self.until = None;
        }
        if rings.holds() {
            self.until = Some((output.accepted(), rings.positions()));
        }
    }
}
