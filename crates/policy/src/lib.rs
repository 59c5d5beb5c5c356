//! Compiles policies to the tables that both enforcement tiers decide from.
#![forbid(unsafe_code)]

pub mod bits;
pub mod error;
pub mod limits;
pub mod pattern;

pub use bits::Bits;
pub use error::Error;
pub use pattern::Pattern;
