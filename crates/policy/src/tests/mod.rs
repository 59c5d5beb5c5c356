//! Tests against oracles that share no code with the crate.

pub(crate) mod glob;
