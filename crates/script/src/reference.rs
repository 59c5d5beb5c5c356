//! The tables of this crate as documentation.
