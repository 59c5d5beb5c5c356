//! Tests against oracles that share no code with the crate, and cases one by one.

mod advice;
pub(crate) mod agree;
mod blob;
mod content;
pub(crate) mod glob;
mod host;
mod moves;
mod oracle;
mod random;
mod steps;
pub(crate) mod table;
