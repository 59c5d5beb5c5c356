//! Tests against oracles that share no code with the crate.

pub(crate) mod agree;
pub(crate) mod glob;
mod host;
mod oracle;
mod random;
