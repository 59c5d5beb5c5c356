//! The sources that are not BPF programs, on the kernel of this machine. Each operation is done by
//! a child process and looked for in what the source says. Needs root.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod children;
mod collect;
mod files;
mod processes;
mod watches;
