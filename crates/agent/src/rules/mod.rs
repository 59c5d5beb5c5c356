//! Generations of rules on disk: exactly what was loaded, when, by whose word, and what became of it.
//!
//! ```text
//! STATE/rules/
//!   generations/7/           about.json, files/0, files/1, …; never changed once it is there
//!   standing.json            which one is in force, which is on trial, what is held back
//!   lock
//! ```
//! The worker writes them, on a thread that may wait for the disk; `aegisbpf rules history` reads them.
//!
//! | module | holds |
//! |---|---|
//! | [`about`] | what is known of a generation besides its files |
//! | [`standing`] | what is in force, and what may not come into force |
//! | [`store`] | both on disk |

pub(crate) mod about;
pub(crate) mod standing;
pub(crate) mod store;

pub(crate) use about::{About, Cause, Content, Kind, Peer, Why};
pub(crate) use standing::{Held, Standing};
pub(crate) use store::Store;
