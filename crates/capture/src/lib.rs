//! What stays of what happened: recordings of what the kernel delivered, as it came, and of all else
//! that the engine was told, with their exact replay; and the audit log, whose lines hold each other.
//! No clock and no environment: times are given.
//!
//! The engine is a function of its records, the facts that it learned and the times that it was told
//! (invariants 3 and 4), so these in their order are a recording. It is a stream of frames, each
//! checked, bounded and readable without the others:
//!
//! ```text
//! head   who recorded what, with which rules            one, at the beginning
//! state  what was known already: processes and names    as many as it takes
//! items  records, facts, ticks, and what was found      as many as come
//! end    the recording was closed                       one, if it was
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`block`] | items on their way, in memory |
//! | `columns` | a block as columns of small numbers, and back to the same bytes |
//! | [`frame`] | a block or head as checked, compressed bytes |
//! | [`head`] | what a recording says of itself |
//! | [`read`] | frames from a file that may be torn or damaged |
//! | [`mod@write`] | frames into a file |
//! | [`state`] | what an engine knows, told to another |
//! | [`play`] | a recording through an engine, compared with what was found live |
//! | [`audit`] | the audit log |
#![forbid(unsafe_code)]

pub mod audit;
pub mod block;
mod columns;
pub mod frame;
pub mod head;
pub mod play;
pub mod read;
pub mod state;
pub mod write;

pub use block::{Block, Item};
pub use frame::{Frame, Kind, Refusal};
pub use head::{Head, RuleSet};
pub use play::{Player, Verdict};
pub use read::{Piece, Reader};
pub use write::Writer;
