//! Compiles policies to the tables that both enforcement tiers decide from.
//!
//! A file, a peer, a process gets **labels**: numbers that say which objects of the loaded rules it
//! is. A process gets **bits**: the selectors of the loaded rules that it satisfies. Deciding is
//! then looking up a row of masks by label and operation, whatever the number of rules.
//!
//! ```text
//! Policy ─ compile ─> Tables ─ encode ─> bytes ─> maps of the kernel, the guard's fallback
//!                       │
//!                       └ label_path, label_peer, Subjects::exec, decide: the reference
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`pattern`] | reads path patterns |
//! | [`automaton`], [`paths`] | patterns as automata; labels of paths |
//! | [`network`] | addresses, ports, names; labels of peers |
//! | [`domain`] | which DNS names a rule means |
//! | [`resolved`] | names whose addresses are known, as addresses |
//! | [`subjects`] | selectors, and the bits of processes |
//! | [`labels`], [`verdicts`] | what labels stand for; rows of masks |
//! | [`compile`](mod@compile) | all of it together |
//! | [`decide`], [`tables`], [`mounts`] | the tables and the reference decision |
//! | [`marking`] | which files and directories must be watched where no LSM program loads |
//! | [`blob`] | tables as bytes |
//! | [`explain`], [`plan`] | why a request is answered so; what policies need |
//! | [`actor`], [`question`] | processes and requests in words |
//! | [`makers`] | what subjects that make files are called in all generations |
//! | [`needs`] | what a way of enforcing must be able to do for a rule |
//! | [`lint`], [`diff`], [`edit`] | what is probably not meant; what changes; what would allow it |
//!
//! Nothing here opens a file, reads a clock or knows what a name means on a host: who calls does.
#![forbid(unsafe_code)]

pub mod actor;
pub mod automaton;
pub mod bits;
pub mod blob;
pub mod compile;
pub mod decide;
pub mod diff;
pub mod domain;
pub mod edit;
pub mod error;
pub mod explain;
pub mod labels;
pub mod limits;
pub mod lint;
pub mod makers;
pub mod marking;
pub mod mounts;
pub mod needs;
pub mod network;
pub mod paths;
pub mod pattern;
pub mod plan;
pub mod question;
pub mod resolved;
pub mod subjects;
pub mod tables;
pub mod verdicts;

pub use bits::Bits;
pub use compile::{Compiled, Options, compile};
pub use decide::{Decision, Why};
pub use error::Error;
pub use pattern::Pattern;
pub use tables::{Content, Labels, Tables};

#[cfg(test)]
mod tests;
