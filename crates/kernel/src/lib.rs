//! The kernel half: BPF programs, what loads and attaches them, the other sources of the kernel,
//! and the reader of the rings. The only crate with unsafe code.
//!
//! | module | holds |
//! |---|---|
//! | `sensors` | loads, attaches the best way of each wanted operation, snapshots, counters |
//! | `ways` | the table of ways to see an operation |
//! | [`probe`] | what this kernel offers, found by loading and attaching |
//! | [`report`] | what `doctor` prints |
//! | `inject`, `sink` | the way of user-space records into the rings |
//! | `deeds`, `deeds_act` | with the feature of that name: what tests of prevention do |
//! | [`embedded`] | the BPF objects, and whether they are what was built and signed |
//! | [`answers`] | what name servers answered, for rules about domains |
//! | [`isolate`] | cuts a cgroup off the network, for a while |
//! | [`confine`] | puts filters of system calls in force |
//! | [`rings`] | the worker's end of the rings |
//! | `usage` | what programs and maps use: time and entries |

pub mod answers;
pub mod bench;
#[cfg(test)]
mod budget;
pub mod confine;
pub mod counters;
#[cfg(feature = "deeds")]
pub mod deeds;
#[cfg(feature = "deeds")]
pub mod deeds_act;
pub mod embedded;
pub mod enforce;
pub mod error;
mod ffi;
mod hashing;
mod hooks;
pub mod inject;
pub mod isolate;
mod messages;
mod object;
pub mod probe;
pub mod report;
pub mod rings;
pub mod sensors;
pub mod sink;
pub mod source;
mod usage;
mod ways;

pub use counters::Counters;
pub use error::Error;
pub use report::{Operation, Provider, Report, State, Tier};
pub use rings::Rings;
pub use sensors::{Options, Sensors};
pub use usage::{MapUse, ProgramUse};
