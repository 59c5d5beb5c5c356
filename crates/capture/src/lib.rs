//! What stays of what happened: the audit log, whose lines hold each other.
//!
//! No clock and no environment: the time of each line is given.
#![forbid(unsafe_code)]

pub mod audit;
