//! Records as the kernel half writes them.
mod generated;
pub use generated::*;
