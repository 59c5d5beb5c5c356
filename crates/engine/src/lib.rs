//! Records in, matches out: the process table, the view of an event, and the evaluation of a
//! program. No clock, no thread, no I/O: what only the host knows is asked for and told.
//!
//! | module | holds |
//! |---|---|
//! | [`Engine`] | the door: take a record, update the table, evaluate, call back |
//! | [`view`] | an event behind the names of the field table |
//! | `table`, `process`, `lineage` | all processes of the host, bounded; ancestors and leaders |
//! | `repeats` | alerts that would say the same again |
//! | `variables` | what of an environment is kept and shown |
//! | [`facts`], `cgroup` | names and cgroup paths that the host told |
//! | [`detect`] | the state of all rules over a stream: sequences, counts, pipes |
//! | `oracle` | the same once more, slow and plain, to test the rest against; only with that feature |
//! | [`eval`], [`interest`] | running a program, and what it needs from the sensors |
#![forbid(unsafe_code)]

mod cgroup;
pub mod detect;
mod engine;
pub mod eval;
pub mod facts;
mod host;
pub mod interest;
mod lineage;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
mod process;
mod reads;
mod repeats;
mod scratch;
mod table;
#[cfg(test)]
mod testing;
mod variables;
pub mod view;

pub use detect::{Counted, Counters, Detector, Event, Found, Kin, Kindred, Limits};
pub use engine::{Engine, Prepared, Questions, Recalled, Stats};
pub use eval::NoScripts;
pub use facts::{Fact, Question};
pub use host::Host;
pub use lineage::ANCESTORS_MAX;
pub use process::{TABLE_ARGS_MAX, TABLE_ENV_MAX};
pub use reads::reads;
pub use repeats::{REPEAT_NS, REPEATS_MAX};
pub use table::{ENDED_MAX, IMAGES_BYTES_MAX, KEEP_NS, PROCESSES_MAX, TableStats};
pub use view::View;
